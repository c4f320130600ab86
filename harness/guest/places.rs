//! Where the frames of a stack are, for the texts of errors.

use super::lab::Lab;
use super::loaded::ModuleImages;
use crate::registers::Registers;
use crate::stack::walk::walk;
use crate::symbols::Modules;

/// The most frames that an error shows.
const FRAMES: usize = 48;

impl Lab {
    /// The places of the processor's stack, from the innermost on, in the debugger's words.
    pub(super) fn places(&self) -> Vec<String> {
        self.places_from(&self.machine().registers(), &self.modules())
    }

    /// Those of the stack that begins with these registers.
    pub(super) fn places_from(&self, start: &Registers, modules: &Modules) -> Vec<String> {
        let images = ModuleImages {
            modules,
            return_landing: self.machine().return_landing(),
        };
        let walk = walk(start, self.machine(), &images, FRAMES);
        let addresses = walk.frames.iter().map(|frame| frame.code.address());
        let places = addresses.map(|at| match modules.nearest(at) {
            Some(near) => near.to_string(),
            None => format!("0x{at}"),
        });
        places.collect()
    }
}

/// The places below a text, a line each.
pub(super) fn below(places: &[String]) -> String {
    places
        .iter()
        .map(|place| format!("\n    {place}"))
        .collect()
}
