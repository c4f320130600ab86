//! A driver under the debugger, from its `DriverEntry` through the requests that the program makes of it to its
//! unloading: by the library, and by `poolhit debug`.

use poolhit::guest::{ImageFile, Lab};
use poolhit::{QueuedRequest, Session, StopReason};
use poolhit_fixtures::prebuilt::{LEAKY, LEAKY_PDB};
use std::process::{Command, Stdio};

fn ioctl(code: u32, input: &[u8]) -> QueuedRequest {
    QueuedRequest::Ioctl {
        code,
        input: input.to_vec(),
        output_length: 0,
    }
}

const LEAKY_LINK: &str = r"\\.\Leaky";

fn leaky() -> Session {
    let pdb = Some(LEAKY_PDB.bytes);
    let driver = ImageFile::parse(LEAKY.name, LEAKY.bytes, pdb).unwrap();
    let lab = Lab::builder().driver(driver).requester();
    Session::new(lab.build().unwrap())
}

fn open(path: &str) -> QueuedRequest {
    QueuedRequest::Open(Some(path.into()))
}

/// `IOCTL_LEAKY_ADD` of fixtures/guest/include/leaky.h.
const ADD: u32 = 0x22_2050;
const PROMPT: &str = "Break instruction exception - code 80000003 (first chance)\n\
                      Requester!RequesterPrompt:\n\
                      00000001`40001000 cc              int     3\n";

#[test]
fn breakpoints_stop_on_the_way_and_each_answer_is_told() {
    let mut session = leaky();
    session.queue_requests([
        open(LEAKY_LINK),
        ioctl(ADD, &[0x40, 0, 0, 0]),
        ioctl(ADD, &[]),
        QueuedRequest::Close,
    ]);
    session.execute("bp leaky!AddEntry").unwrap();
    let first = session.execute("g").unwrap();
    assert!(
        first.starts_with("open \\\\.\\Leaky: success\nBreakpoint 0 hit\n"),
        "{first}"
    );
    let stack = session.execute("k").unwrap();
    assert!(stack.contains("kernel32!DeviceIoControl"), "{stack}");
    assert!(stack.contains("Requester!RequesterPrompt+"), "{stack}");
    // Steps come over the prompt as `g` does.
    session.execute("bc *; gu").unwrap();
    assert_eq!(
        session.execute("g").unwrap(),
        format!(
            "ioctl 0x00222050 (4 bytes in, room for 0): success, 0 bytes\n\
             ioctl 0x00222050 (0 bytes in, room for 0): error 87 ERROR_INVALID_PARAMETER (status \
             0xc000000d STATUS_INVALID_PARAMETER)\n\
             close: success, 0 bytes\n{PROMPT}"
        )
    );
    // Nothing is left to be done.
    assert_eq!(session.execute("g").unwrap(), PROMPT);
    assert_eq!(
        session.last_stop().unwrap().reason,
        StopReason::BreakInstruction
    );
}

/// Without a handle the requests behind it make no sense.
#[test]
fn what_cannot_be_opened_is_the_last() {
    let mut session = leaky();
    session.queue_requests([open(r"\\.\Nothing"), ioctl(ADD, &[0x40, 0, 0, 0])]);
    let text = session.execute("g").unwrap();
    let answer = "open \\\\.\\Nothing: error 2 ERROR_FILE_NOT_FOUND (status 0xc0000034 \
                  STATUS_OBJECT_NAME_NOT_FOUND)\n";
    assert_eq!(text, format!("{answer}{PROMPT}"));
    // One that does not fit is told of, and is not the last.
    session.queue_requests([
        open(LEAKY_LINK),
        ioctl(ADD, &vec![0; 0x10001]),
        ioctl(ADD, &[0x40, 0, 0, 0]),
    ]);
    let text = session.execute("g").unwrap();
    assert!(text.contains("input has 65537 bytes"), "{text}");
    let text = session.execute("g").unwrap();
    assert!(text.contains("success, 0 bytes"), "{text}");
}

/// Other programs take no requests, and are not disturbed.
#[test]
fn a_program_of_its_own_takes_none() {
    let mut session = Session::new(Lab::builder().build().unwrap());
    session.queue_requests([open(LEAKY_LINK)]);
    session.execute("ed nt!PoolHitTag 6b61654c").unwrap();
    let text = session.execute("g").unwrap();
    assert!(text.starts_with("Break instruction exception"), "{text}");
}

