//! Parameters and local variables as text: for `dv`, `kp` and `kP`.
//!
//! The forms are WinDbg's, from what its users published of 32-bit and 64-bit sessions: numbers without a sign are
//! hexadecimal (`0x4e4`), those with one decimal (`0n-1`), bytes have their character (`0x01 ''`), enumerations their
//! name (`Javascript (0n1)`, `0n10 (No matching enumerant)`), `bool` is `false`; texts stand behind the pointers to
//! them, `Driver "\Driver\HEVD"` behind one to a driver object, `Device for "\Driver\HEVD"` behind one to a device.
//! What is nowhere is `<value unavailable>`, in memory that cannot be read `<Memory access error>`.

use super::typed::text::{character, quoted, unreadable_text, unsigned};
use crate::address::Va;
use crate::debugger::Session;
use crate::debugger::locals::{FrameVariable, VariableLocation};
use crate::image::types::{Basic, TypeError};
use crate::memory::ReadMemory;
use crate::symbols::types::{Shape, Structure, Type};

/// The most characters shown of a text.
const TEXT_LIMIT: usize = 256;
/// The longest string of a driver's name that is read, in bytes.
const NAME_LIMIT: u64 = 512;

/// A variable's value in one line.
///
/// ```
/// use poolhit::{Lab, Session, report::variables::value_text};
/// let mut session = Session::new(Lab::builder().build()?);
/// session.execute("bp nt!NtClose; g; r rcx=123")?;
/// let frame = session.chosen_frame().unwrap();
/// let variables = session.frame_variables(&frame).unwrap();
/// assert_eq!(value_text(&session, &variables[0]), "0x00000000`00000123");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn value_text(session: &Session, variable: &FrameVariable<'_>) -> String {
    let Some(location) = variable.location else {
        return "<value unavailable>".to_owned();
    };
    let values = Values {
        memory: session.lab().machine(),
    };
    let text = values.text(variable.ty, location);
    text.unwrap_or_else(|_| "<Memory access error>".to_owned())
}

/// Why there is no value: its type or its memory cannot be read.
struct Unreadable;

impl From<TypeError> for Unreadable {
    fn from(_: TypeError) -> Unreadable {
        Unreadable
    }
}

struct Values<'a> {
    memory: &'a dyn ReadMemory,
}

