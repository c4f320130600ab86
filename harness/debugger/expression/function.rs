//! The functions of MASM expressions ("Non-Numeric Operators in MASM Expressions" of the manual's
//! page "MASM Numbers and Operators").

use super::parser::Parser;
use super::{ExpressionError, ExpressionErrorKind};
use crate::address::Va;
use crate::memory::{MemoryFault, ReadMemory};
use crate::symbols::wildcard;
use std::cmp::Ordering;

/// Bytes looked at in one piece by `$vvalid`.
const PAGE: u64 = 0x1000;
/// The longest range whose pages `$vvalid` looks at one by one. The project's own limit.
const VALID_LIMIT: u64 = 1 << 32;

/// A function.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Function {
    ImageEntry,
    Valid,
    Compare,
    CompareFolded,
    Matches,
}

impl Function {
    /// The function of that name, in either case.
    pub(super) fn named(name: &str) -> Option<Function> {
        Some(match name.to_ascii_lowercase().as_str() {
            "$iment" => Function::ImageEntry,
            "$vvalid" => Function::Valid,
            "$scmp" => Function::Compare,
            "$sicmp" => Function::CompareFolded,
            "$spat" => Function::Matches,
            _ => return None,
        })
    }
}

impl Parser<'_, '_> {
    /// Reads a function's arguments, in their parentheses, and computes it.
    pub(super) fn call(&mut self, function: Function) -> Result<u64, ExpressionError> {
        self.sign("(")?;
        let value = match function {
            Function::ImageEntry => {
                let base = Va(self.expression()?);
                entry_point(self.context.memory(), base)
                    .map_err(|fault| self.error(ExpressionErrorKind::MemoryAccess(fault)))?
                    .0
            }
            Function::Valid => {
                let start = self.expression()?;
                self.sign(",")?;
                let length = self.expression()?;
                u64::from(is_valid(self.context.memory(), start, length))
            }
            Function::Compare | Function::CompareFolded | Function::Matches => {
                let first = self.string()?;
                self.sign(",")?;
                let second = self.string()?;
                compare(function, &first, &second)
            }
        };
        self.sign(")")?;
        Ok(value)
    }

    fn sign(&mut self, sign: &str) -> Result<(), ExpressionError> {
        self.cursor.skip_space();
        self.last = self.cursor.position();
        match self.cursor.eat(sign) {
            true => Ok(()),
            false => Err(self.error(ExpressionErrorKind::Syntax)),
        }
    }

    fn string(&mut self) -> Result<String, ExpressionError> {
        self.cursor.skip_space();
        self.last = self.cursor.position();
        match self.cursor.next_quoted() {
            Ok(Some(text)) => Ok(text),
            _ => Err(self.error(ExpressionErrorKind::Syntax)),
        }
    }
}

fn compare(function: Function, first: &str, second: &str) -> u64 {
    let ordering = match function {
        Function::Matches => return u64::from(wildcard::matches(second, first)),
        Function::CompareFolded => {
            let fold = |text: &str| text.to_ascii_lowercase();
            fold(first).cmp(&fold(second))
        }
        _ => first.cmp(second),
    };
    match ordering {
        Ordering::Less => u64::MAX,
        Ordering::Equal => 0,
        Ordering::Greater => 1,
    }
}

/// Whether every byte of a range is in memory. An empty range is.
fn is_valid(memory: &dyn ReadMemory, start: u64, length: u64) -> bool {
    let Some(last) = length.checked_sub(1) else {
        return true;
    };
    let Some(last) = start.checked_add(last).filter(|_| last < VALID_LIMIT) else {
        return false;
    };
    let mut at = start;
    loop {
        if memory.read_u8(Va(at)).is_err() {
            return false;
        }
        at = match (at | (PAGE - 1)).checked_add(1) {
            Some(next) if next <= last => next,
            // the last page's last byte is there if its first is
            _ => return true,
        };
    }
}

/// The entry point of the image at an address, by its headers in memory
/// (`_IMAGE_OPTIONAL_HEADER64.AddressOfEntryPoint`).
///
/// # Errors
/// The headers are not in memory.
///
/// ```
/// use poolhit::{Lab, debugger::expression::entry_point};
/// let lab = Lab::builder().build()?;
/// let driver = lab.modules().by_name("myfault").unwrap().clone();
/// let entry = driver.base() + driver.image().unwrap().entry_point();
/// assert_eq!(entry_point(lab.machine(), driver.base())?, entry);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn entry_point(memory: &dyn ReadMemory, base: Va) -> Result<Va, MemoryFault> {
    const NEW_HEADER: u64 = 0x3c; // _IMAGE_DOS_HEADER.e_lfanew
    const ENTRY_POINT: u64 = 0x28; // from the signature on
    let header = memory.read_u32(base.wrapping_add(NEW_HEADER))?;
    let at = base
        .wrapping_add(u64::from(header))
        .wrapping_add(ENTRY_POINT);
    Ok(base.wrapping_add(memory.read_u32(at)?.into()))
}

