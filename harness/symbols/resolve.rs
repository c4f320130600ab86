//! From names to addresses.

use super::module::Module;
use super::modules::Modules;
use super::symbol::Symbol;
use crate::address::Va;

/// The most matches that an ambiguous name's error lists.
pub const MATCH_LIMIT: usize = 16;

/// Why a name has no address. Prints as WinDbg does.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ResolveError {
    /// No module and no symbol has this name.
    #[error("Couldn't resolve error at '{name}'")]
    NotFound {
        /// The name asked for.
        name: String,
    },
    /// Several symbols at different addresses have it.
    #[error("{}Ambiguous symbol error at '{name}'", list(matches))]
    Ambiguous {
        /// The name asked for.
        name: String,
        /// The first [`MATCH_LIMIT`] of them by address, with module.
        matches: Vec<(Va, String)>,
    },
}

fn list(matches: &[(Va, String)]) -> String {
    matches
        .iter()
        .map(|(va, name)| format!("Matched: {va} {name}\n"))
        .collect()
}

impl Modules {
    /// The address of a name: `nt!PoolHitTag`, `PoolHitTag` (in any module), or `myfault` (a
    /// module's base). Case does not matter, but a symbol with the very same letters is preferred
    /// to others of its module. A module's name is preferred to a symbol's.
    ///
    /// # Errors
    /// Nothing has that name, or several symbols at different addresses do.
    ///
    /// ```
    /// use poolhit::address::Va;
    /// use poolhit::symbols::{Module, Modules};
    /// let mut modules = Modules::default();
    /// modules.add(Module::new("myfault.sys", Va(0x10000), 0x1000)).unwrap();
    /// assert_eq!(modules.resolve("MyFault"), Ok(Va(0x10000)));
    /// let error = modules.resolve("nt!xyz").unwrap_err();
    /// assert_eq!(error.to_string(), "Couldn't resolve error at 'nt!xyz'");
    /// ```
    pub fn resolve(&self, name: &str) -> Result<Va, ResolveError> {
        let mut found = Vec::new();
        match name.split_once('!') {
            Some((module, symbol)) => {
                let module = self.by_name(module).into_iter();
                found.extend(module.flat_map(|module| matches(module, symbol)));
            }
            None => match self.by_name(name) {
                Some(module) => return Ok(module.base()),
                None => found.extend(self.iter().flat_map(|module| matches(module, name))),
            },
        }
        found.sort_by_key(|(address, ..)| *address);
        found.dedup_by_key(|(address, ..)| *address);
        match found.as_slice() {
            [] => Err(ResolveError::NotFound {
                name: name.to_owned(),
            }),
            [(address, ..)] => Ok(*address),
            several => Err(ResolveError::Ambiguous {
                name: name.to_owned(),
                matches: several.iter().take(MATCH_LIMIT).map(describe).collect(),
            }),
        }
    }
}

type Match<'a> = (Va, &'a Module, &'a Symbol);

fn matches<'a>(module: &'a Module, name: &str) -> impl Iterator<Item = Match<'a>> {
    module
        .symbols()
        .named(name)
        .map(move |symbol| (module.base() + symbol.rva, module, symbol))
}

fn describe(&(address, module, symbol): &Match<'_>) -> (Va, String) {
    (
        address,
        format!("{}!{}", module.name(), symbol.display_name()),
    )
}
