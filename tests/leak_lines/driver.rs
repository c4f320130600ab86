//! The driver with mistakes (`fixtures/guest/leaky`), its source, and what is asked of it.

use poolhit::Lab;
use poolhit::guest::{FileHandle, ImageFile, Request, Response};
use poolhit::scenario::{Scenario, Step};
use poolhit_fixtures::prebuilt::{LEAKY, LEAKY_PDB};

pub const DEVICE: &str = r"\\.\Leaky";
/// The path that the compiler was told.
pub const FILE: &str = "/guest/leaky/leaky.c";

const PARSE: u32 = 0x222044;
const SCRATCH: u32 = 0x222048;
const SETTINGS: u32 = 0x22204c;
const ADD: u32 = 0x222050;
const BAD_VALUE: u32 = 0xbad;

const SOURCE: &str = include_str!("../../fixtures/guest/leaky/leaky.c");

/// The line of the source that ends in this comment.
pub fn line(comment: &str) -> u32 {
    let comment = format!("/* line: {comment} */");
    let mut lines = (1..).zip(SOURCE.lines());
    let found = lines.find(|(_, line)| line.ends_with(&comment));
    let (number, _) = found.unwrap_or_else(|| panic!("leaky.c has no {comment}"));
    assert!(lines.all(|(_, line)| !line.contains(&comment)));
    number
}

pub fn image() -> ImageFile {
    ImageFile::parse(LEAKY.name, LEAKY.bytes, Some(LEAKY_PDB.bytes)).unwrap()
}

/// A lab with the driver and the program that makes requests, which tracks leaks.
pub fn lab() -> Lab {
    let lab = Lab::builder().driver(image()).requester();
    lab.track_leaks().build().unwrap()
}

fn step(code: u32, value: u32) -> Step {
    let input: String = value
        .to_le_bytes()
        .map(|byte| format!("{byte:02x}"))
        .concat();
    format!("{code:#x}:{input}").parse().unwrap()
}

/// Everything that the driver can do, a few times over.
pub fn everything(unload: bool) -> Scenario {
    Scenario {
        device: Some(DEVICE.into()),
        steps: vec![
            step(PARSE, 7),
            step(PARSE, BAD_VALUE),
            step(SCRATCH, 0x1800),
            step(SETTINGS, 0),
            step(ADD, 1),
            step(ADD, 2),
        ],
        repeat: 8,
        unload,
        ..Scenario::default()
    }
}

/// One that asks for the error path alone.
pub fn error_path(lab: &mut Lab, device: FileHandle) -> Response {
    let input = BAD_VALUE.to_le_bytes();
    let request = Request::ioctl(device, PARSE, &input, 0);
    lab.request(&request).unwrap()
}
