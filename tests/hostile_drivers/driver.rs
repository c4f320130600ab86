//! The driver, and the two ways to have it do something: a call from outside, and a request of the
//! program's.

use poolhit::guest::{
    BugCheck, CallError, Called, DriverCallError, GuestImages, ImageFile, LabBuilder, Request,
    RequestError, RequestStop, SavedLab,
};
use poolhit::machine::Exit;
use poolhit::{Lab, Session};
use poolhit_fixtures::prebuilt;

/// What the driver does: `fixtures/guest/include/hostile.h`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(dead_code)]
#[repr(u32)]
pub enum Act {
    Loop,
    LoopApc,
    LoopDispatch,
    LoopHigh,
    LoopCli,
    LoopDpc,
    LoopWorker,
    Recurse,
    DeepFrame,
    Jump,
    Write,
    Read,
    FillStack,
    FillAndFault,
    AllocateAll,
    Allocate,
    Free,
    FreeStack,
    WaitDispatch,
    WaitForEver,
    LockTwice,
    LoadCr3,
    NoInterrupts,
    BugCheck,
    LowerIrql,
    FillAndRaise,
    MoveStack,
    WriteDispatch,
    WriteUnprotected,
    Clear,
    Set,
    Halt,
    HaltCli,
    RaiseIrql,
    ReturnRaised,
}

fn builder(memory: u64) -> LabBuilder {
    let driver = ImageFile::parse("hostile.sys", prebuilt::HOSTILE.bytes.to_vec(), None).unwrap();
    let images = GuestImages {
        driver,
        ..GuestImages::built_in().clone()
    };
    Lab::builder().images(images).memory(memory)
}

/// A lab with the driver, at its first prompt.
pub fn lab() -> Lab {
    builder(64 << 20).build().unwrap()
}

/// Has the driver do it.
pub fn act(lab: &mut Lab, what: Act, address: u64, value: u64) -> Result<Called, CallError> {
    let function = lab.driver_function("HostileAct").unwrap();
    lab.call(function, &[what as u64, address, value])
}

/// Who has the driver do it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Way {
    /// A call from outside, at the first prompt.
    Call,
    /// The program, by `DeviceIoControl`.
    Request,
}

pub const WAYS: [Way; 2] = [Way::Call, Way::Request];

/// What it ends in.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum End {
    BugCheck(BugCheck),
    /// The machine stopped for another reason.
    Stopped(Exit),
    /// The call or the request could not even be made: its memory is gone, or the device.
    Refused,
    /// It did not end, but came back.
    Back,
}

/// A lab at the point where this way begins.
pub fn lab_for(way: Way) -> Lab {
    // What is not there needs no hash.
    let builder = builder(16 << 20);
    match way {
        Way::Call => builder.build().unwrap(),
        Way::Request => builder.requester().build().unwrap(),
    }
}

/// Has the driver do it in this lab.
#[track_caller]
pub fn act_by(lab: &mut Lab, way: Way, what: Act, address: u64, value: u64) -> (End, String) {
    match way {
        Way::Call => match act(lab, what, address, value) {
            Ok(_) => (End::Back, String::new()),
            Err(error) => {
                let text = error.to_string();
                let end = match error {
                    CallError::BugCheck { check, .. } | CallError::Crashed(check) => {
                        End::BugCheck(check)
                    }
                    CallError::Stopped { exit, .. } => End::Stopped(exit),
                    _ => End::Refused,
                };
                (end, text)
            }
        },
        Way::Request => match request(lab, what, address, value) {
            Ok(()) => (End::Back, String::new()),
            Err(error) => {
                let text = error.to_string();
                let end = match error {
                    DriverCallError::Request(RequestError::Stopped(stopped)) => {
                        match stopped.reason {
                            RequestStop::BugCheck(check) => End::BugCheck(check),
                            _ => End::Stopped(stopped.exit),
                        }
                    }
                    _ => End::Refused,
                };
                (end, text)
            }
        },
    }
}

fn request(lab: &mut Lab, what: Act, address: u64, value: u64) -> Result<(), DriverCallError> {
    let device = lab.open_device(r"\\.\Hostile")?;
    let words = [address, value];
    let input: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    // FILE_DEVICE_UNKNOWN, METHOD_BUFFERED
    let code = 0x22_0000 | (what as u32) << 2;
    lab.request(&Request::ioctl(device, code, &input, 0))?;
    lab.request(&Request::Close { handle: device })?;
    Ok(())
}

/// The lab, restored, is what it was, and does what it did; so does another.
#[track_caller]
pub fn works_again(mut lab: Lab, saved: &SavedLab, hash: u128) {
    lab.restore(saved).unwrap();
    assert_eq!(lab.machine().state_hash(), hash);
    let mut labs = vec![lab_for(Way::Call)];
    if lab.machine().privilege_level() == 0 && lab.program_exit_status().is_none() {
        labs.push(lab);
    }
    for mut lab in labs {
        let block = act(&mut lab, Act::Allocate, 0, 0x100).unwrap().value;
        assert_ne!(block, 0);
        act(&mut lab, Act::Free, block, 0).unwrap();
    }
}

/// The stack of a session at this lab.
pub fn stack(lab: Lab) -> String {
    Session::new(lab).execute("k").unwrap()
}
