//! Leaks: the ledger against a naive model and against the guest's own counters, the reports, and their
//! formats.

mod guest;
