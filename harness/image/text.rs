//! Names from files, made fit to be printed.

/// The text of a name that came out of a file.
///
/// Bytes that are no UTF-8 and control characters become U+FFFD: a name ends up in a terminal, and
/// a file must not be able to move its cursor.
pub(crate) fn printable(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    text.chars()
        .map(|c| {
            if c.is_control() {
                char::REPLACEMENT_CHARACTER
            } else {
                c
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::printable;

    #[test]
    fn control_characters_do_not_reach_a_terminal() {
        assert_eq!(
            printable(b"Ex\x1b[2JAlloc\xff"),
            "Ex\u{fffd}[2JAlloc\u{fffd}"
        );
        assert_eq!(printable(b"??_C@_0BB@x@FNODOBFM@"), "??_C@_0BB@x@FNODOBFM@");
    }
}
