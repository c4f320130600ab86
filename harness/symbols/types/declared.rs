//! Types' names as WinDbg has them in front of parameters and local variables.

use super::{DEPTH_LIMIT, Shape, Type};
use crate::image::types::AggregateKind;
use std::fmt::Write;

/// The most characters of a name.
const NAME_LENGTH: usize = 4096;

impl Type<'_> {
    /// The name as `dv /t` and `kP` have it: `unsigned long`, `struct _IRP *`, `void **`, `unsigned char [32]`,
    /// `struct _PSP *[100]`, `<function> *`; what is `const` is not said.
    ///
    /// The forms are those of stacks and variables that WinDbg's users published.
    ///
    /// ```
    /// # use poolhit::guest::GuestImages;
    /// # let types = &GuestImages::built_in().kernel.types;
    /// assert_eq!(types.find("PLIST_ENTRY")?.unwrap().declared_name(), "struct _LIST_ENTRY *");
    /// assert_eq!(types.find("POOL_TYPE")?.unwrap().declared_name(), "_POOL_TYPE");
    /// # Ok::<(), poolhit::image::types::TypeError>(())
    /// ```
    pub fn declared_name(&self) -> String {
        let mut name = self.declared(DEPTH_LIMIT);
        // What compilers make has at most 4096 characters.
        if let Some((end, _)) = name.char_indices().nth(NAME_LENGTH) {
            name.truncate(end);
        }
        name
    }

    fn declared(self, depth: usize) -> String {
        let (Ok(shape), Some(depth)) = (self.shape(), depth.checked_sub(1)) else {
            return "<unknown base type>".to_owned();
        };
        match shape {
            Shape::Pointer { target, .. } => {
                let target = target.declared(depth);
                let space = if target.ends_with('*') { "" } else { " " };
                format!("{target}{space}*")
            }
            Shape::Array { .. } => {
                // The first dimension is the outermost, and stands first.
                let (mut counts, mut element, mut left) = (String::new(), self, depth);
                while let (
                    Ok(Shape::Array {
                        element: inner,
                        count,
                        ..
                    }),
                    Some(next),
                ) = (element.shape(), left.checked_sub(1))
                {
                    _ = write!(counts, "[{count}]");
                    (element, left) = (inner, next);
                }
                let element = element.declared(left);
                let space = if element.ends_with('*') { "" } else { " " };
                format!("{element}{space}{counts}")
            }
            Shape::Structure(one) => {
                let kind = match one.kind {
                    AggregateKind::Structure => "struct",
                    AggregateKind::Class => "class",
                    AggregateKind::Union => "union",
                };
                format!("{kind} {}", self.c_name())
            }
            Shape::Function { .. } => "<function>".to_owned(),
            Shape::Basic(_) | Shape::Enumeration(_) | Shape::BitField { .. } | Shape::Other => {
                self.c_name()
            }
        }
    }
}
