//! When a command has printed the lines that it should.

/// Whether a line names the place of what is shown below it, as in `nt!KiIdleLoop+0x20:`.
fn is_symbol_line(line: &str) -> bool {
    line.ends_with(':')
}

/// Whether a line starts with an address and something at it, as in ``fffff800`014798f6 cc``.
fn shows_an_address(line: &str) -> bool {
    let (digits, rest) = line.split_at_checked(17).unwrap_or((line, ""));
    let hexadecimal = |text: &str| text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let halves = digits.split_once('`');
    halves.is_some_and(|(high, low)| high.len() == 8 && hexadecimal(high) && hexadecimal(low))
        && rest.starts_with(' ')
}

/// The debugger of the golden session printed this with a space and without.
fn without_gap(line: &str) -> String {
    line.replace("?? ::", "??::")
}

/// Checks that a text starts with the lines wanted: in their order, and with nothing between them
/// but a symbol line above an address that is wanted without one. More may follow.
pub fn starts_with(printed: &str, wanted: &[String]) -> Result<(), String> {
    let mut lines = printed.lines().peekable();
    for (number, want) in wanted.iter().enumerate() {
        let mut line = lines.next();
        if shows_an_address(want)
            && line.is_some_and(is_symbol_line)
            && lines.peek().is_some_and(|next| shows_an_address(next))
        {
            line = lines.next();
        }
        if line.map(without_gap) != Some(without_gap(want)) {
            return Err(format!(
                "line {number}: wanted {want:?}, got {line:?} in:\n{printed}"
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::starts_with;

    const SYMBOL: &str = "nt! ?? ::FNODOBFM::`string'+0x24a2a:";
    const CODE: &str = "fffff800`014798f6 cc              int     3";

    fn check(printed: &[&str], wanted: &[&str]) -> bool {
        let wanted: Vec<String> = wanted.iter().map(|line| line.to_string()).collect();
        starts_with(&printed.join("\n"), &wanted).is_ok()
    }

    #[test]
    fn more_may_follow() {
        assert!(check(&[SYMBOL, CODE, "more"], &[SYMBOL, CODE]));
        assert!(check(&["anything"], &[]));
    }

    #[test]
    fn a_symbol_line_may_stand_above_an_address() {
        assert!(check(&["Break", SYMBOL, CODE], &["Break", CODE]));
        assert!(!check(&["Break", SYMBOL, SYMBOL, CODE], &["Break", CODE]));
        assert!(!check(&[SYMBOL, "Break"], &["Break"]));
        assert!(!check(&["Break", "no symbol", CODE], &["Break", CODE]));
        assert!(!check(&["Break", SYMBOL], &["Break", CODE]));
    }

    #[test]
    fn lines_are_not_missed_or_moved() {
        assert!(!check(&[SYMBOL], &[SYMBOL, CODE]));
        assert!(!check(&[CODE, SYMBOL], &[SYMBOL, CODE]));
        assert!(!check(&["first", SYMBOL, CODE], &[SYMBOL, CODE]));
        assert!(!check(&[CODE], &[SYMBOL, CODE]));
    }

    #[test]
    fn white_space_counts_but_for_one_gap() {
        let tight = SYMBOL.replace("?? ::", "??::");
        assert!(check(&[SYMBOL], &[&tight]) && check(&[&tight], &[SYMBOL]));
        assert!(!check(&[&CODE.replace("  ", " ")], &[CODE]));
        assert!(!check(&[&format!("{CODE} ")], &[CODE]));
    }
}
