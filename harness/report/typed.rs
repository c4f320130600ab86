//! The listing of `dt`: a type's members, with their values if there is an address.

use crate::address::Va;
use crate::debugger::Session;
use crate::image::types::{TypeError, TypeIndex};
use crate::symbols::types::{Field, Shape, Structure, Type};
use crate::symbols::wildcard;
use std::fmt::{self, Write};

pub(super) mod text;
mod value;

use text::padded;
use value::Values;

/// The most lines of one listing. Types inside each other can make a few records of a PDB into more
/// lines than anybody reads.
pub const LINE_LIMIT: usize = 16_384;
/// The most structures that one listing looks into.
pub const EXPANSION_LIMIT: usize = 4_096;
/// How deep structures inside each other are shown.
pub const NESTING_LIMIT: usize = 32;
/// The width that names are filled up to where all members are shown.
const NAME_WIDTH: usize = 16;

/// A listing cannot be made, or not to its end.
#[derive(Debug, thiserror::Error)]
pub enum ListingError {
    /// The PDB's types are broken.
    #[error(transparent)]
    Types(#[from] TypeError),
    /// It is too long.
    #[error(
        "the listing is longer than {LINE_LIMIT} lines or {EXPANSION_LIMIT} structures; show \
             fewer fields, or less deep with -r1"
    )]
    TooLong,
    /// Memory that the values are in cannot be read. The listing is complete, with `??` in their
    /// places; here is the last of them.
    #[error("Memory read error {:016x}", .0.0)]
    Unreadable(Va),
    /// The output is gone.
    #[error("the output cannot be written to")]
    Output(#[from] fmt::Error),
}

/// How a type is listed.
#[derive(Clone, Debug, Default)]
pub struct ListingOptions {
    /// How many levels of structures inside others, or that pointers point to, are listed too
    /// (`-r`).
    pub depth: usize,
    /// Structures and arrays inside are listed in full, pointers by themselves (`-b`).
    pub blocks: bool,
    /// Types are named in full (`-v`).
    pub verbose: bool,
    /// How many elements of arrays are listed, each on its line (`-a`).
    pub elements: Option<u64>,
    /// Members without their offsets (`-o`).
    pub without_offsets: bool,
    /// Members at the beginning of their lines (`-i`).
    pub without_indent: bool,
    /// The members to list; all of them if there are none.
    pub fields: Vec<FieldPath>,
}

/// Which members to list: `PoolTag`, `Tail.Overlay.Thread`, or with a point at its end all members
/// of a member.
#[derive(Clone, Debug)]
pub struct FieldPath {
    text: String,
    /// The beginning of a name is enough (`-y`).
    by_prefix: bool,
}

impl FieldPath {
    /// A path as it is typed.
    ///
    /// ```
    /// use poolhit::report::typed::FieldPath;
    /// assert!(FieldPath::new("Tail.Overlay.", false).starts_with("TAIL"));
    /// ```
    pub fn new(text: &str, by_prefix: bool) -> FieldPath {
        FieldPath {
            text: text.to_owned(),
            by_prefix,
        }
    }

    /// Whether a member of that name is the first of the path.
    ///
    /// ```
    /// use poolhit::report::typed::FieldPath;
    /// assert!(FieldPath::new("Pool", true).starts_with("PoolTag"));
    /// assert!(!FieldPath::new("Pool", false).starts_with("PoolTag"));
    /// ```
    pub fn starts_with(&self, name: &str) -> bool {
        self.fits(self.text.split('.').next().unwrap_or_default(), name)
    }

    fn fits(&self, wanted: &str, name: &str) -> bool {
        let start = name.get(..wanted.len());
        match start {
            Some(start) if self.by_prefix => start.eq_ignore_ascii_case(wanted),
            _ => wildcard::matches(wanted, name),
        }
    }
}

/// Lists a type as WinDbg's `dt` does, with the values at an address if there is one.
///
/// # Errors
/// The PDB's types are broken, the listing is too long, values could not be read (the others are
/// listed), or the output refuses.
///
/// ```
/// use poolhit::report::typed::{ListingOptions, write_type};
/// use poolhit::{Lab, Session};
///
/// let session = Session::new(Lab::builder().build()?);
/// let kernel = session.modules().by_name("nt").unwrap();
/// let list = kernel.types().find("_LIST_ENTRY")?.unwrap();
/// let mut text = String::new();
/// write_type(&mut text, &session, list, None, &ListingOptions::default())?;
/// let lines: Vec<_> = text.lines().collect();
/// assert_eq!(lines, [
///     "   +0x000 Flink            : Ptr64 _LIST_ENTRY",
///     "   +0x008 Blink            : Ptr64 _LIST_ENTRY",
/// ]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn write_type(
    out: &mut dyn Write,
    session: &Session,
    ty: Type<'_>,
    at: Option<Va>,
    options: &ListingOptions,
) -> Result<(), ListingError> {
    let mut listing = Listing {
        out,
        values: Values::new(session, options),
        options,
        lines: 0,
        expansions: 0,
        inside: Vec::new(),
    };
    listing.top(ty, at)?;
    match listing.values.fault {
        Some(at) => Err(ListingError::Unreadable(at)),
        None => Ok(()),
    }
}