impl Values<'_> {
    fn text(&self, ty: Type<'_>, location: VariableLocation) -> Result<String, Unreadable> {
        let address = match location {
            VariableLocation::Memory { address, .. } => Some(address),
            VariableLocation::Register { .. } => None,
        };
        let number = |size: u64| match location {
            VariableLocation::Memory { address, .. } => self.number(address, size),
            VariableLocation::Register { value, .. } => Ok(value & mask(size)),
        };
        Ok(match ty.shape()? {
            Shape::Basic(basic) => basic_text(basic, number(basic.size())?),
            Shape::Pointer { target, size } => self.pointer(Va(number(size)?), target),
            Shape::Enumeration(one) => {
                let size = one.underlying.size()?;
                let value = number(size)?;
                let signed = sign_extended(value, size);
                let name = match one.name_of(value)? {
                    Some(name) => Some(name),
                    None => one.name_of(signed as u64)?,
                };
                match name {
                    Some(name) => format!("{name} (0n{signed})"),
                    None => format!("0n{signed} (No matching enumerant)"),
                }
            }
            Shape::Structure(one) => {
                let summary = match (is_large_integer(&one), address) {
                    (true, _) => Some(format!("{{{}}}", number(8)? as i64)),
                    (false, Some(at)) => self.string(one, at),
                    (false, None) => None,
                };
                summary.unwrap_or_else(|| ty.declared_name())
            }
            Shape::Array { element, .. } => {
                let text = address.and_then(|at| self.characters(element, ty, at));
                let name = ty.declared_name();
                text.map_or(name.clone(), |text| format!("{name} {text}"))
            }
            Shape::BitField { .. } | Shape::Function { .. } | Shape::Other => ty.declared_name(),
        })
    }

    fn number(&self, at: Va, size: u64) -> Result<u64, Unreadable> {
        let mut bytes = [0; 8];
        let part = bytes.get_mut(..size as usize).ok_or(Unreadable)?;
        self.memory.read(at, part).map_err(|_| Unreadable)?;
        Ok(u64::from_le_bytes(bytes))
    }

    /// A pointer, and what it points to where that is a text or has a name.
    fn pointer(&self, to: Va, target: Type<'_>) -> String {
        let behind = match target.shape() {
            Ok(Shape::Basic(Basic::Char | Basic::UnsignedChar)) => Some(self.terminated(to, 1)),
            Ok(Shape::Basic(Basic::WideChar)) => Some(self.terminated(to, 2)),
            Ok(Shape::Structure(one)) if to.0 != 0 => {
                self.string(one, to).or_else(|| self.object(one, to))
            }
            _ => None,
        };
        match behind {
            Some(behind) => format!("0x{to} {behind}"),
            None => format!("0x{to}"),
        }
    }

    /// What is said of a driver object or a device object.
    fn object(&self, one: Structure<'_>, at: Va) -> Option<String> {
        match one.ty().name().as_str() {
            "_DRIVER_OBJECT" => Some(format!("Driver {}", self.driver_name(one, at)?)),
            "_DEVICE_OBJECT" => {
                let field = one.field("DriverObject").ok()??;
                let Ok(Shape::Pointer { target, .. }) = field.ty.shape() else {
                    return None;
                };
                let driver = self.number(at.wrapping_add(field.offset), 8).ok()?;
                let Ok(Shape::Structure(target)) = target.shape() else {
                    return None;
                };
                let name = self.driver_name(target, Va(driver))?;
                Some(format!("Device for {name}"))
            }
            _ => None,
        }
    }

    fn driver_name(&self, driver: Structure<'_>, at: Va) -> Option<String> {
        let field = driver.field("DriverName").ok()??;
        let Ok(Shape::Structure(string)) = field.ty.shape() else {
            return None;
        };
        self.string(string, at.wrapping_add(field.offset))
    }

    /// The text of a counted string.
    fn string(&self, one: Structure<'_>, at: Va) -> Option<String> {
        let size = match one.ty().name().as_str() {
            "_UNICODE_STRING" => 2,
            "_STRING" | "_ANSI_STRING" => 1,
            _ => return None,
        };
        let member = |name: &str| {
            let field = one.field(name).ok()??;
            let size = field.ty.size().ok()?;
            self.number(at.wrapping_add(field.offset), size).ok()
        };
        let (length, buffer) = (member("Length")?, Va(member("Buffer")?));
        let mut bytes = vec![0; length.min(NAME_LIMIT) as usize];
        Some(match self.memory.read(buffer, &mut bytes) {
            Ok(()) => text_of(&bytes, size),
            Err(_) if bytes.is_empty() => text_of(&[], size),
            Err(fault) => unreadable_text(fault.address),
        })
    }

    /// The text at an address, up to its zero.
    fn terminated(&self, at: Va, size: usize) -> String {
        let mut bytes = [0; TEXT_LIMIT * 2];
        let bytes = &mut bytes[..TEXT_LIMIT * size];
        match self.memory.read_partial(at, bytes) {
            0 if at.0 == 0 => text_of(&[], size),
            0 => unreadable_text(at),
            read => text_of(&bytes[..read], size),
        }
    }

    /// An array of characters as a text.
    fn characters(&self, element: Type<'_>, array: Type<'_>, at: Va) -> Option<String> {
        let size = match element.shape().ok()? {
            Shape::Basic(Basic::Char | Basic::UnsignedChar) => 1,
            Shape::Basic(Basic::WideChar) => 2,
            _ => return None,
        };
        let length = array.size().ok()?.min((TEXT_LIMIT * size) as u64);
        let mut bytes = vec![0; length as usize];
        let read = self.memory.read_partial(at, &mut bytes);
        Some(text_of(&bytes[..read], size))
    }
}

