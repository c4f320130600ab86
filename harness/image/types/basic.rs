//! Basic types: the indices below 0x1000, which no record describes (`TYPE_ENUM_e` of `cvinfo.h`).

use super::stream::TypeIndex;
use std::fmt;

/// A type that compilers know by themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Basic {
    /// `void`.
    Void,
    /// `char` and `signed char`.
    Char,
    /// `unsigned char`.
    UnsignedChar,
    /// `wchar_t` and `char16_t`.
    WideChar,
    /// `bool`.
    Bool,
    /// A signed number of so many bytes.
    Int {
        /// 1, 2, 4, 8 or 16.
        size: u8,
        /// It is the compiler's `long`, not its `int`: of the same size, but another name.
        long: bool,
    },
    /// An unsigned number of so many bytes.
    Unsigned {
        /// 1, 2, 4, 8 or 16.
        size: u8,
        /// It is the compiler's `unsigned long`.
        long: bool,
    },
    /// A floating-point number of so many bytes.
    Float {
        /// 2, 4, 8, 10 or 16.
        size: u8,
    },
    /// `HRESULT`.
    HResult,
    /// One of the many that Windows does not use, or none at all.
    Unknown,
}

/// What a basic type's index says besides the type: 0 for the type itself, else a pointer to it.
const MODE_SHIFT: u32 = 8;
const MODE_MASK: u32 = 0xf;

impl Basic {
    /// The basic type of an index, and the size in bytes of the pointer to it that the index means;
    /// 0 if it means the type itself.
    ///
    /// ```
    /// use poolhit::image::types::{Basic, TypeIndex};
    /// assert_eq!(Basic::from_index(TypeIndex(0x603)), Some((Basic::Void, 8)));
    /// assert_eq!(Basic::from_index(TypeIndex(0x20)), Some((Basic::UnsignedChar, 0)));
    /// assert_eq!(Basic::from_index(TypeIndex(0x1000)), None);
    /// ```
    pub fn from_index(index: TypeIndex) -> Option<(Basic, u8)> {
        if !index.is_basic() {
            return None;
        }
        let pointer = match index.0 >> MODE_SHIFT & MODE_MASK {
            0 => 0,
            1 => 2,
            2 | 4 => 4,
            5 => 6,
            7 => 16,
            _ => 8,
        };
        let int = |size, long| Basic::Int { size, long };
        let unsigned = |size, long| Basic::Unsigned { size, long };
        let basic = match index.0 & 0xff {
            0x03 => Basic::Void,
            0x08 => Basic::HResult,
            0x10 | 0x70 => Basic::Char,
            0x20 => Basic::UnsignedChar,
            0x71 | 0x7a => Basic::WideChar,
            0x30..=0x33 => Basic::Bool,
            0x68 => int(1, false),
            0x69 | 0x7c => unsigned(1, false),
            0x11 | 0x72 => int(2, false),
            0x21 | 0x73 => unsigned(2, false),
            0x12 => int(4, true),
            0x74 => int(4, false),
            0x22 => unsigned(4, true),
            0x75 | 0x7b => unsigned(4, false),
            0x13 | 0x76 => int(8, false),
            0x23 | 0x77 => unsigned(8, false),
            0x14 | 0x78 => int(16, false),
            0x24 | 0x79 => unsigned(16, false),
            0x46 => Basic::Float { size: 2 },
            0x40 => Basic::Float { size: 4 },
            0x41 => Basic::Float { size: 8 },
            0x42 => Basic::Float { size: 10 },
            0x43 => Basic::Float { size: 16 },
            _ => Basic::Unknown,
        };
        Some((basic, pointer))
    }

    /// Its size in bytes; 0 for what has no values.
    ///
    /// ```
    /// use poolhit::image::types::Basic;
    /// assert_eq!(Basic::WideChar.size(), 2);
    /// ```
    pub fn size(self) -> u64 {
        match self {
            Basic::Void | Basic::Unknown => 0,
            Basic::Char | Basic::UnsignedChar | Basic::Bool => 1,
            Basic::WideChar => 2,
            Basic::HResult => 4,
            Basic::Int { size, .. } | Basic::Unsigned { size, .. } | Basic::Float { size } => {
                u64::from(size)
            }
        }
    }