#[cfg(test)]
mod tests {
    use super::super::tests::Target;
    use super::super::{ExpressionContext, SymbolError, evaluate};
    use super::*;
    use proptest::prelude::*;

    /// A target whose numbers have another base.
    struct Radix(u32, Target);

    impl ExpressionContext for Radix {
        fn symbol(&self, name: &str) -> Result<u64, SymbolError> {
            self.1.symbol(name)
        }
        fn register(&self, name: &str) -> Option<u64> {
            self.1.register(name)
        }
        fn current_address(&self) -> u64 {
            self.1.current_address()
        }
        fn memory(&self) -> &dyn ReadMemory {
            self.1.memory()
        }
        fn radix(&self) -> u32 {
            self.0
        }
    }

    #[track_caller]
    fn check(text: &str, expected: u64) {
        assert_eq!(evaluate(text, &Target::default()), Ok(expected), "{text:?}");
    }

    /// The comparisons and `$vvalid` as in "Practical Reverse Engineering" (Dang, Gazet,
    /// Bachaalany), "Useful Operators"; the patterns are those of "String Wildcard Syntax".
    #[test]
    fn functions_compute() {
        check(r#"$scmp("practical", "practica")"#, 1);
        check(r#"$scmp("practical", "practical")"#, 0);
        check(r#"$scmp("practica", "practical")"#, u64::MAX);
        check(r#"$scmp("Practical", "practical")"#, u64::MAX);
        check(r#"$sicmp("Practical", "practical")"#, 0);
        check(r#"$spat("Program", "prog[er-t7]am")"#, 1);
        check(r#"$spat("Progam", "prog[er-t7]am")"#, 0);
        check(r#"@@masm($SPAT ( "looop" , "Lo+p" )) + 1"#, 2);
        check("$vvalid(1000, 10)", 1);
        check("$vvalid(0, 100)", 0);
        check("$vvalid(1000, 0n16)+1", 2);
        check("$vvalid(0, 0)", 1);
        check("$vvalid(ffffffff`ffffffff, ffffffff`ffffffff)", 0);
    }

    #[test]
    fn calls_have_a_form() {
        for (text, expected) in [
            ("$scmp(1, 2)", "Syntax error at '1, 2)'"),
            (r#"$scmp("a" "b")"#, r#"Syntax error at '"b")'"#),
            ("$vvalid(1000, 1", "Syntax error at '<EOL>'"),
            ("$vvalid(1000)", "Syntax error at ')'"),
            ("$iment(1)", "Memory access error at '1)'"),
            (
                "$nofunction(1)",
                "Couldn't resolve error at '$nofunction(1)'",
            ),
            ("@@c++(1)", "Syntax error at '@@c++(1)'"),
            ("$pby(1)", "Memory access error at ')'"),
        ] {
            let error = evaluate(text, &Target::default()).unwrap_err();
            assert_eq!(error.to_string(), expected, "{text}");
        }
    }

    #[test]
    fn numbers_have_the_default_base() {
        let at = |radix, text| evaluate(text, &Radix(radix, Target::default()));
        assert_eq!(at(10, "10"), Ok(10));
        assert_eq!(at(8, "17+1"), Ok(16));
        assert_eq!(at(10, "0x10+1fh"), Ok(0x2f));
        assert_eq!(at(10, "fade"), Ok(1), "a symbol");
        assert!(at(10, "1f").is_err());
        assert!(at(8, "8").is_err());
        assert_eq!(at(10, "0n10 + 0t10 + 0y10"), Ok(20));
    }

    proptest! {
        /// Whatever the base is, a number printed in it reads back, and so it does with a prefix.
        #[test]
        fn printed_numbers_read_back(value: u64, radix in prop::sample::select(vec![8u32, 10, 16])) {
            let target = Radix(radix, Target::default());
            let (plain, prefix) = match radix {
                8 => (format!("{value:o}`"), "0t"),
                10 => (format!("{value}`"), "0n"),
                _ => (format!("{value:x}`"), "0x"),
            };
            prop_assert_eq!(evaluate(&format!("0{plain}"), &target), Ok(value));
            prop_assert_eq!(evaluate(&format!("{prefix}{plain}"), &target), Ok(value));
        }

        /// `$spat` and `$scmp` take any strings.
        #[test]
        fn any_strings_compare(first in r#"[^"\\]{0,20}"#, second in r#"[^"\\]{0,20}"#) {
            for function in ["$scmp", "$sicmp", "$spat"] {
                let text = format!("{function}(\"{first}\", \"{second}\")");
                let value = evaluate(&text, &Target::default()).unwrap();
                prop_assert!([0, 1, u64::MAX].contains(&value));
            }
            let same = format!("$scmp(\"{first}\", \"{first}\")");
            prop_assert_eq!(evaluate(&same, &Target::default()), Ok(0));
        }
    }
}
