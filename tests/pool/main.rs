//! The guest's pool against a model that knows only the rules in `docs/pool-hit-tag.md`, never the
//! guest's code: random sequences of requests, and what the pool's own structures say after each.

mod corruption;
mod guest;
mod matching;
mod model;
mod sequences;
