//! The processor's registers by the names that the debugger gives them ("Register Syntax").

use crate::registers::Gpr;

/// The 64-bit general-purpose registers' names, by number.
const GPR_NAMES: [&str; 16] = [
    "rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi", "r8", "r9", "r10", "r11", "r12", "r13",
    "r14", "r15",
];

/// The flags' names, with place and width ("Register Syntax", "Flags").
const FLAGS: [(&str, u32, u32); 13] = [
    ("iopl", 12, 2),
    ("of", 11, 1),
    ("df", 10, 1),
    ("if", 9, 1),
    ("tf", 8, 1),
    ("sf", 7, 1),
    ("zf", 6, 1),
    ("af", 4, 1),
    ("pf", 2, 1),
    ("cf", 0, 1),
    ("nt", 14, 1),
    ("vif", 19, 1),
    ("vip", 20, 1),
];

/// The registers by number, with the name that debuggers give them.
pub fn gpr_names() -> impl Iterator<Item = (Gpr, &'static str)> {
    Gpr::ALL.into_iter().zip(GPR_NAMES)
}

/// Which bits of a general-purpose register.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Part {
    /// All 64: `rax`.
    Whole,
    /// The low 32: `eax`.
    Low32,
    /// The low 16: `ax`.
    Low16,
    /// The low 8: `al`.
    Low8,
    /// Bits 8 to 15: `ah`.
    High8,
}

impl Part {
    /// The first bit, and the number of bits.
    ///
    /// ```
    /// use poolhit::debugger::register_name::Part;
    /// assert_eq!(Part::High8.bits(), (8, 8));
    /// ```
    pub fn bits(self) -> (u32, u32) {
        match self {
            Part::Whole => (0, 64),
            Part::Low32 => (0, 32),
            Part::Low16 => (0, 16),
            Part::Low8 => (0, 8),
            Part::High8 => (8, 8),
        }
    }
}

/// A register, or a part of one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Register {
    /// A general-purpose register.
    General(Gpr, Part),
    /// The instruction pointer, all of it or its low 32 bits.
    InstructionPointer(Part),
    /// The flags.
    Flags,
    /// Bits of the flags: the first, and how many.
    Flag(u32, u32),
    /// CS, SS, DS, ES, FS or GS, by its place in this list.
    Segment(u8),
    /// CR0, CR2, CR3, CR4 or CR8.
    Control(u8),
    /// DR0 to DR3, DR6 or DR7.
    Debug(u8),
    /// `gdtr`, `gdtl`, `idtr`, `idtl`, `tr` or `ldtr`, by its place in this list.
    Descriptor(u8),
    /// XMM0 to XMM15.
    Vector(u8),
    /// MXCSR.
    VectorControl,
}

const SEGMENTS: [&str; 6] = ["cs", "ss", "ds", "es", "fs", "gs"];
const DESCRIPTORS: [&str; 6] = ["gdtr", "gdtl", "idtr", "idtl", "tr", "ldtr"];

impl Register {
    /// The register of that name, in either case.
    ///
    /// ```
    /// use poolhit::debugger::register_name::{Part, Register};
    /// use poolhit::registers::Gpr;
    /// assert_eq!(Register::named("EAX"), Some(Register::General(Gpr::Rax, Part::Low32)));
    /// assert_eq!(Register::named("zf"), Some(Register::Flag(6, 1)));
    /// assert_eq!(Register::named("cr1"), None);
    /// ```
    pub fn named(name: &str) -> Option<Register> {
        let name = name.to_ascii_lowercase();
        let place = |names: &[&str]| {
            let found = names.iter().position(|known| *known == name)?;
            u8::try_from(found).ok()
        };
        let number = |prefix: &str| -> Option<u8> {
            let digits = name.strip_prefix(prefix)?;
            let plain = digits == "0" || !digits.starts_with(['0', '+']);
            digits.parse().ok().filter(|_| plain)
        };
        match name.as_str() {
            "rip" => return Some(Register::InstructionPointer(Part::Whole)),
            "eip" => return Some(Register::InstructionPointer(Part::Low32)),
            "ip" => return Some(Register::InstructionPointer(Part::Low16)),
            "efl" | "rflags" => return Some(Register::Flags),
            "mxcsr" => return Some(Register::VectorControl),
            _ => {}
        }
        if let Some((_, first, bits)) = FLAGS.iter().find(|(flag, ..)| *flag == name) {
            return Some(Register::Flag(*first, *bits));
        }
        if let Some(place) = place(&SEGMENTS) {
            return Some(Register::Segment(place));
        }
        if let Some(place) = place(&DESCRIPTORS) {
            return Some(Register::Descriptor(place));
        }
        if let Some(number @ (0 | 2 | 3 | 4 | 8)) = number("cr") {
            return Some(Register::Control(number));
        }
        if let Some(number @ (0..=3 | 6 | 7)) = number("dr") {
            return Some(Register::Debug(number));
        }
        if let Some(number @ 0..=15) = number("xmm") {
            return Some(Register::Vector(number));
        }
        find_general(&name).map(|(gpr, part)| Register::General(gpr, part))
    }

