//! Registers as WinDbg shows them on x64.

use super::float::general;
use super::location::write_location;
use crate::debugger::Session;
use crate::debugger::cursor::{CommandError, CommandErrorKind, Cursor};
use crate::debugger::register_name::Register;
use crate::debugger::state::register_mask as mask;
use crate::registers::Registers;
use std::fmt::{self, Write};

/// The order and grouping of the rows; `rip` stands for itself.
const ROWS: [&[&str]; 6] = [
    &["rax", "rbx", "rcx"],
    &["rdx", "rsi", "rdi"],
    &["rip", "rsp", "rbp"],
    &["r8", "r9", "r10"],
    &["r11", "r12", "r13"],
    &["r14", "r15"],
];

/// The registers that a mask says, and the instruction that is next.
///
/// # Errors
/// The output refuses.
///
/// ```
/// use poolhit::{Lab, Session, report::registers::write_registers};
/// let session = Session::new(Lab::builder().build()?);
/// let mut text = String::new();
/// write_registers(&mut text, &session, 8)?;
/// assert!(text.starts_with("cs=0010  ss=0018  ds="));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn write_registers(out: &mut dyn Write, session: &Session, shown: u32) -> fmt::Result {
    let has = |bit: u32| shown & bit != 0;
    if has(mask::INTEGER | mask::INTEGER_32) {
        write_integers(out, &session.registers())?;
    }
    let system = session.lab().machine().system_registers();
    if has(mask::SEGMENTS) {
        write_segments(out, session.segments(), session.registers().rflags)?;
    }
    if has(mask::VECTORS) {
        for (number, value) in session.registers().xmm.into_iter().enumerate() {
            writeln!(out, "xmm{number}={}", ElementType::default_text(value))?;
        }
    }
    let cr8 = session.read_register(Register::Control(8));
    if has(mask::DEBUG) {
        let [dr0, dr1, dr2, dr3, dr6, dr7] = system.debug;
        writeln!(out, "dr0={dr0:016x} dr1={dr1:016x} dr2={dr2:016x}")?;
        writeln!(
            out,
            "dr3={dr3:016x} dr6={dr6:016x} dr7={dr7:016x} cr4={:016x}",
            system.cr4
        )?;
    }
    if has(mask::CONTROL) {
        writeln!(
            out,
            "cr0={:016x} cr2={:016x} cr3={:016x}",
            system.cr0, system.cr2, system.cr3
        )?;
        writeln!(out, "cr8={cr8:016x}")?;
    }
    if has(mask::DESCRIPTORS) {
        writeln!(
            out,
            "gdtr={:016x}   gdtl={:04x} idtr={:016x}   idtl={:04x} tr={:04x}  ldtr={:04x}",
            system.gdtr, system.gdtl, system.idtr, system.idtl, system.tr, system.ldtr
        )?;
    }
    write_location(out, session, session.registers().rip())
}

/// Writes the row of segment registers (cs, ss, ds, es, fs, gs) and flags.
///
/// # Errors
/// The output refuses.
///
/// ```
/// let mut text = String::new();
/// let selectors = [0x10, 0x18, 0x2b, 0x2b, 0x53, 0x2b];
/// poolhit::report::registers::write_segments(&mut text, selectors, 0x246)?;
/// assert!(text.ends_with("  gs=002b             efl=00000246\n"));
/// # Ok::<(), std::fmt::Error>(())
/// ```
pub fn write_segments(out: &mut dyn Write, selectors: [u16; 6], rflags: u64) -> fmt::Result {
    let [cs, ss, ds, es, fs, gs] = selectors;
    let flags = rflags as u32;
    writeln!(
        out,
        "cs={cs:04x}  ss={ss:04x}  ds={ds:04x}  es={es:04x}  fs={fs:04x}  gs={gs:04x}             \
         efl={flags:08x}"
    )
}

/// Writes the rows of general registers, and the flags by name.
///
/// # Errors
/// The output refuses.
///
/// ```
/// use poolhit::{registers::Registers, report::registers::write_integers};
/// let mut text = String::new();
/// write_integers(&mut text, &Registers::default())?;
/// assert!(text.starts_with("rax=0000000000000000 rbx="));
/// assert!(text.contains("\n r8=0000000000000000  r9="));
/// # Ok::<(), std::fmt::Error>(())
/// ```
pub fn write_integers(out: &mut dyn Write, registers: &Registers) -> fmt::Result {
    for names in ROWS {
        for (place, name) in names.iter().enumerate() {
            let register = Register::named(name);
            let value = match register {
                Some(Register::General(gpr, _)) => registers.get(gpr),
                _ => registers.rip,
            };
            let space = if place > 0 { " " } else { "" };
            // the names of r8 and r9 are padded to three characters, at the start of a line too
            write!(out, "{space}{name:>3}={value:016x}")?;
        }
        writeln!(out)?;
    }
    writeln!(out, "{}", flags(registers.rflags))
}

