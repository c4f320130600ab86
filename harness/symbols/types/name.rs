//! Types' names, as WinDbg's `dt` has them.

use super::{DEPTH_LIMIT, Shape, Type};
use crate::image::types::{AggregateKind, TypeRecord};

/// The text of a name out of a PDB, without what would move a terminal's cursor.
pub(super) fn printable(name: &[u8]) -> String {
    let text = String::from_utf8_lossy(name);
    let shown = |c: char| {
        if c.is_control() {
            char::REPLACEMENT_CHARACTER
        } else {
            c
        }
    };
    text.chars().map(shown).collect()
}

/// The name of a structure or enumeration. Compilers put the enclosing structure's name before
/// that of an unnamed one (`_IRP::<unnamed-tag>`); Microsoft's C compiler of Windows 7 did not.
pub(super) fn tag(name: &[u8]) -> String {
    let name = printable(name);
    match name.rsplit_once("::") {
        Some((_, last)) if last.starts_with("<unnamed-") || last.starts_with("<anonymous-") => {
            last.to_owned()
        }
        _ => name,
    }
}

impl<'t> Type<'t> {
    /// The name as `dt` has it: `Uint4B`, `_LIST_ENTRY`, `Ptr64 _EPROCESS`, `[256] _LIST_ENTRY`,
    /// `Pos 8, 8 Bits`, ``Ptr64     long `` for a pointer to a function. What cannot be read is
    /// `<unknown base type>`.
    ///
    /// ```
    /// # use poolhit::{guest::GuestImages, symbols::types::Shape};
    /// # let types = &GuestImages::built_in().kernel.types;
    /// let driver = types.find("_DRIVER_OBJECT")?.unwrap();
    /// let Shape::Structure(driver) = driver.shape()? else { panic!("a structure") };
    /// let functions = driver.field("MajorFunction")?.unwrap();
    /// assert_eq!(functions.ty.name(), "[28] Ptr64     long ");
    /// # Ok::<(), poolhit::image::types::TypeError>(())
    /// ```
    pub fn name(&self) -> String {
        self.text(false, true, DEPTH_LIMIT)
    }

    /// The name as `dt -v` has it: `struct _LIST_ENTRY, 2 elements, 0x10 bytes`,
    /// `Ptr64 to Void`, `Bitfield Pos 8, 8 Bits`.
    ///
    /// ```
    /// # use poolhit::guest::GuestImages;
    /// # let types = &GuestImages::built_in().kernel.types;
    /// let list = types.find("PLIST_ENTRY")?.unwrap();
    /// assert_eq!(list.verbose_name(), "Ptr64 to struct _LIST_ENTRY, 2 elements, 0x10 bytes");
    /// # Ok::<(), poolhit::image::types::TypeError>(())
    /// ```
    pub fn verbose_name(&self) -> String {
        self.text(true, true, DEPTH_LIMIT)
    }

    /// The name as `dt -b` has it: what a pointer points to is left out.
    ///
    /// ```
    /// # use poolhit::guest::GuestImages;
    /// # let types = &GuestImages::built_in().kernel.types;
    /// assert_eq!(types.find("PLIST_ENTRY")?.unwrap().block_name(), "Ptr64 ");
    /// # Ok::<(), poolhit::image::types::TypeError>(())
    /// ```
    pub fn block_name(&self) -> String {
        self.text(false, false, DEPTH_LIMIT)
    }

    fn text(&self, verbose: bool, targets: bool, depth: usize) -> String {
        let unknown = || "<unknown base type>".to_owned();
        let (Ok(shape), Some(depth)) = (self.shape(), depth.checked_sub(1)) else {
            return unknown();
        };
        match shape {
            Shape::Basic(basic) => basic.to_string(),
            Shape::Pointer { target, size } => {
                let to = if verbose { "to " } else { "" };
                let target = match targets {
                    true => target.text(verbose, targets, depth),
                    false => String::new(),
                };
                format!("Ptr{} {to}{target}", size * 8)
            }
            Shape::Array { element, count, .. } => {
                format!("[{count}] {}", element.text(verbose, targets, depth))
            }
            Shape::Function { result } => format!("    {} ", result.c_text(depth)),
            Shape::BitField {
                position, length, ..
            } => {
                let bitfield = if verbose { "Bitfield " } else { "" };
                let plural = if length == 1 { "" } else { "s" };
                format!("{bitfield}Pos {position}, {length} Bit{plural}")
            }
            Shape::Structure(one) if verbose => {
                let kind = match one.kind {
                    AggregateKind::Structure => "struct",
                    AggregateKind::Class => "class",
                    AggregateKind::Union => "union",
                };
                let (name, elements) = (one.ty.tag_name(), one.count);
                format!("{kind} {name}, {elements} elements, {:#x} bytes", one.size)
            }
            Shape::Enumeration(one) if verbose => {
                format!("Enum {},  {} total enums", one.ty.tag_name(), one.count)
            }
            Shape::Structure(one) => one.ty.tag_name(),
            Shape::Enumeration(one) => one.ty.tag_name(),
            Shape::Other => unknown(),
        }
    }

    /// The name in C, which is what a function's type is shown by: its result.
    ///
    /// ```
    /// # use poolhit::guest::GuestImages;
    /// # let types = &GuestImages::built_in().kernel.types;
    /// assert_eq!(types.find("PLIST_ENTRY")?.unwrap().c_name(), "_LIST_ENTRY*");
    /// # Ok::<(), poolhit::image::types::TypeError>(())
    /// ```
    pub fn c_name(&self) -> String {
        self.c_text(DEPTH_LIMIT)
    }

    fn c_text(&self, depth: usize) -> String {
        let (Ok(shape), Some(depth)) = (self.shape(), depth.checked_sub(1)) else {
            return "<unknown>".to_owned();
        };
        match shape {
            Shape::Basic(basic) => basic.c_name().to_owned(),
            Shape::Pointer { target, .. } => format!("{}*", target.c_text(depth)),
            Shape::Array { element, count, .. } => format!("{}[{count}]", element.c_text(depth)),
            Shape::Structure(one) => one.ty.tag_name(),
            Shape::Enumeration(one) => one.ty.tag_name(),
            Shape::Function { result } => format!("{}()", result.c_text(depth)),
            Shape::BitField { underlying, .. } => underlying.c_text(depth),
            Shape::Other => "<unknown>".to_owned(),
        }
    }

    fn tag_name(&self) -> String {
        match self.table.record(self.index) {
            Ok(TypeRecord::Aggregate(one)) => tag(one.name),
            Ok(TypeRecord::Enum(one)) => tag(one.name),
            _ => String::new(),
        }
    }
}