fn mask(size: u64) -> u64 {
    match size {
        0 => 0,
        1..8 => (1 << (size * 8)) - 1,
        _ => u64::MAX,
    }
}

fn sign_extended(value: u64, size: u64) -> i64 {
    match size {
        1 => i64::from(value as u8 as i8),
        2 => i64::from(value as u16 as i16),
        4 => i64::from(value as u32 as i32),
        _ => value as i64,
    }
}

fn is_large_integer(one: &Structure<'_>) -> bool {
    matches!(
        one.ty().name().as_str(),
        "_LARGE_INTEGER" | "_ULARGE_INTEGER"
    )
}

/// Characters of 1 or 2 bytes up to a zero.
fn text_of(bytes: &[u8], size: usize) -> String {
    if size == 1 {
        let bytes = bytes.iter().map(|byte| char::from(*byte));
        return quoted(bytes.take_while(|c| *c != '\0'));
    }
    let units = bytes.as_chunks::<2>().0.iter();
    let units = char::decode_utf16(units.map(|unit| u16::from_le_bytes(*unit)));
    let characters = units.map(|unit| unit.unwrap_or(char::REPLACEMENT_CHARACTER));
    quoted(characters.take_while(|c| *c != '\0'))
}

fn basic_text(basic: Basic, value: u64) -> String {
    match basic {
        Basic::Void | Basic::Unknown => String::new(),
        Basic::Char | Basic::Int { size: 1, .. } => {
            format!("0n{} {}", value as u8 as i8, character(value))
        }
        Basic::UnsignedChar | Basic::Unsigned { size: 1, .. } => {
            format!("{:#04x} {}", value as u8, character(value))
        }
        Basic::WideChar => format!("{:#x} {}", value as u16, character(value)),
        Basic::Bool => (value != 0).to_string(),
        Basic::HResult => format!("0n{}", value as u32 as i32),
        Basic::Int { size, .. } => format!("0n{}", sign_extended(value, size.into())),
        Basic::Unsigned { .. } => unsigned(value),
        Basic::Float { size: 4 } => f32::from_bits(value as u32).to_string(),
        Basic::Float { .. } => f64::from_bits(value).to_string(),
    }
}

/// How many parameters of a function are shown; C++ asks compilers for 256.
const MOST_PARAMETERS: usize = 256;

/// A function's parameters as `kp` has them behind its name: `(void * Object = 0x…, long Status = 0n0)`; as `kP`
/// has them if each is to stand on its line. `void` is for none.
///
/// ```
/// use poolhit::{Lab, Session, report::variables::parameters_text};
/// let mut session = Session::new(Lab::builder().build()?);
/// session.execute("bp nt!NtClose; g; r rcx=123")?;
/// let frame = session.chosen_frame().unwrap();
/// let variables = session.frame_variables(&frame).unwrap();
/// let text = parameters_text(&session, &variables, false);
/// assert_eq!(text, "(void * Handle = 0x00000000`00000123)");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn parameters_text(
    session: &Session,
    variables: &[FrameVariable<'_>],
    on_lines: bool,
) -> String {
    let parameters = variables.iter().filter(|one| one.is_parameter);
    let parameters = parameters.take(MOST_PARAMETERS);
    let texts: Vec<String> = parameters
        .map(|one| {
            let (ty, value) = (one.ty.declared_name(), value_text(session, one));
            format!("{ty} {} = {value}", one.name)
        })
        .collect();
    match (texts.is_empty(), on_lines) {
        (true, _) => "(void)".to_owned(),
        (false, false) => format!("({})", texts.join(", ")),
        (false, true) => format!("(\n\t\t\t{})", texts.join(", \n\t\t\t")),
    }
}
