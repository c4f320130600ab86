//! Tests of the unwinder: random functions are simulated instruction by instruction, and from each
//! instruction the unwinder has to find the caller's registers again.

mod captures;
mod chained;
mod hostile;
mod second_opinion;
mod shape;
mod single;
mod walks;
mod world;
