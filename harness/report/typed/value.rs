//! Values of types in guest memory, as `dt` shows them.
//!
//! The forms are those of debuggers of Windows 7's time, from listings that their users published;
//! `tests/display_type.rs` quotes them.

use super::ListingOptions;
use super::text::{bits, byte, character, quoted, short, unreadable_text, unsigned};
use crate::address::Va;
use crate::debugger::Session;
use crate::image::types::{Basic, TypeError};
use crate::memory::ReadMemory;
use crate::symbols::types::{Field, Shape, Structure, Type};

/// The most characters shown of a text that ends at a zero.
const TEXT_LIMIT: usize = 256;
/// How many pointers to pointers, and arrays of arrays, are looked through.
const DEPTH_LIMIT: usize = 4;

/// Reads and words values; keeps the last place that could not be read.
pub(super) struct Values<'a> {
    session: &'a Session,
    options: &'a ListingOptions,
    pub(super) fault: Option<Va>,
}

impl<'a> Values<'a> {
    pub(super) fn new(session: &'a Session, options: &'a ListingOptions) -> Values<'a> {
        Values {
            session,
            options,
            fault: None,
        }
    }

    fn memory(&self) -> &'a dyn ReadMemory {
        self.session.lab().machine()
    }

    pub(super) fn is_readable(&self, at: Va) -> bool {
        self.memory().read_u8(at).is_ok()
    }

    /// A type's name, in the form that was asked for.
    pub(super) fn type_name(&self, ty: Type<'_>) -> String {
        match self.options {
            ListingOptions { verbose: true, .. } => ty.verbose_name(),
            ListingOptions { blocks: true, .. } => ty.block_name(),
            _ => ty.name(),
        }
    }

    /// A number of up to eight bytes.
    fn number(&mut self, at: Va, size: u64) -> Option<u64> {
        let mut bytes = [0; 8];
        let part = bytes.get_mut(..size as usize)?;
        match self.memory().read(at, part) {
            Ok(()) => Some(u64::from_le_bytes(bytes)),
            Err(_) => {
                self.fault = Some(at);
                None
            }
        }
    }

    /// What a pointer points to.
    pub(super) fn pointer(&mut self, ty: Type<'_>, at: Va) -> Option<Va> {
        let size = ty.size().ok()?;
        self.number(at, size).map(Va)
    }

    /// A value in one line.
    pub(super) fn text(&mut self, ty: Type<'_>, at: Va) -> String {
        self.value(ty, at, DEPTH_LIMIT)
            .unwrap_or_else(|_| "??".to_owned())
    }

    /// A member's value in one line.
    pub(super) fn field_text(&mut self, parent: Type<'_>, field: &Field<'_>, at: Va) -> String {
        let is_text = field.is_called("Buffer") && is_string(&parent.name()).is_some();
        if is_text && !self.options.blocks {
            let start = at.wrapping_sub(field.offset);
            if let (Some(to), Some(text)) =
                (self.pointer(field.ty, at), self.summary(parent, start))
                && to.0 != 0
            {
                return format!("0x{to} {text}");
            }
        }
        self.text(field.ty, at)
    }

    /// The line above an array whose elements are listed: its text, if it is one.
    pub(super) fn array_summary(&mut self, ty: Type<'_>, at: Va) -> String {
        match ty.shape() {
            Ok(Shape::Array { element, count, .. }) => {
                self.characters(element, count, at).unwrap_or_default()
            }
            _ => String::new(),
        }
    }

    fn value(&mut self, ty: Type<'_>, at: Va, depth: usize) -> Result<String, TypeError> {
        let unreadable = || "??".to_owned();
        let Some(depth) = depth.checked_sub(1) else {
            return Ok(String::new());
        };
        Ok(match ty.shape()? {
            Shape::Basic(basic) => match self.number(at, basic.size()) {
                Some(value) => basic_text(basic, value),
                None => unreadable(),
            },
            Shape::BitField {
                underlying,
                position,
                length,
            } => match self.number(at, underlying.size()?) {
                Some(value) => {
                    let mask = u64::MAX.checked_shr(64 - u32::from(length.min(64)));
                    let value = value.checked_shr(position.into()).unwrap_or(0);
                    bits(value & mask.unwrap_or(0), length.min(64))
                }
                None => unreadable(),
            },
            Shape::Enumeration(one) => match self.number(at, one.underlying.size()?) {
                Some(value) => match one.name_of(value)? {
                    Some(name) => format!("{value:x} ( {name} )"),
                    None if value == 0 => "0 (No matching name)".to_owned(),
                    None => format!("{value:#x} (No matching name)"),
                },
                None => unreadable(),
            },
            Shape::Array { element, count, .. } => match self.characters(element, count, at) {
                Some(text) => format!("[{count}] {text}"),
                None => format!("[{count}] {}", self.value(element, at, depth)?),
            },
            Shape::Structure(_) => {
                let summary = self.summary(ty, at).unwrap_or_default();
                format!("{}{summary}", self.type_name(ty))
            }
            Shape::Pointer { target, size } => match self.number(at, size) {
                Some(0) => "(null) ".to_owned(),
                Some(to) => self.pointer_text(Va(to), target, depth)?,
                None => "???? ".to_owned(),
            },
            Shape::Function { .. } | Shape::Other => String::new(),
        })
    }

    /// A pointer that is not null, and what it points to.
    fn pointer_text(
        &mut self,
        to: Va,
        target: Type<'_>,
        depth: usize,
    ) -> Result<String, TypeError> {
        if self.options.blocks {
            return Ok(format!("0x{to} "));
        }
        Ok(match target.shape()? {
            Shape::Function { result } => {
                let near = self.session.modules().nearest(to);
                let symbol = near.and_then(|near| Some((near.module, near.symbol?, near.offset)));
                let symbol = match symbol {
                    Some((module, symbol, offset)) => {
                        format!("{}!{}+{offset:x}", module.name(), symbol.display_name())
                    }
                    None => "+0".to_owned(),
                };
                format!("0x{to}     {}  {symbol}", result.c_name())
            }
            Shape::Basic(Basic::Void) => format!("0x{to} Void"),
            Shape::Basic(Basic::Char | Basic::UnsignedChar) => {
                format!("0x{to}  {}", self.terminated(to, 1))
            }
            Shape::Basic(Basic::WideChar) => format!("0x{to}  {}", self.terminated(to, 2)),
            Shape::Structure(_) => {
                let fault = self.fault;
                let summary = self.summary(target, to).unwrap_or_default();
                self.fault = fault;
                format!("0x{to} {}{summary}", self.type_name(target))
            }
            // what is behind a pointer to a pointer is no part of what was asked for
            _ => {
                let fault = self.fault;
                let value = self.value(target, to, depth)?;
                self.fault = fault;
                format!("0x{to}  -> {value}")
            }
        })
    }

    /// An array of characters as a text.
    fn characters(&mut self, element: Type<'_>, count: u64, at: Va) -> Option<String> {
        let size = match element.shape().ok()? {
            Shape::Basic(Basic::Char | Basic::UnsignedChar) => 1,
            Shape::Basic(Basic::WideChar) => 2,
            _ => return None,
        };
        let mut bytes = vec![0; (count.min(TEXT_LIMIT as u64) * size) as usize];
        let read = self.memory().read_partial(at, &mut bytes);
        if read == 0 && !bytes.is_empty() {
            self.fault = Some(at);
            return Some("??".to_owned());
        }
        Some(format!(" {}", text_of(&bytes[..read], size)))
    }

    /// The text at an address, up to its zero.
    fn terminated(&self, at: Va, size: u64) -> String {
        let mut bytes = [0; TEXT_LIMIT * 2];
        let bytes = &mut bytes[..TEXT_LIMIT * size as usize];
        match self.memory().read_partial(at, bytes) {
            0 => unreadable_text(at),
            read => text_of(&bytes[..read], size),
        }
    }

    /// What is said of some structures besides their names, with the space before it: a list's
    /// links, a string's text, a large integer's value.
    pub(super) fn summary(&mut self, ty: Type<'_>, at: Va) -> Option<String> {
        let Ok(Shape::Structure(one)) = ty.shape() else {
            return None;
        };
        let name = one.ty().name();
        if let Some(wide) = is_string(&name) {
            return self.string(one, at, wide);
        }
        match name.as_str() {
            "_LIST_ENTRY" => {
                let next = self.member(one, "Flink", at)?;
                let previous = self.member(one, "Blink", at)?;
                Some(format!(" [ 0x{} - {} ]", Va(next), short(previous)))
            }
            "_LARGE_INTEGER" | "_ULARGE_INTEGER" => {
                let value = self.member(one, "QuadPart", at)?;
                Some(format!(" {}", short(value)))
            }
            _ => None,
        }
    }

    /// A number in a structure.
    fn member(&mut self, structure: Structure<'_>, name: &str, at: Va) -> Option<u64> {
        let field = structure.field(name).ok()??;
        let size = field.ty.size().ok()?;
        self.number(at.wrapping_add(field.offset), size)
    }

    fn string(&mut self, structure: Structure<'_>, at: Va, wide: bool) -> Option<String> {
        let length = self.member(structure, "Length", at)?;
        let buffer = Va(self.member(structure, "Buffer", at)?);
        let mut bytes = vec![0; length.min(0xffff) as usize];
        let text = match self.memory().read(buffer, &mut bytes) {
            _ if bytes.is_empty() => quoted([].into_iter()),
            Ok(()) if wide => quoted(decode(&bytes)),
            Ok(()) => quoted(bytes.iter().map(|byte| char::from(*byte))),
            Err(fault) => unreadable_text(fault.address),
        };
        Some(format!(" {text}"))
    }
}

