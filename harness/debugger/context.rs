//! What a session answers to expressions.

use super::expression::{ExpressionContext, SymbolError};
use super::locals::VariableLocation;
use super::session::Session;
use super::source::address_of_source;
use crate::address::{Pa, Va};
use crate::guest::Lab;
use crate::memory::{MemoryFault, ReadMemory};
use crate::symbols::{Modules, ResolveError};

impl ExpressionContext for Session {
    fn symbol(&self, name: &str) -> Result<u64, SymbolError> {
        // A local variable, by its address, goes before all others.
        if !name.contains('!')
            && let Some(local) = self.variable_named(name)
        {
            // One in a register has no address, and hides what has its name.
            return match local.location {
                Some(VariableLocation::Memory { address, .. }) => Ok(address.0),
                _ => Err(SymbolError::NotFound),
            };
        }
        resolve(self.modules(), name)
    }

    fn source_line(&self, text: &str) -> Result<u64, SymbolError> {
        if self.lines_are_off {
            return Err(SymbolError::NotFound);
        }
        let found = address_of_source(self.modules(), text, self.registers().rip());
        found.map(|at| at.0).ok_or(SymbolError::NotFound)
    }

    fn register(&self, name: &str) -> Option<u64> {
        self.value_of(name)
    }

    fn current_address(&self) -> u64 {
        self.registers().rip
    }

    fn memory(&self) -> &dyn ReadMemory {
        self.lab().machine()
    }

    /// On a 64-bit target `ffffff0f` is 00000000`ffffff0f.
    fn sign_extends_constants(&self) -> bool {
        false
    }

    fn radix(&self) -> u32 {
        self.state.radix
    }

    fn read_physical(&self, address: Pa, buffer: &mut [u8]) -> Result<(), MemoryFault> {
        Ok(self.lab().machine().read_physical(address, buffer)?)
    }
}

fn resolve(modules: &Modules, name: &str) -> Result<u64, SymbolError> {
    match modules.resolve(name) {
        Ok(address) => Ok(address.0),
        Err(ResolveError::Ambiguous { .. }) => Err(SymbolError::Ambiguous),
        Err(_) => Err(SymbolError::NotFound),
    }
}

/// What expressions see of a lab alone, while no session looks at it: its modules and memory.
pub(super) struct LabContext<'a> {
    pub lab: &'a Lab,
    pub modules: &'a Modules,
    pub radix: u32,
}

impl ExpressionContext for LabContext<'_> {
    fn symbol(&self, name: &str) -> Result<u64, SymbolError> {
        resolve(self.modules, name)
    }

    fn source_line(&self, text: &str) -> Result<u64, SymbolError> {
        let found = address_of_source(self.modules, text, Va(self.current_address()));
        found.map(|at| at.0).ok_or(SymbolError::NotFound)
    }

    fn register(&self, _: &str) -> Option<u64> {
        None
    }

    fn current_address(&self) -> u64 {
        self.lab.machine().registers().rip
    }

    fn memory(&self) -> &dyn ReadMemory {
        self.lab.machine()
    }

    fn sign_extends_constants(&self) -> bool {
        false
    }

    fn radix(&self) -> u32 {
        self.radix
    }
}
