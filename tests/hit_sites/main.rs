//! Where a kernel can hit, and what is where then: the built-in kernel's places, at any base; what is
//! found there while the guest runs; shapes of code that other kernels may have; random code, run and
//! compared with what was said about it; images that somebody broke.

mod code;
mod guest;
mod hostile;
mod kernel;
mod runs;
mod shapes;
