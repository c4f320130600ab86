//! Modules, names to addresses and back, undecoration.

pub mod location;
pub mod module;
pub mod modules;
pub mod resolve;
pub mod symbol;
pub mod table;
#[cfg(test)]
mod tests;
pub mod undecorate;

pub use location::Location;
pub use module::Module;
pub use modules::Modules;
pub use resolve::ResolveError;
pub use symbol::{Symbol, SymbolKind};
pub use table::{SymbolError, SymbolSource, SymbolTable};
