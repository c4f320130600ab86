//! Address ranges: the argument of every command that shows or changes memory.
//!
//! The forms are the debugger's manual's, "Address and Address Range Syntax":
//!
//! | form | range |
//! |---|---|
//! | `addr` | a count of elements that the command chooses |
//! | `addr end` | from `addr` to `end`, both included |
//! | `addr L n` | `n` elements from `addr` on |
//! | `addr L- n` | the `n` elements before `addr` |
//! | `addr L? n` | as `L`, without the limit of 256 MB |
//! | `L n` | `n` elements from where the command goes on by itself, for those that do |

use super::cursor::{ArgumentError, CommandErrorKind, Cursor};
use super::expression::{ExpressionContext, ExpressionError};
use crate::address::Va;

/// The longest range without `L?`, in bytes: longer ones are mostly typing errors.
pub const MAX_BYTES: u64 = 256 << 20;

/// Bytes of virtual memory that follow each other, at least one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct AddressRange {
    /// The first byte.
    pub start: Va,
    /// How many bytes; the range ends at or before the end of the address space. Only `L?` makes
    /// this more than [`MAX_BYTES`].
    pub bytes: u64,
}

/// How a command reads its range.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RangeSyntax {
    /// What `L` counts, in bytes: 1 for `db`, 4 for `dd` and `dc`.
    pub element_size: u64,
    /// How many elements a single address stands for, or `None` if the command needs a range.
    pub default_count: Option<u64>,
    /// Where the range starts if the command has no argument, or `None` if it needs one.
    pub default_start: Option<Va>,
}

impl RangeSyntax {
    /// A range of bytes that has to be given whole.
    ///
    /// ```
    /// use poolhit::debugger::range::RangeSyntax;
    /// assert_eq!(RangeSyntax::bytes().default_count, None);
    /// ```
    pub fn bytes() -> RangeSyntax {
        RangeSyntax {
            element_size: 1,
            default_count: None,
            default_start: None,
        }
    }
}

impl AddressRange {
    /// How many elements the range touches, if it is cut into elements of this size in bytes from
    /// its start on. The last one may reach over the end.
    ///
    /// ```
    /// use poolhit::{address::Va, debugger::range::AddressRange};
    /// let range = AddressRange { start: Va(0x1000), bytes: 9 };
    /// assert_eq!(range.count(4), 3);
    /// ```
    pub fn count(&self, element_size: u64) -> u64 {
        self.bytes.div_ceil(element_size.max(1))
    }
}

