//! The listing of `k`.

use crate::address::Va;
use crate::debugger::{CallSite, CallStack};
use std::fmt::{self, Write};

/// Writes a stack as WinDbg's `k` does: stack pointer, return address, call site, and in brackets the
/// source line, if the stack [has them](CallStack::with_lines).
///
/// # Errors
/// The output refuses.
///
/// ```
/// use poolhit::{Lab, Session, report::stack::write_stack};
/// let session = Session::new(Lab::builder().build()?);
/// let mut text = String::new();
/// write_stack(&mut text, &session.stack(1))?;
/// assert!(text.starts_with("Child-SP          RetAddr           Call Site\n"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn write_stack(out: &mut dyn Write, stack: &CallStack) -> fmt::Result {
    out.write_str(HEADER)?;
    for frame in &stack.frames {
        write_frame(out, frame)?;
    }
    Ok(())
}

fn write_frame(out: &mut dyn Write, frame: &CallSite) -> fmt::Result {
    write!(out, "{} {} {frame}", frame.child_sp, frame.return_address)?;
    match &frame.source {
        Some(line) => writeln!(out, " [{line}]"),
        None => writeln!(out),
    }
}

pub(crate) const HEADER: &str = "Child-SP          RetAddr           Call Site\n";

/// The listing of a stack that is to be written again and again: between two times that the same
/// calls are made, nothing but the stack pointers can change.
#[derive(Clone, Debug)]
pub(crate) struct StackText {
    text: Vec<u8>,
    /// Where each row starts, and the stack pointer that is there.
    rows: Vec<(usize, Va)>,
}

impl StackText {
    pub fn new(stack: &CallStack) -> StackText {
        let mut text = String::from(HEADER);
        let mut rows = Vec::new();
        for frame in &stack.frames {
            rows.push((text.len(), frame.child_sp));
            // Writing to a String cannot fail.
            let _ = write_frame(&mut text, frame);
        }
        let text = text.into_bytes();
        StackText { text, rows }
    }

    /// The bytes of memory that it takes, about.
    pub fn size(&self) -> usize {
        self.text.len() + size_of_val(&*self.rows)
    }

    /// The listing with these stack pointers in it: UTF-8.
    #[inline]
    pub fn with(&mut self, pointers: impl Iterator<Item = Va>) -> &[u8] {
        for ((row, known), pointer) in self.rows.iter_mut().zip(pointers) {
            if *known != pointer {
                *known = pointer;
                if let Some(place) = self.text[*row..].first_chunk_mut() {
                    *place = digits(pointer);
                }
            }
        }
        &self.text
    }
}

/// An address as it is displayed: two groups of eight hexadecimal digits.
#[inline]
fn digits(address: Va) -> [u8; 17] {
    let mut text = [b'`'; 17];
    let (high, low) = ((address.0 >> 32) as u32, address.0 as u32);
    text[..8].copy_from_slice(&hex(high));
    text[9..].copy_from_slice(&hex(low));
    text
}

/// Eight hexadecimal digits, all at once: each in a byte of one word.
#[inline]
fn hex(value: u32) -> [u8; 8] {
    const EACH: u64 = 0x0101_0101_0101_0101;
    // Spread the nibbles, the lowest into the lowest byte.
    let mut nibbles = u64::from(value);
    nibbles = (nibbles | nibbles << 16) & 0x0000_ffff_0000_ffff;
    nibbles = (nibbles | nibbles << 8) & 0x00ff_00ff_00ff_00ff;
    nibbles = (nibbles | nibbles << 4) & 0x0f0f_0f0f_0f0f_0f0f;
    // In each byte from 10 up, bit 4 of the sum with 6.
    let letters = (nibbles + 6 * EACH) >> 4 & EACH;
    let gap = u64::from(b'a' - b'0' - 10);
    (nibbles + u64::from(b'0') * EACH + letters * gap).to_be_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn addresses_are_written_as_they_are_displayed(address: u64) {
            let text = Va(address).to_string();
            prop_assert_eq!(&digits(Va(address))[..], text.as_bytes());
        }
    }
}
