//! Where the frames of a stack are, for the texts of errors.

use super::lab::Lab;
use super::loaded::ModuleImages;
use super::outstanding::shown;
use crate::address::{CodeAddress, Va};
use crate::registers::Registers;
use crate::stack::walk::walk;
use crate::symbols::Modules;
use std::collections::BTreeMap;

/// Of a deep stack an error shows so many frames at its top, and so many at its end: where the guest is, and
/// how it came there.
const INNERMOST: usize = 24;
const OUTERMOST: usize = 12;
/// The most frames that are walked for that. A kernel stack has room for fewer.
const WALKED: usize = 4096;

impl Lab {
    /// The places of the processor's stack, from the innermost on, in the debugger's words. Where frames are
    /// left out, a line says how many.
    pub(super) fn places(&self) -> Vec<String> {
        self.places_from(&self.machine().registers(), &self.modules())
    }

    /// Those of the stack that begins with these registers.
    pub(super) fn places_from(&self, start: &Registers, modules: &Modules) -> Vec<String> {
        let images = ModuleImages {
            modules,
            return_landing: self.machine().return_landing(),
        };
        let walk = walk(start, self.machine(), &images, WALKED);
        let addresses: Vec<_> = walk.frames.iter().map(|it| it.code.address()).collect();
        let codes = walk.frames.iter().map(|it| (it.code.address(), it.code));
        let codes: BTreeMap<Va, CodeAddress> = codes.collect();
        let is_driver = |at: &Va| {
            let module = modules.containing(*at);
            module.is_some_and(|module| module.base() == self.bases().driver)
        };
        let lines = both_ends(&addresses, is_driver).into_iter();
        let texts = lines.map(|line| match line {
            Line::Place(at) => self.place(codes[&at], modules),
            Line::LeftOut(count) => format!("... {count} more ..."),
        });
        texts.collect()
    }

    /// Where code is, in a driver with its source line.
    fn place(&self, code: CodeAddress, modules: &Modules) -> String {
        let at = code.address();
        let Some(near) = modules.nearest(at) else {
            return match self.unloaded_driver_at(at) {
                Some(place) => place.to_string(),
                None => format!("0x{at}"),
            };
        };
        // The kernel's own sources say nothing to whoever wrote the driver.
        let is_driver = at.is_kernel() && near.module.base() != self.bases().kernel;
        match modules.line_of(code).filter(|_| is_driver) {
            Some(line) => format!("{near} [{}]", shown(&line.to_string())),
            None => near.to_string(),
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Line {
    Place(Va),
    LeftOut(usize),
}

/// What is shown of a stack: both ends, and the driver's innermost frame wherever it is.
fn both_ends(addresses: &[Va], is_driver: impl Fn(&Va) -> bool) -> Vec<Line> {
    let (innermost, rest) = addresses.split_at(addresses.len().min(INNERMOST));
    let (middle, outermost) = rest.split_at(rest.len().saturating_sub(OUTERMOST));
    let places = |part: &[Va]| part.iter().copied().map(Line::Place).collect::<Vec<_>>();
    let left_out = |part: &[Va]| (!part.is_empty()).then_some(Line::LeftOut(part.len()));
    let mut lines = places(innermost);
    let is_shown = innermost.iter().any(&is_driver);
    match middle.iter().position(is_driver).filter(|_| !is_shown) {
        Some(at) => {
            lines.extend(left_out(&middle[..at]));
            lines.push(Line::Place(middle[at]));
            lines.extend(left_out(&middle[at + 1..]));
        }
        None => lines.extend(left_out(middle)),
    }
    lines.extend(places(outermost));
    lines
}

/// The places below a text, a line each.
pub(super) fn below(places: &[String]) -> String {
    let lines = places.iter().map(|place| format!("\n    {place}"));
    lines.collect()
}

#[cfg(test)]
mod tests {
    use super::Line::{LeftOut, Place};
    use super::*;

    /// The lines for so many frames, numbered from 0, with the driver's.
    fn lines(count: u64, drivers: &[u64]) -> Vec<Line> {
        let addresses: Vec<_> = (0..count).map(Va).collect();
        both_ends(&addresses, |at| drivers.contains(&at.0))
    }

    fn frames(numbers: std::ops::Range<u64>) -> Vec<Line> {
        numbers.map(|number| Place(Va(number))).collect()
    }

    #[test]
    fn both_ends_of_a_deep_stack_are_shown_and_the_driver() {
        for count in [0, 1, 24, 25, 36] {
            assert_eq!(lines(count, &[]), frames(0..count));
        }
        let around = |middle: &[Line]| [&frames(0..24), middle, &frames(88..100)].concat();
        for drivers in [&[][..], &[3, 50], &[23, 24], &[88, 99]] {
            assert_eq!(lines(100, drivers), around(&[LeftOut(64)]));
        }
        for (driver, middle) in [
            (24, &[Place(Va(24)), LeftOut(63)][..]),
            (50, &[LeftOut(26), Place(Va(50)), LeftOut(37)]),
            (87, &[LeftOut(63), Place(Va(87))]),
        ] {
            assert_eq!(lines(100, &[driver, 88]), around(middle));
        }
    }
}
