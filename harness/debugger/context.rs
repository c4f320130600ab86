//! What a session answers to expressions.

use super::expression::{ExpressionContext, SymbolError};
use super::session::Session;
use crate::memory::ReadMemory;
use crate::registers::Gpr;
use crate::symbols::ResolveError;

/// The 64-bit general-purpose registers' names, by number.
const GPR_NAMES: [&str; 16] = [
    "rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi", "r8", "r9", "r10", "r11", "r12", "r13",
    "r14", "r15",
];

/// The registers by number, with the name that debuggers give them.
pub fn gpr_names() -> impl Iterator<Item = (Gpr, &'static str)> {
    Gpr::ALL.into_iter().zip(GPR_NAMES)
}

impl ExpressionContext for Session {
    fn symbol(&self, name: &str) -> Result<u64, SymbolError> {
        match self.modules().resolve(name) {
            Ok(address) => Ok(address.0),
            Err(ResolveError::Ambiguous { .. }) => Err(SymbolError::Ambiguous),
            Err(_) => Err(SymbolError::NotFound),
        }
    }

    fn register(&self, name: &str) -> Option<u64> {
        let registers = self.registers();
        let name = name.to_ascii_lowercase();
        match name.as_str() {
            "rip" | "$ip" => return Some(registers.rip),
            "efl" | "rflags" => return Some(registers.rflags),
            "$csp" => return Some(registers.rsp().0),
            "$retreg" => return Some(registers.get(Gpr::Rax)),
            _ => {}
        }
        let (register, width) = find_register(&name)?;
        let value = registers.get(register);
        Some(match width {
            Width::Bits64 => value,
            Width::Bits32 => value & 0xffff_ffff,
            Width::Bits16 => value & 0xffff,
            Width::Low => value & 0xff,
            Width::High => value >> 8 & 0xff,
        })
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
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Width {
    Bits64,
    Bits32,
    Bits16,
    Low,
    High,
}

/// The register that a lower-case name means, and which part of it.
fn find_register(name: &str) -> Option<(Gpr, Width)> {
    let exact = |wanted: &str| {
        gpr_names()
            .find(|(_, name)| *name == wanted)
            .map(|(gpr, _)| gpr)
    };
    if let Some(gpr) = exact(name) {
        return Some((gpr, Width::Bits64));
    }
    if let Some(gpr) = name
        .strip_prefix('e')
        .and_then(|rest| exact(&format!("r{rest}")))
    {
        return (gpr < Gpr::R8).then_some((gpr, Width::Bits32));
    }
    for (suffix, width) in [
        ("d", Width::Bits32),
        ("w", Width::Bits16),
        ("b", Width::Low),
    ] {
        if let Some(gpr) = name.strip_suffix(suffix).and_then(exact)
            && gpr >= Gpr::R8
        {
            return Some((gpr, width));
        }
    }
    if let Some(gpr) = exact(&format!("r{name}")) {
        return (gpr < Gpr::R8).then_some((gpr, Width::Bits16));
    }
    if let Some(gpr) = name
        .strip_suffix('l')
        .and_then(|rest| exact(&format!("r{rest}")).or_else(|| exact(&format!("r{rest}x"))))
    {
        return (gpr < Gpr::R8).then_some((gpr, Width::Low));
    }
    let gpr = name
        .strip_suffix('h')
        .and_then(|rest| exact(&format!("r{rest}x")))?;
    (gpr < Gpr::Rsp).then_some((gpr, Width::High))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_registers_have_their_names() {
        for (name, expected) in [
            ("rax", Some((Gpr::Rax, Width::Bits64))),
            ("esp", Some((Gpr::Rsp, Width::Bits32))),
            ("r10d", Some((Gpr::R10, Width::Bits32))),
            ("si", Some((Gpr::Rsi, Width::Bits16))),
            ("r15w", Some((Gpr::R15, Width::Bits16))),
            ("al", Some((Gpr::Rax, Width::Low))),
            ("sil", Some((Gpr::Rsi, Width::Low))),
            ("r8b", Some((Gpr::R8, Width::Low))),
            ("bh", Some((Gpr::Rbx, Width::High))),
            ("sih", None),
            ("e8", None),
            ("raxd", None),
            ("", None),
            ("8", None),
            ("xyz", None),
        ] {
            assert_eq!(find_register(name), expected, "{name}");
        }
    }
}
