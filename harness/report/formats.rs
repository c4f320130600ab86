//! A number in all the forms that `.formats` shows it in.

use super::date::{date, file_time};
use super::float::general;
use crate::address::Va;
use std::fmt::{self, Write};

/// Writes a number in all forms.
///
/// # Errors
/// The output refuses.
///
/// ```
/// let mut text = String::new();
/// poolhit::report::formats::write_formats(&mut text, 0xfffff800_031fd5b0)?;
/// assert!(text.contains("\n  Chars:   ........\n  Time:    ***** Invalid FILETIME\n"));
/// # Ok::<(), std::fmt::Error>(())
/// ```
pub fn write_formats(out: &mut dyn Write, value: u64) -> fmt::Result {
    let bytes = value.to_be_bytes();
    let binary: Vec<String> = bytes.iter().map(|byte| format!("{byte:08b}")).collect();
    let characters = bytes.map(|byte| match byte {
        0x20..0x7f => char::from(byte),
        _ => '.',
    });
    let time = match u32::try_from(value) {
        Ok(seconds) => date(seconds),
        Err(_) => file_time(value).unwrap_or_else(|| "***** Invalid FILETIME".to_string()),
    };
    let single = |bits: u64| general(f32::from_bits(bits as u32).into(), 6);
    writeln!(out, "Evaluate expression:")?;
    writeln!(out, "  Hex:     {}", Va(value))?;
    writeln!(out, "  Decimal: {}", value as i64)?;
    writeln!(out, "  Octal:   {value:022o}")?;
    writeln!(out, "  Binary:  {}", binary.join(" "))?;
    writeln!(out, "  Chars:   {}", characters.iter().collect::<String>())?;
    writeln!(out, "  Time:    {time}")?;
    writeln!(
        out,
        "  Float:   low {} high {}",
        single(value),
        single(value >> 32)
    )?;
    writeln!(out, "  Double:  {}", general(f64::from_bits(value), 6))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As published: a pool's tag, in UTC here, and a kernel's address. "Decimal (unsigned)" is a line of later
    /// versions; the tag's last line is not from there.
    #[test]
    fn numbers_are_shown_as_in_published_sessions() {
        for (value, expected) in [
            (
                0x5772_4231,
                "Evaluate expression:
  Hex:     00000000`57724231
  Decimal: 1467105841
  Octal:   0000000000012734441061
  Binary:  00000000 00000000 00000000 00000000 01010111 01110010 01000010 00110001
  Chars:   ....WrB1
  Time:    Tue Jun 28 09:24:01 2016
  Float:   low 2.66366e+014 high 0
  Double:  7.24847e-315
",
            ),
            (
                0xffff_f800_031f_d5b0,
                "Evaluate expression:
  Hex:     fffff800`031fd5b0
  Decimal: -8796040604240
  Octal:   1777777600000307752660
  Binary:  11111111 11111111 11111000 00000000 00000011 00011111 11010101 10110000
  Chars:   ........
  Time:    ***** Invalid FILETIME
  Float:   low 4.69712e-037 high -1.#QNAN
  Double:  -1.#QNAN
",
            ),
        ] {
            let mut text = String::new();
            write_formats(&mut text, value).unwrap();
            assert_eq!(text, expected);
        }
    }
}
