//! Modules and symbols: names to addresses and back.
