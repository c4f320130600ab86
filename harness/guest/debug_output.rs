//! What the guest prints for a debugger: `DbgPrint` and the like.

use super::lab::Lab;

/// The characters of code page 1252 from 0x80 to 0x9f (Unicode, Inc., *cp1252 to Unicode table*); the
/// five that it has no character for are control characters.
const UPPER_CONTROLS: [char; 32] = [
    '\u{20ac}', '\u{81}', '\u{201a}', '\u{192}', '\u{201e}', '\u{2026}', '\u{2020}', '\u{2021}',
    '\u{2c6}', '\u{2030}', '\u{160}', '\u{2039}', '\u{152}', '\u{8d}', '\u{17d}', '\u{8f}',
    '\u{90}', '\u{2018}', '\u{2019}', '\u{201c}', '\u{201d}', '\u{2022}', '\u{2013}', '\u{2014}',
    '\u{2dc}', '\u{2122}', '\u{161}', '\u{203a}', '\u{153}', '\u{9d}', '\u{17e}', '\u{178}',
];

/// Bytes that the guest has printed, as text: they are of code page 1252, as all the kernel's ANSI
/// strings are.
pub(crate) fn debug_text(bytes: &[u8]) -> String {
    let character = |&byte: &u8| match byte {
        0x80..=0x9f => UPPER_CONTROLS[usize::from(byte - 0x80)],
        byte => char::from(byte),
    };
    bytes.iter().map(character).collect()
}

impl Lab {
    /// What the guest has printed since it was booted (`DbgPrint`, `DbgPrintEx`), its driver's entry
    /// included: the last [`KEPT`](crate::machine::debug_port::KEPT) bytes of it.
    ///
    /// ```
    /// use poolhit::{Lab, address::Va, memory::WriteMemory};
    /// let mut lab = Lab::builder().build()?;
    /// assert_eq!(lab.debug_output(), "");
    /// let text = lab.call_kernel("ExAllocatePoolWithTag", &[0, 0x20, 0x74736554])?.value;
    /// lab.machine_mut().write(Va(text), b"%d leaks\n\0")?;
    /// lab.call_kernel("DbgPrint", &[text, 3])?;
    /// assert_eq!(lab.debug_output(), "3 leaks\n");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn debug_output(&self) -> String {
        debug_text(&self.machine.sent_since(0).bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::debug_text;

    #[test]
    fn bytes_are_code_page_1252() {
        assert_eq!(
            debug_text(b"a\n\x80\x9f\xe9\xff"),
            "a\n\u{20ac}\u{178}\u{e9}\u{ff}"
        );
    }
}
