//! Guests that are broken or mean: whatever their code does, the machine stops with a reason, the
//! session goes on, and the next lab is not touched.

mod broken_files;
mod go_on;
mod kernel_code;
mod loops;
mod random_code;
mod support;
mod system_calls;
mod user_code;