/// The flags in WinDbg's two-letter forms: overflow, direction, interrupt, sign, zero, auxiliary
/// carry, parity, carry.
fn flags(rflags: u64) -> String {
    const FLAGS: [(u32, &str, &str); 8] = [
        (11, "ov", "nv"),
        (10, "dn", "up"),
        (9, "ei", "di"),
        (7, "ng", "pl"),
        (6, "zr", "nz"),
        (4, "ac", "na"),
        // Of x64 the debuggers of Windows 7's time, and later ones, show the parity the other way round than of
        // x86: `po` where the flag is set. Those that `tests/published` has are so (efl=00000246 with `zr na po nc`).
        (2, "po", "pe"),
        (0, "cy", "nc"),
    ];
    let names: Vec<_> = FLAGS
        .iter()
        .map(|&(bit, set, clear)| if rflags >> bit & 1 == 1 { set } else { clear })
        .collect();
    format!("iopl={}         {}", rflags >> 12 & 3, names.join(" "))
}

/// What a register's elements are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ElementType {
    /// Their size in bits.
    width: u32,
    form: Form,
    /// How many are shown, from the lowest on; all if that is not said.
    count: Option<u32>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Form {
    Signed,
    Unsigned,
    Float,
}

impl ElementType {
    /// Reads a type: `16ub`, `d`.
    ///
    /// # Errors
    /// A syntax error if it is none.
    ///
    /// ```
    /// use poolhit::debugger::cursor::Cursor;
    /// use poolhit::report::registers::ElementType;
    /// let words = ElementType::read(&mut Cursor::new("uw")).unwrap();
    /// assert_eq!(words.text(0x0001_ffff, 64).unwrap(), "0000 0000 0001 ffff");
    /// assert!(ElementType::read(&mut Cursor::new("x")).is_err());
    /// ```
    pub fn read(cursor: &mut Cursor<'_>) -> Result<ElementType, CommandError> {
        let rest = cursor.rest();
        let digits = rest
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(rest.len());
        let count = rest[..digits].parse().ok();
        cursor.eat(&rest[..digits]);
        let rest = cursor.rest();
        let end = rest
            .find(|c: char| !c.is_ascii_alphanumeric())
            .unwrap_or(rest.len());
        let name = &rest[..end];
        cursor.eat(name);
        let (form, size) = match (name, name.strip_prefix('i'), name.strip_prefix('u')) {
            ("f", ..) => (Form::Float, "d"),
            ("d", ..) => (Form::Float, "q"),
            (_, Some(size), _) => (Form::Signed, size),
            (_, _, Some(size)) => (Form::Unsigned, size),
            _ => (Form::Unsigned, ""),
        };
        let width = match size {
            "b" => 8,
            "w" => 16,
            "d" => 32,
            "q" => 64,
            _ => return Err(cursor.error(CommandErrorKind::Syntax)),
        };
        Ok(ElementType { width, form, count })
    }

    /// The elements of a register of `width` bits, the highest first; `None` if it has none of that
    /// size.
    ///
    /// ```
    /// use poolhit::{debugger::cursor::Cursor, report::registers::ElementType};
    /// let float = ElementType::read(&mut Cursor::new("f")).unwrap();
    /// assert_eq!(float.text(0x3f8ccccd, 32).as_deref(), Some("1.1"));
    /// assert_eq!(float.text(1, 16), None);
    /// ```
    pub fn text(self, value: u128, width: u32) -> Option<String> {
        let elements = (width / self.width).min(self.count.unwrap_or(u32::MAX));
        (elements > 0).then_some(())?;
        let mask = u64::MAX >> (64 - self.width);
        let element = |place: u32| {
            let bits = (value >> (place * self.width)) as u64 & mask;
            let digits = self.width as usize / 4;
            match self.form {
                Form::Unsigned => format!("{bits:0digits$x}"),
                Form::Signed => {
                    let unused = 64 - self.width;
                    (((bits << unused) as i64) >> unused).to_string()
                }
                Form::Float if self.width == 32 => general(f32::from_bits(bits as u32).into(), 6),
                Form::Float => general(f64::from_bits(bits), 6),
            }
        };
        let elements: Vec<String> = (0..elements).rev().map(element).collect();
        Some(elements.join(" "))
    }

    /// A vector register without a type: four numbers of 32 bits in columns.
    ///
    /// ```
    /// use poolhit::report::registers::ElementType;
    /// let text = ElementType::default_text(1.5f32.to_bits().into());
    /// assert_eq!(text, "           0            0            0          1.5");
    /// ```
    pub fn default_text(value: u128) -> String {
        let element = |place: u32| {
            let bits = (value >> (place * 32)) as u32;
            format!("{:>12}", general(f32::from_bits(bits).into(), 6))
        };
        let elements: Vec<String> = (0..4).rev().map(element).collect();
        elements.join(" ")
    }
}
