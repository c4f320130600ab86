//! Drivers with imports that nobody provides: loaded all the same, stopped where they use one,
//! answered by the lab, or refused.

mod answers;
mod driver;
mod files;
mod hostile;
mod stops;