impl Cursor<'_> {
    /// Reads an address range.
    ///
    /// # Errors
    /// An expression has no value; or, as a range error, the range is empty, ends before it
    /// starts, leaves the address space, or is longer than [`MAX_BYTES`] without `L?`.
    ///
    /// ```
    /// # use poolhit::address::Va;
    /// # use poolhit::debugger::{cursor::Cursor, expression::*, range::*};
    /// # use poolhit::memory::*;
    /// # struct Nothing;
    /// # impl ReadMemory for Nothing {
    /// #     fn read(&self, address: Va, _: &mut [u8]) -> Result<(), MemoryFault> {
    /// #         Err(MemoryFault { address, reason: FaultReason::NotCanonical, done: 0 })
    /// #     }
    /// # }
    /// # impl ExpressionContext for Nothing {
    /// #     fn symbol(&self, _: &str) -> Result<u64, SymbolError> { Err(SymbolError::NotFound) }
    /// #     fn register(&self, _: &str) -> Option<u64> { None }
    /// #     fn current_address(&self) -> u64 { 0 }
    /// #     fn memory(&self) -> &dyn ReadMemory { self }
    /// # }
    /// # let target = Nothing;
    /// let dc = RangeSyntax { element_size: 4, default_count: Some(32), default_start: None };
    /// let mut cursor = Cursor::new("1000 l2");
    /// let range = cursor.next_range(&target, dc).unwrap();
    /// assert_eq!(range, AddressRange { start: Va(0x1000), bytes: 8 });
    /// ```
    pub fn next_range(
        &mut self,
        context: &dyn ExpressionContext,
        syntax: RangeSyntax,
    ) -> Result<AddressRange, ArgumentError> {
        let start = match syntax.default_start {
            Some(start) => self.next_start_or(context, start)?,
            None => Va(self.next_expression(context)?),
        };
        if self.eat("l") {
            return self.counted_range(context, start, syntax.element_size);
        }
        match syntax.default_count {
            Some(count) if self.at_end() => {
                // The command chose this count, so at the end of the address space it gives way.
                let room = (u64::MAX - start.0).saturating_add(1);
                let bytes = count.saturating_mul(syntax.element_size).clamp(1, room);
                Ok(AddressRange { start, bytes })
            }
            _ => {
                let end = self.next_expression(context)?;
                let bytes = end
                    .checked_sub(start.0)
                    .and_then(|bytes| bytes.checked_add(1));
                self.range(Some(start), bytes.filter(|&bytes| bytes <= MAX_BYTES))
            }
        }
    }

    /// Reads where a range begins; at the command's end, or if a count comes at once (`u l4`), it is `default`.
    ///
    /// # Errors
    /// As for [`next_expression`](Cursor::next_expression).
    ///
    /// ```
    /// use poolhit::{Lab, Session, address::Va, debugger::cursor::Cursor};
    /// let session = Session::new(Lab::builder().build()?);
    /// let mut arguments = Cursor::new("l4");
    /// assert_eq!(arguments.next_start_or(&session, Va(0x5000))?, Va(0x5000));
    /// assert_eq!(arguments.rest(), "l4");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn next_start_or(
        &mut self,
        context: &dyn ExpressionContext,
        default: Va,
    ) -> Result<Va, ExpressionError> {
        match self.at_end() || self.is_count(context) {
            true => Ok(default),
            false => Ok(Va(self.next_expression(context)?)),
        }
    }

    /// Whether a count follows in place of an address: `l4`, `La`, `L?100`, `L@$t0`, and not a symbol whose name
    /// begins so.
    fn is_count(&mut self, context: &dyn ExpressionContext) -> bool {
        self.peek();
        let rest = self.rest();
        if !rest.starts_with(['l', 'L']) {
            return false;
        }
        let word = rest.split(|c: char| !c.is_ascii_alphanumeric() && !"_$!?".contains(c));
        if word
            .clone()
            .next()
            .is_some_and(|word| context.symbol(word).is_ok())
        {
            return false;
        }
        let mut count = Cursor::new(rest[1..].trim_start_matches(['?', '-']));
        count.next_expression(context).is_ok()
    }

    /// Reads what follows the `L`.
    fn counted_range(
        &mut self,
        context: &dyn ExpressionContext,
        address: Va,
        element_size: u64,
    ) -> Result<AddressRange, ArgumentError> {
        let unlimited = self.eat("?");
        let backwards = self.eat("-");
        let count = self.next_expression(context)?;
        let bytes = count
            .checked_mul(element_size)
            .filter(|&bytes| unlimited || bytes <= MAX_BYTES);
        let start = if backwards {
            bytes.and_then(|bytes| address.0.checked_sub(bytes)).map(Va)
        } else {
            Some(address)
        };
        self.range(start, bytes)
    }

    fn range(&self, start: Option<Va>, bytes: Option<u64>) -> Result<AddressRange, ArgumentError> {
        match (start, bytes) {
            (Some(start), Some(bytes)) if bytes > 0 && start.0.checked_add(bytes - 1).is_some() => {
                Ok(AddressRange { start, bytes })
            }
            _ => Err(self.error(CommandErrorKind::Range).into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::debugger::expression::tests::Target;
    use proptest::prelude::*;

    const DC: RangeSyntax = RangeSyntax {
        element_size: 4,
        default_count: Some(32),
        default_start: None,
    };

    #[track_caller]
    fn check(syntax: RangeSyntax, text: &str, expected: Result<(u64, u64), &str>) {
        let mut cursor = Cursor::new(text);
        let range = cursor.next_range(&Target::default(), syntax);
        let found = range.map(|range| (range.start.0, range.bytes));
        assert_eq!(
            found.map_err(|error| error.to_string()),
            expected.map_err(String::from)
        );
    }

    #[test]
    fn reads_the_manuals_forms() {
        let db = RangeSyntax {
            element_size: 1,
            ..DC
        };
        check(db, "0x00001000  0x00001007", Ok((0x1000, 8)));
        check(db, "0x00001000  L8", Ok((0x1000, 8)));
        check(DC, "0x00001000  0x00001007", Ok((0x1000, 8)));
        check(DC, "0x00001000  L2", Ok((0x1000, 8)));
        check(db, "0`80000000 L20", Ok((0x8000_0000, 0x20)));
        check(db, "0`80000000 L-20", Ok((0x7fff_ffe0, 0x20)));
        check(db, "1000 L?20000000", Ok((0x1000, 0x2000_0000)));
        check(db, "10000000 l?-8", Ok((0xfff_fff8, 8)));
        check(DC, "1000", Ok((0x1000, 0x80)));
        check(DC, "nt!PoolHitTag l1", Ok((0xfffff800_016530fc, 4)));
        check(DC, "1000 l 2+2", Ok((0x1000, 16)));
        check(DC, "1000 1000", Ok((0x1000, 1)));
        check(DC, "ffffffff`fffffffc", Ok((0xffffffff_fffffffc, 4)));
        let u = RangeSyntax {
            default_start: Some(Va(0x5000)),
            ..db
        };
        check(u, "", Ok((0x5000, 32)));
        check(u, "l4", Ok((0x5000, 4)));
    }

    #[test]
    fn refuses_what_is_no_range() {
        let db = RangeSyntax {
            element_size: 1,
            ..DC
        };
        // The message of a WinDbg session for a size over the limit.
        check(
            db,
            "1000 l0`ffffffff",
            Err("^ Range error in '1000 l0`ffffffff'"),
        );
        check(
            db,
            "1000 l10000001",
            Err("^ Range error in '1000 l10000001'"),
        );
        check(db, "1000 l10000000", Ok((0x1000, 0x1000_0000)));
        check(DC, "1000 l0", Err("^ Range error in '1000 l0'"));
        check(DC, "1000 fff", Err("^ Range error in '1000 fff'"));
        check(DC, "1000 l-401", Err("^ Range error in '1000 l-401'"));
        check(
            DC,
            "1000 l?4000000000000000",
            Err("^ Range error in '1000 l?4000000000000000'"),
        );
        check(
            db,
            "ffffffff`ffffffff l2",
            Err("^ Range error in 'ffffffff`ffffffff l2'"),
        );
        check(
            db,
            "0 ffffffff`ffffffff",
            Err("^ Range error in '0 ffffffff`ffffffff'"),
        );
        check(DC, "", Err("Numeric expression missing from '<EOL>'"));
        check(DC, "1000 l", Err("Numeric expression missing from '<EOL>'"));
        check(DC, "1000 foo", Err("Couldn't resolve error at 'foo'"));
        let must = RangeSyntax {
            default_count: None,
            ..DC
        };
        check(must, "1000", Err("Numeric expression missing from '<EOL>'"));
    }

    proptest! {
        #[test]
        fn any_text_gives_a_range_or_an_error(
            text in "[0-9a-fl?` .()+-]{0,24}",
            element_size in 1u64..=16,
            default_count in proptest::option::of(any::<u64>()),
            default_start in proptest::option::of(any::<u64>().prop_map(Va)),
        ) {
            let syntax = RangeSyntax { element_size, default_count, default_start };
            if let Ok(range) = Cursor::new(&text).next_range(&Target::default(), syntax) {
                prop_assert!(range.bytes > 0);
                prop_assert!(range.start.0.checked_add(range.bytes - 1).is_some());
                let chosen = range.bytes <= MAX_BYTES || default_count.is_some();
                prop_assert!(chosen || text.contains("l?") || text.contains("l ?"));
            }
        }

        #[test]
        fn a_range_is_the_same_by_count_and_by_end(start in 0..1u64 << 63, bytes in 1..MAX_BYTES) {
            let read = |text: String| {
                let db = RangeSyntax { element_size: 1, ..DC };
                Cursor::new(&text).next_range(&Target::default(), db)
            };
            let (first, last, end) = (Va(start), Va(start + bytes - 1), Va(start + bytes));
            let expected = Ok(AddressRange { start: first, bytes });
            prop_assert_eq!(&read(format!("{first} {last}")), &expected);
            prop_assert_eq!(&read(format!("{first} L{bytes:x}")), &expected);
            prop_assert_eq!(&read(format!("{end} L-0n{bytes}")), &expected);
        }
    }
}