struct Listing<'a> {
    out: &'a mut dyn Write,
    values: Values<'a>,
    options: &'a ListingOptions,
    lines: usize,
    expansions: usize,
    /// The structures that are being listed, from the outermost on.
    inside: Vec<(TypeIndex, Option<Va>)>,
}

impl Listing<'_> {
    fn line(&mut self, text: &str) -> Result<(), ListingError> {
        self.lines += 1;
        if self.lines > LINE_LIMIT {
            return Err(ListingError::TooLong);
        }
        writeln!(self.out, "{text}")?;
        Ok(())
    }

    fn top(&mut self, ty: Type<'_>, at: Option<Va>) -> Result<(), ListingError> {
        match (ty.shape()?, at) {
            (Shape::Structure(one), _) => {
                if self.options.verbose {
                    self.line(&ty.verbose_name())?;
                }
                let all = self.options.fields.is_empty();
                if let Some(summary) = at
                    .filter(|_| all)
                    .and_then(|at| self.values.summary(ty, at))
                {
                    self.line(&summary)?;
                }
                self.members(one, at, 0)
            }
            (Shape::Enumeration(one), None) => {
                for (name, value) in one.enumerators()? {
                    self.line(&format!("   {name} = 0n{}", value as i64))?;
                }
                Ok(())
            }
            (Shape::Pointer { target, .. }, Some(at)) => {
                let text = self.values.text(ty, at);
                let pointer = self.values.pointer(ty, at).filter(|to| to.0 != 0);
                match (target.shape()?, pointer) {
                    (Shape::Structure(one), Some(to)) => {
                        self.line(&format!("0x{to} "))?;
                        self.members(one, Some(to), 0)
                    }
                    _ => self.line(&text),
                }
            }
            (Shape::Array { element, .. }, Some(at)) => self.top_array(ty, element, at),
            (_, Some(at)) => {
                let text = self.values.text(ty, at);
                self.line(&text)
            }
            (_, None) => {
                let name = self.values.type_name(ty);
                self.line(&name)
            }
        }
    }

    /// A variable that is an array: its elements, each in full, or without `-a` and `-b` the first.
    fn top_array(&mut self, ty: Type<'_>, element: Type<'_>, at: Va) -> Result<(), ListingError> {
        if let Some(listed) = self.elements(&ty.shape()?, Some(at)) {
            let depth = self.options.depth.max(1);
            return self.array(element, listed, at, 0, NAME_WIDTH, depth);
        }
        let text = self.values.text(ty, at);
        self.line(&text)?;
        match element.shape()? {
            Shape::Structure(one) => self.members(one, Some(at), 0),
            _ => Ok(()),
        }
    }

    /// The members that were asked for.
    fn members(
        &mut self,
        structure: Structure<'_>,
        at: Option<Va>,
        level: usize,
    ) -> Result<(), ListingError> {
        if self.options.fields.is_empty() {
            return self.all(structure, at, level, NAME_WIDTH, self.options.depth);
        }
        let mut found = false;
        for path in &self.options.fields {
            found |= self.path(structure, at, level, path, &path.text)?;
        }
        if !found {
            self.line("Cannot find specified field members.")?;
        }
        Ok(())
    }

    fn fields<'t>(&mut self, structure: Structure<'t>) -> Result<Vec<Field<'t>>, ListingError> {
        self.expansions += 1;
        if self.expansions > EXPANSION_LIMIT {
            return Err(ListingError::TooLong);
        }
        Ok(structure.fields()?)
    }

    /// All members of a structure.
    fn all(
        &mut self,
        structure: Structure<'_>,
        at: Option<Va>,
        level: usize,
        width: usize,
        depth: usize,
    ) -> Result<(), ListingError> {
        let this = (structure.ty().index(), at);
        // A list's links lead back to it, and a structure's pointers to the structure.
        if level >= NESTING_LIMIT || self.inside.contains(&this) {
            return Ok(());
        }
        self.inside.push(this);
        let parent = structure.ty();
        for field in self.fields(structure)? {
            self.field(parent, &field, at, level, width, depth)?;
        }
        self.inside.pop();
        Ok(())
    }

    /// One member, and what is inside it.
    fn field(
        &mut self,
        parent: Type<'_>,
        field: &Field<'_>,
        base: Option<Va>,
        level: usize,
        width: usize,
        depth: usize,
    ) -> Result<(), ListingError> {
        let at = base.map(|base| base.wrapping_add(field.offset));
        let shape = field.ty.shape().unwrap_or(Shape::Other);
        let listed = self.elements(&shape, at);
        let text = match at {
            Some(at) if listed.is_some() => self.values.array_summary(field.ty, at),
            Some(at) => self.values.field_text(parent, field, at),
            None => self.values.type_name(field.ty),
        };
        self.member_line(field, level, width, &text)?;
        if let (Some(count), Shape::Array { element, .. }, Some(at)) = (listed, shape, at) {
            return self.array(element, count, at, level, width, depth);
        }
        self.inner(field.ty, at, level, width, depth)
    }

    fn member_line(
        &mut self,
        field: &Field<'_>,
        level: usize,
        width: usize,
        text: &str,
    ) -> Result<(), ListingError> {
        let name = padded(&field.name(), width);
        let indent = match self.options.without_indent {
            true => 0,
            false => 3 * (level + 1),
        };
        let offset = match self.options.without_offsets {
            true => String::new(),
            false => format!("+0x{:03x} ", field.offset),
        };
        self.line(&format!("{:indent$}{offset}{name} : {text}", ""))
    }

    /// How many elements of an array are listed one by one.
    fn elements(&self, shape: &Shape<'_>, at: Option<Va>) -> Option<u64> {
        let wanted = match self.options.elements {
            None if self.options.blocks => Some(u64::MAX),
            wanted => wanted,
        };
        match shape {
            Shape::Array { count, .. } if at.is_some() => Some(wanted?.min(*count)),
            _ => None,
        }
    }

    fn array(
        &mut self,
        element: Type<'_>,
        count: u64,
        at: Va,
        level: usize,
        width: usize,
        depth: usize,
    ) -> Result<(), ListingError> {
        let size = element.size()?;
        let indent = 3 * level + 4;
        for index in 0..count {
            let at = at.wrapping_add(index.wrapping_mul(size));
            let text = self.values.text(element, at);
            self.line(&format!("{:indent$}[{index:02}] {text}", ""))?;
            self.inner(element, Some(at), level, width, depth)?;
        }
        Ok(())
    }

    /// What is inside a structure or behind a pointer, if that is to be shown.
    fn inner(
        &mut self,
        ty: Type<'_>,
        at: Option<Va>,
        level: usize,
        width: usize,
        depth: usize,
    ) -> Result<(), ListingError> {
        let Some(deeper) = depth.checked_sub(1) else {
            return Ok(());
        };
        match ty.shape() {
            Ok(Shape::Structure(one)) => self.all(one, at, level + 1, width, deeper),
            Ok(Shape::Array { element, .. }) => match element.shape() {
                // of several elements the first, as its value is the one shown
                Ok(Shape::Structure(one)) => self.all(one, at, level + 1, width, deeper),
                _ => Ok(()),
            },
            Ok(Shape::Pointer { target, .. }) if !self.options.blocks => {
                let to = at.map(|at| self.values.pointer(ty, at));
                match (target.shape(), to) {
                    (Ok(Shape::Structure(one)), None) => {
                        self.all(one, None, level + 1, width, deeper)
                    }
                    (Ok(Shape::Structure(one)), Some(Some(to)))
                        if to.0 != 0 && self.values.is_readable(to) =>
                    {
                        self.all(one, Some(to), level + 1, width, deeper)
                    }
                    _ => Ok(()),
                }
            }
            _ => Ok(()),
        }
    }

    /// The members of a path; whether there are any.
    fn path(
        &mut self,
        structure: Structure<'_>,
        at: Option<Va>,
        level: usize,
        path: &FieldPath,
        rest: &str,
    ) -> Result<bool, ListingError> {
        if level >= NESTING_LIMIT {
            return Err(ListingError::TooLong);
        }
        let width = path.text.len();
        let (wanted, rest) = match rest.split_once('.') {
            Some((wanted, rest)) => (wanted, Some(rest)),
            None => (rest, None),
        };
        if level > 0 && wanted.is_empty() && rest.is_none() {
            self.all(structure, at, level, width, self.options.depth)?;
            return Ok(true);
        }
        let mut found = false;
        for field in self.fields(structure)? {
            if !path.fits(wanted, &field.name()) {
                continue;
            }
            found = true;
            let Some(rest) = rest else {
                let depth = self.options.depth;
                self.field(structure.ty(), &field, at, level, width, depth)?;
                continue;
            };
            let place = at.map(|at| at.wrapping_add(field.offset));
            let (inner, place, text) = match field.ty.shape()? {
                Shape::Structure(one) => {
                    let summary = place.and_then(|at| self.values.summary(field.ty, at));
                    (Some(one), place, summary.unwrap_or_default())
                }
                Shape::Pointer { target, .. } => {
                    let to = place.map(|at| self.values.pointer(field.ty, at).unwrap_or_default());
                    let text = match to {
                        Some(Va(0)) => "(null) ".to_owned(),
                        Some(to) => format!("0x{to} "),
                        None => field.ty.block_name(),
                    };
                    match target.shape()? {
                        Shape::Structure(one) if to != Some(Va(0)) => (Some(one), to, text),
                        _ => (None, None, text),
                    }
                }
                _ => (None, None, self.values.type_name(field.ty)),
            };
            self.member_line(&field, level, width, &text)?;
            if let Some(inner) = inner {
                self.path(inner, place, level + 1, path, rest)?;
            }
        }
        Ok(found)
    }
}
