//! Decorated names as WinDbg shows them.

use std::borrow::Cow;

/// The name as the debugger shows it.
///
/// One decoration is known: Microsoft's name of a string literal,
/// `??_C@_<width><length><checksum>@<text>@`, is shown as `` `string' ``. A suffix that names
/// the section the literal was placed in (`FNODOBFM@` in Windows 7's kernel) is shown as the
/// scope the debugger takes it for, with the space in front that its undecorator leaves there:
/// `` nt! ?? ::FNODOBFM::`string'+0x24a2a ``. All other names, and string names that do not
/// follow the rule, stay as they are; C names have no decoration on x64.
///
/// ```
/// use poolhit::symbols::undecorate::undecorate;
/// let name = "??_C@_0BB@NMHIOPAC@guest?5cold?5text@FNODOBFM@";
/// assert_eq!(undecorate(name), " ?? ::FNODOBFM::`string'");
/// assert_eq!(undecorate("??_C@_02DPKJAMEF@?$CFd?$AA@"), "`string'");
/// assert_eq!(undecorate("ExAllocatePoolWithTag"), "ExAllocatePoolWithTag");
/// assert_eq!(undecorate("?f@@YAXXZ"), "?f@@YAXXZ");
/// ```
pub fn undecorate(name: &str) -> Cow<'_, str> {
    match string_literal_scope(name) {
        Some("") => Cow::Borrowed("`string'"),
        Some(scope) => Cow::Owned(format!(" ?? ::{scope}::`string'")),
        None => Cow::Borrowed(name),
    }
}

/// The suffix of a string literal's name, empty if it has none; `None` for all other names.
fn string_literal_scope(name: &str) -> Option<&str> {
    let rest = name.strip_prefix("??_C@_")?;
    // 0 is a string of char, 1 one of wchar_t.
    let rest = rest.strip_prefix(['0', '1'])?;
    let rest = skip_number(rest)?;
    let (checksum, rest) = rest.split_once('@')?;
    let (_text, scope) = rest.split_once('@')?;
    if checksum.is_empty() {
        return None;
    }
    if scope.is_empty() {
        return Some("");
    }
    let scope = scope.strip_suffix('@')?;
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '$';
    (!scope.is_empty() && scope.chars().all(plain)).then_some(scope)
}

/// Skips an encoded number: a digit (1 to 10), or digits `A` to `P` up to an `@`.
fn skip_number(text: &str) -> Option<&str> {
    if text.starts_with(|c: char| c.is_ascii_digit()) {
        return Some(&text[1..]);
    }
    let (digits, rest) = text.split_once('@')?;
    let number = !digits.is_empty() && digits.chars().all(|c| ('A'..='P').contains(&c));
    number.then_some(rest)
}

#[cfg(test)]
mod tests {
    use super::undecorate;
    use proptest::prelude::*;

    #[test]
    fn names_that_break_the_rule_stay() {
        for name in [
            "",
            "??_C@_",
            "??_C@_0",
            "??_C@_0BB@",
            "??_C@_0BB@NMHIOPAC@text",
            "??_C@_2BB@NMHIOPAC@text@",
            "??_C@_0QB@NMHIOPAC@text@",
            "??_C@_0BB@@text@",
            "??_C@_0BB@NMHIOPAC@text@FNODOBFM",
            "??_C@_0BB@NMHIOPAC@text@FNO@DOBFM@",
            "??_C@_0BB@NMHIOPAC@text@@",
            "_leading",
        ] {
            assert_eq!(undecorate(name), name);
        }
    }

    proptest! {
        #[test]
        fn any_text_is_taken(name in "\\PC*", tail in "[?_C@0-9A-P$a-f]{0,40}") {
            undecorate(&name);
            let name = format!("??_C@_{tail}");
            let shown = undecorate(&name);
            prop_assert!(shown == name.as_str() || shown.ends_with("`string'"));
        }

        #[test]
        fn every_scope_is_shown(
            number in "[0-9]|[A-P]{1,4}@",
            text in "[a-z0-9?$]{0,20}",
            scope in "[A-Z]{1,8}",
        ) {
            let shown = format!(" ?? ::{scope}::`string'");
            let name = format!("??_C@_0{number}NMHIOPAC@{text}@{scope}@");
            prop_assert_eq!(undecorate(&name), shown);
        }
    }
}
