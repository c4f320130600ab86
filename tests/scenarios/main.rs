//! Scenarios: what files and IOCTLs as text mean, what they refuse, and what becomes of them in a guest.

mod devices;
mod examples;
mod later;
mod requests;
mod text;

use poolhit::Lab;
use poolhit::guest::ImageFile;
use poolhit::scenario::{Outcome, RunError, ScenarioFile};
use poolhit_fixtures::prebuilt;

/// The two words in front of the options in `iotest.sys`.
const MARK: [u8; 8] = 0x5b6a_7988_1f2e_3d4c_u64.to_le_bytes();
/// It has AddDevice, and no devices of its own.
const PNP: u32 = 1;
const NO_UNLOAD: u32 = 2;

/// A lab with the driver of the I/O manager's tests, with these options.
fn lab(options: u32) -> Lab {
    let mut bytes = prebuilt::IOTEST.bytes.to_vec();
    let mut places = bytes.windows(8);
    let mark = places.position(|place| place == MARK).unwrap();
    bytes[mark + 8..mark + 12].copy_from_slice(&options.to_le_bytes());
    let driver = ImageFile::parse("iotest.sys", bytes, None).unwrap();
    let lab = Lab::builder().driver(driver).requester();
    lab.track_leaks().build().unwrap()
}

/// Does what a text says.
fn run(lab: &mut Lab, text: &str) -> Result<Outcome, RunError> {
    let file = ScenarioFile::parse(text, "".as_ref());
    file.unwrap_or_else(|error| panic!("{text}\n{error}"))
        .scenario
        .run(lab, |_| ())
}

/// The error in which it ends.
#[track_caller]
fn error(lab: &mut Lab, text: &str) -> String {
    run(lab, text).expect_err(text).to_string()
}
