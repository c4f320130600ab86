//! What a session answers to expressions.

use super::expression::{ExpressionContext, SymbolError};
use super::locals::VariableLocation;
use super::session::Session;
use crate::address::Pa;
use crate::memory::{MemoryFault, ReadMemory};
use crate::symbols::ResolveError;

impl ExpressionContext for Session {
    fn symbol(&self, name: &str) -> Result<u64, SymbolError> {
        // A local variable, by its address, goes before all others.
        if !name.contains('!')
            && let Some(local) = self.variable_named(name)
            && let Some(VariableLocation::Memory { address, .. }) = local.location
        {
            return Ok(address.0);
        }
        match self.modules().resolve(name) {
            Ok(address) => Ok(address.0),
            Err(ResolveError::Ambiguous { .. }) => Err(SymbolError::Ambiguous),
            Err(_) => Err(SymbolError::NotFound),
        }
    }

    fn source_line(&self, text: &str) -> Result<u64, SymbolError> {
        let found = self.address_of_source(text).map(|at| at.0);
        found.ok_or(SymbolError::NotFound)
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