    /// Its width in bits.
    ///
    /// ```
    /// use poolhit::debugger::register_name::Register;
    /// assert_eq!(Register::named("r10w").unwrap().width(), 16);
    /// ```
    pub fn width(self) -> u32 {
        match self {
            Register::General(_, part) | Register::InstructionPointer(part) => part.bits().1,
            Register::Flag(_, bits) => bits,
            Register::Segment(_) | Register::Descriptor(1 | 3..) => 16,
            Register::Control(_) | Register::Debug(_) | Register::Descriptor(_) => 64,
            Register::Flags | Register::VectorControl => 32,
            Register::Vector(_) => 128,
        }
    }

    /// How many digits it is shown with, leading zeros among them: those of whole registers, none
    /// for parts.
    pub(crate) fn shown_digits(self) -> usize {
        match self {
            Register::General(_, Part::Whole) | Register::InstructionPointer(Part::Whole) => 16,
            Register::General(..) | Register::InstructionPointer(_) | Register::Flag(..) => 1,
            register => register.width() as usize / 4,
        }
    }
}

/// The general-purpose register that a lower-case name means, and which part of it.
fn find_general(name: &str) -> Option<(Gpr, Part)> {
    let exact = |wanted: &str| {
        gpr_names()
            .find(|(_, name)| *name == wanted)
            .map(|(gpr, _)| gpr)
    };
    if let Some(gpr) = exact(name) {
        return Some((gpr, Part::Whole));
    }
    if let Some(gpr) = name
        .strip_prefix('e')
        .and_then(|rest| exact(&format!("r{rest}")))
    {
        return (gpr < Gpr::R8).then_some((gpr, Part::Low32));
    }
    for (suffix, part) in [("d", Part::Low32), ("w", Part::Low16), ("b", Part::Low8)] {
        if let Some(gpr) = name.strip_suffix(suffix).and_then(exact)
            && gpr >= Gpr::R8
        {
            return Some((gpr, part));
        }
    }
    if let Some(gpr) = exact(&format!("r{name}")) {
        return (gpr < Gpr::R8).then_some((gpr, Part::Low16));
    }
    if let Some(gpr) = name
        .strip_suffix('l')
        .and_then(|rest| exact(&format!("r{rest}")).or_else(|| exact(&format!("r{rest}x"))))
    {
        return (gpr < Gpr::R8).then_some((gpr, Part::Low8));
    }
    let gpr = name
        .strip_suffix('h')
        .and_then(|rest| exact(&format!("r{rest}x")))?;
    (gpr < Gpr::Rsp).then_some((gpr, Part::High8))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_registers_have_their_names() {
        for (name, expected) in [
            ("rax", Some((Gpr::Rax, Part::Whole))),
            ("esp", Some((Gpr::Rsp, Part::Low32))),
            ("r10d", Some((Gpr::R10, Part::Low32))),
            ("si", Some((Gpr::Rsi, Part::Low16))),
            ("r15w", Some((Gpr::R15, Part::Low16))),
            ("al", Some((Gpr::Rax, Part::Low8))),
            ("sil", Some((Gpr::Rsi, Part::Low8))),
            ("r8b", Some((Gpr::R8, Part::Low8))),
            ("bh", Some((Gpr::Rbx, Part::High8))),
            ("sih", None),
            ("e8", None),
            ("raxd", None),
            ("", None),
            ("8", None),
            ("xyz", None),
        ] {
            assert_eq!(find_general(name), expected, "{name}");
        }
    }

    #[test]
    fn other_registers_have_their_names() {
        for (name, expected) in [
            ("CS", Some(Register::Segment(0))),
            ("gs", Some(Register::Segment(5))),
            ("cr8", Some(Register::Control(8))),
            ("cr5", None),
            ("dr7", Some(Register::Debug(7))),
            ("dr4", None),
            ("xmm15", Some(Register::Vector(15))),
            ("xmm16", None),
            ("xmm01", None),
            ("cr+3", None),
            ("idtl", Some(Register::Descriptor(3))),
            ("iopl", Some(Register::Flag(12, 2))),
            ("ip", Some(Register::InstructionPointer(Part::Low16))),
        ] {
            assert_eq!(Register::named(name), expected, "{name}");
        }
    }
}