    /// The name in C, as WinDbg has it for what a function returns.
    ///
    /// ```
    /// use poolhit::image::types::{Basic, TypeIndex};
    /// let (ntstatus, _) = Basic::from_index(TypeIndex(0x12)).unwrap();
    /// assert_eq!(ntstatus.c_name(), "long");
    /// ```
    pub fn c_name(self) -> &'static str {
        match self {
            Basic::Void => "void",
            Basic::Char => "char",
            Basic::UnsignedChar | Basic::Unsigned { size: 1, .. } => "unsigned char",
            Basic::WideChar => "wchar_t",
            Basic::Bool => "bool",
            Basic::Int { size: 1, .. } => "signed char",
            Basic::Int { size: 2, .. } => "short",
            Basic::Int {
                size: 4,
                long: true,
            } => "long",
            Basic::Int { size: 4, .. } => "int",
            Basic::Int { size: 8, .. } => "int64",
            Basic::Int { .. } => "int128",
            Basic::Unsigned { size: 2, .. } => "unsigned short",
            Basic::Unsigned {
                size: 4,
                long: true,
            } => "unsigned long",
            Basic::Unsigned { size: 4, .. } => "unsigned int",
            Basic::Unsigned { size: 8, .. } => "unsigned int64",
            Basic::Unsigned { .. } => "unsigned int128",
            Basic::Float { size: 4 } => "float",
            Basic::Float { size: 8 } => "double",
            Basic::Float { .. } => "long double",
            Basic::HResult => "HRESULT",
            Basic::Unknown => "<unknown>",
        }
    }
}

/// Prints as in WinDbg's `dt`.
///
/// ```
/// use poolhit::image::types::{Basic, TypeIndex};
/// let (ulong, _) = Basic::from_index(TypeIndex(0x22)).unwrap();
/// assert_eq!(ulong.to_string(), "Uint4B");
/// ```
impl fmt::Display for Basic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Basic::Void => f.write_str("Void"),
            Basic::Char | Basic::Int { size: 1, .. } => f.write_str("Char"),
            Basic::UnsignedChar | Basic::Unsigned { size: 1, .. } => f.write_str("UChar"),
            Basic::WideChar => f.write_str("Wchar"),
            Basic::Bool => f.write_str("Bool"),
            Basic::Int { size, .. } => write!(f, "Int{size}B"),
            Basic::Unsigned { size, .. } => write!(f, "Uint{size}B"),
            Basic::Float { size: 4 } => f.write_str("Float"),
            Basic::Float { size: 8 } => f.write_str("Double"),
            Basic::Float { size } => write!(f, "Float{size}B"),
            Basic::HResult => f.write_str("HRESULT"),
            Basic::Unknown => f.write_str("<unknown base type>"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Names from listings that WinDbg's users published (`_KPRCB`, `_UNICODE_STRING`,
    /// `_DRIVER_OBJECT` and others of Windows 7 x64).
    #[test]
    fn names_are_windbgs() {
        for (index, name, c_name, size) in [
            (0x03, "Void", "void", 0),
            (0x10, "Char", "char", 1),
            (0x70, "Char", "char", 1),
            (0x20, "UChar", "unsigned char", 1),
            (0x71, "Wchar", "wchar_t", 2),
            (0x11, "Int2B", "short", 2),
            (0x21, "Uint2B", "unsigned short", 2),
            (0x12, "Int4B", "long", 4),
            (0x74, "Int4B", "int", 4),
            (0x22, "Uint4B", "unsigned long", 4),
            (0x13, "Int8B", "int64", 8),
            (0x23, "Uint8B", "unsigned int64", 8),
            (0x40, "Float", "float", 4),
            (0x41, "Double", "double", 8),
        ] {
            let (basic, pointer) = Basic::from_index(TypeIndex(index)).unwrap();
            assert_eq!(basic.to_string(), name);
            assert_eq!(basic.c_name(), c_name);
            assert_eq!((basic.size(), pointer), (size, 0), "{name}");
        }
    }

    #[test]
    fn every_index_below_the_records_has_an_answer() {
        for index in 0..0x1000 {
            let (basic, pointer) = Basic::from_index(TypeIndex(index)).unwrap();
            assert!(basic.size() <= 16 && pointer <= 16);
            assert!(!basic.to_string().is_empty() && !basic.c_name().is_empty());
        }
    }
}
