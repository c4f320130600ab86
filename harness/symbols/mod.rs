//! Modules, names to addresses and back, undecoration, types, source lines.

pub mod examine;
pub mod lines;
pub mod location;
pub mod module;
pub mod modules;
pub mod resolve;
pub mod symbol;
pub mod table;
#[cfg(test)]
mod tests;
pub mod types;
pub mod undecorate;
pub mod wildcard;

pub use lines::{LineTable, SourceLine};
pub use location::Location;
pub use module::Module;
pub use modules::Modules;
pub use resolve::ResolveError;
pub use symbol::{Symbol, SymbolKind};
pub use table::{SymbolError, SymbolSource, SymbolTable};
pub use types::TypeTable;
