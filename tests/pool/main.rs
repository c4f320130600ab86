//! The guest's pool against a model that knows only the rules in `docs/pool-hit-tag.md`, never the
//! guest's code: random sequences of requests, and what the pool's own structures say after each.

mod corruption;
mod execution;
mod exhaustion;
mod flags;
mod free_lists;
mod guest;
mod limits;
mod lookaside;
mod matching;
mod model;
mod overflow;
mod quota;
mod sequences;
mod steps;