/// Whether a structure is a counted string, and one of 16-bit characters.
fn is_string(name: &str) -> Option<bool> {
    match name {
        "_UNICODE_STRING" => Some(true),
        "_STRING" | "_ANSI_STRING" => Some(false),
        _ => None,
    }
}

fn decode(bytes: &[u8]) -> impl Iterator<Item = char> {
    let units = bytes
        .chunks_exact(2)
        .map(|unit| u16::from_le_bytes([unit[0], unit[1]]));
    char::decode_utf16(units).map(|unit| unit.unwrap_or(char::REPLACEMENT_CHARACTER))
}

/// Characters of 1 or 2 bytes up to a zero.
fn text_of(bytes: &[u8], size: u64) -> String {
    match size {
        2 => quoted(decode(bytes).take_while(|c| *c != '\0')),
        _ => quoted(
            bytes
                .iter()
                .map(|byte| char::from(*byte))
                .take_while(|c| *c != '\0'),
        ),
    }
}

fn basic_text(basic: Basic, value: u64) -> String {
    match basic {
        Basic::Void | Basic::Unknown => String::new(),
        Basic::Char | Basic::Int { size: 1, .. } => {
            format!("{} {}", value as u8 as i8, character(value))
        }
        Basic::UnsignedChar | Basic::Unsigned { size: 1, .. } => {
            format!("{} {}", byte(value as u8), character(value))
        }
        Basic::WideChar => format!("{} {}", unsigned(value), character(value)),
        Basic::Bool => unsigned(value),
        Basic::Int { size: 2, .. } => format!("0n{}", value as u16 as i16),
        Basic::Int { size: 4, .. } | Basic::HResult => format!("0n{}", value as u32 as i32),
        Basic::Int { .. } => format!("0n{}", value as i64),
        Basic::Unsigned { .. } => unsigned(value),
        Basic::Float { size: 4 } => f32::from_bits(value as u32).to_string(),
        Basic::Float { .. } => f64::from_bits(value).to_string(),
    }
}