#[test]
fn the_command_line_makes_requests() {
    let run = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_poolhit"));
        command.arg("debug").args(arguments).stdin(Stdio::null());
        let output = command.output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (
            output.status.code(),
            text(output.stdout),
            text(output.stderr),
        )
    };
    let folder = tempfile::tempdir().unwrap();
    let driver = folder.path().join("leaky.sys");
    std::fs::write(&driver, LEAKY.bytes).unwrap();
    std::fs::write(folder.path().join("leaky.pdb"), LEAKY_PDB.bytes).unwrap();
    let driver = ["--driver", driver.to_str().unwrap()];
    let commands = "bp leaky!AddEntry \"k 2;g\"; bu leaky!LeakyUnload; g; k 2; g";
    let requests = ["--ioctl", "0x222050:40000000", "--unload", "-c", commands];
    let (status, out, errors) = run(&[&driver[..], &requests].concat());
    assert_eq!((status, &*errors), (Some(0), ""));
    let (_, out) = out.split_once('\n').unwrap();
    let of = |words: &str| {
        out.find(words)
            .unwrap_or_else(|| panic!("{words} is not in\n{out}"))
    };
    let order = [
        r"open \\.\Leaky: success",
        " leaky!AddEntry\n",
        "ioctl 0x00222050 (4 bytes in, room for 0): success",
        "close: success",
        "Breakpoint 1 hit",
        "leaky!LeakyUnload",
        "unload: success",
    ];
    assert!(order.map(of).is_sorted(), "{out}");
    let (status, _, errors) = run(&["--ioctl", "1=success", "-c", "g"]);
    assert_eq!(status, Some(2));
    assert!(errors.contains("nothing is expected"), "{errors}");
    let (status, _, errors) = run(&["--ioctl", "1", "--program", "x.exe"]);
    assert_eq!(status, Some(2));
    assert!(errors.contains("cannot be used with"), "{errors}");
}

/// The first prompt before the driver is loaded: breakpoints in it are set when it comes.
#[test]
fn driver_entry_can_be_debugged() {
    let pdb = Some(LEAKY_PDB.bytes);
    let driver = ImageFile::parse(LEAKY.name, LEAKY.bytes, pdb).unwrap();
    let lab = Lab::builder().driver(driver).requester().initial_break();
    let mut session = Session::new(lab.build().unwrap());
    assert!(session.execute("lm").unwrap().contains(" nt "));
    assert!(session.modules().by_name("leaky").is_none());
    session.queue_requests([QueuedRequest::Open(None), ioctl(ADD, &[0x40, 0, 0, 0])]);
    session.execute("bu leaky!DriverEntry").unwrap();
    session.execute("bu leaky!AddEntry").unwrap();
    let text = session.execute("g").unwrap();
    assert!(
        text.starts_with("Breakpoint 0 hit\nleaky!DriverEntry:\n"),
        "{text}"
    );
    let stack = session.execute("k").unwrap();
    assert!(stack.contains("nt!IopLoadDriver+"), "{stack}");
    // nothing of the driver's is there yet
    assert!(session.execute("!drvobj leaky").unwrap().contains("leaky"));
    assert_eq!(session.lab().driver_links(), Vec::<String>::new());
    session.execute("gu").unwrap();
    assert_eq!(session.value_of("eax"), Some(0));
    assert_eq!(session.lab().driver_links(), [LEAKY_LINK]);
    // the break instruction that is the first prompt without all this
    let text = session.execute("g").unwrap();
    assert!(text.contains("nt!DbgBreakPoint:\n"), "{text}");
    let text = session.execute("g").unwrap();
    assert!(
        text.starts_with("open \\\\.\\Leaky: success\nBreakpoint 1 hit\n"),
        "{text}"
    );
}

/// A breakpoint that follows a module goes with it, and comes again.
#[test]
fn breakpoints_follow_a_driver_that_is_loaded_again() {
    let mut session = leaky();
    session
        .execute("bu leaky!LeakyUnload; bu leaky!DriverEntry")
        .unwrap();
    let service = session.lab().driver_service();
    session.queue_requests([QueuedRequest::UnloadDriver(service)]);
    let text = session.execute("g").unwrap();
    assert!(text.starts_with("Breakpoint 0 hit\n"), "{text}");
    let text = session.execute("g").unwrap();
    assert!(text.starts_with("unload: success"), "{text}");
    assert!(
        session
            .execute("bl")
            .unwrap()
            .contains("(leaky!DriverEntry)")
    );
    assert!(session.resolve("leaky!DriverEntry").is_none());
}

/// The same without a program: the lab itself has the driver loaded.
#[test]
fn breakpoints_by_symbol_stop_a_load_from_rust() {
    let mut session = leaky();
    session.with_driver(|lab| lab.unload_driver()).unwrap();
    session
        .execute("bu leaky!DriverEntry; bu leaky!AddEntry; bd 1; bu `leaky!leaky.c:142`")
        .unwrap();
    session.with_driver(|lab| lab.load_driver()).unwrap_err();
    let entry = session.resolve("leaky!DriverEntry").unwrap();
    let stop = session.last_stop().unwrap();
    assert_eq!(stop.reason, StopReason::Breakpoint { number: 0 });
    assert_eq!(stop.address, entry);
    session
        .with_driver(|lab| Ok(lab.resume_kernel()?))
        .unwrap_err();
    let reason = &session.last_stop().unwrap().reason;
    assert_eq!(*reason, StopReason::Breakpoint { number: 2 });
    let status = session.with_driver(|lab| Ok(lab.resume_kernel()?)).unwrap();
    assert_eq!(status as u32, 0);
    let places = session.execute("bl").unwrap();
    assert_eq!(places.matches(" e fffff880`").count(), 2, "{places}");
    assert_eq!(session.lab().machine().breakpoints().count(), 2);
}
