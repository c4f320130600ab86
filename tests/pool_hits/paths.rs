//! Each path's break instruction, and the whole stack there.

use crate::schedule::{LEAK, LEAK_PAGED, NO_TAG, Operation, Path, ROUNDS, Request, hits};
use crate::{break_instruction, path_at, session, symbol, tracker};
use poolhit::address::Va;
use poolhit::debugger::{CallSite, CallStack};
use poolhit::memory::ReadMemory;
use poolhit::registers::Gpr;
use poolhit::stack::frame::FrameTrust;
use poolhit::stack::walk::WalkEnd;
use poolhit::tag::Tag;
use poolhit::{Session, StopReason};

const STRING: (&str, Option<&str>) = ("nt", Some(" ?? ::FNODOBFM::`string'"));
const DRIVER: (&str, Option<&str>) = ("myfault", None);

/// Module, symbol and trust of each frame at a hit.
fn expected(operation: Operation) -> Vec<(&'static str, Option<&'static str>, FrameTrust)> {
    let mut sites = match operation.path {
        Path::BigPool => vec![STRING, ("nt", Some("ExAllocatePoolWithTag"))],
        Path::SmallPool | Path::Cached => vec![STRING],
        Path::FreeBig | Path::FreeSmall => vec![("nt", Some("ExFreePoolWithTag"))],
    };
    let in_driver = match operation.request {
        Request::LeakPaged(_) => 2,
        _ => 3,
    };
    sites.extend([DRIVER; 3].iter().take(in_driver));
    sites.extend([
        ("nt", Some("IopXxxControlFile")),
        ("nt", Some("NtDeviceIoControlFile")),
        ("nt", Some("KiSystemServiceCopyEnd")),
        ("ntdll", Some("ZwDeviceIoControlFile")),
        ("KERNELBASE", Some("DeviceIoControl")),
        ("kernel32", Some("DeviceIoControlImplementation")),
        ("NotMyfault", None),
    ]);
    sites
        .into_iter()
        .enumerate()
        .map(|(number, (module, symbol))| {
            let trust = match symbol {
                _ if number == 0 => FrameTrust::Context,
                // the system call left it
                Some("ZwDeviceIoControlFile") => FrameTrust::MachineFrame,
                // its callee is the system call's stub, which has no frame
                Some("DeviceIoControl") => FrameTrust::Leaf,
                _ => FrameTrust::UnwindInfo,
            };
            (module, symbol, trust)
        })
        .collect()
}

fn check_stack(session: &Session, operation: Operation) {
    let stack: CallStack = session.stack(64);
    assert_eq!(stack.end, WalkEnd::ReturnAddressZero);
    let found: Vec<_> = stack
        .frames
        .iter()
        .map(|site| {
            let module = site.module.as_deref().unwrap_or_default();
            (module, site.symbol.as_deref(), site.trust)
        })
        .collect();
    assert_eq!(found, expected(operation), "{operation:?}");
    for pair in stack.frames.windows(2) {
        assert_eq!(pair[0].return_address, pair[1].address);
        assert!(is_behind_call(session, &pair[1]), "{}", pair[1]);
    }
    assert_eq!(stack.frames.last().unwrap().return_address, Va(0));
}

/// Whether the code in front of a frame's address calls, or is a system call.
fn is_behind_call(session: &Session, site: &CallSite) -> bool {
    let mut bytes = [0; 6];
    let machine = session.lab().machine();
    machine
        .read(site.address.wrapping_sub(6), &mut bytes)
        .unwrap();
    let system_call = site.trust == FrameTrust::MachineFrame;
    match bytes {
        [.., 0x0f, 0x05] => system_call,
        [0xff, 0x15, ..] | [_, 0xe8, ..] | [.., 0xff, 0xd0..=0xd7] => !system_call,
        // call with an eight-bit displacement
        [.., 0xff, 0x50..=0x57, _] => !system_call,
        _ => false,
    }
}

/// Where the block is that was allocated, and what the guest has noted about it.
fn check_block(session: &Session, operation: Operation) {
    let block = Va(session.registers().get(Gpr::Rax));
    let noted = match operation.path {
        Path::BigPool => tracker::big_pages(session)
            .into_iter()
            .find(|entry| entry.address == block)
            .map(|entry| (entry.tag, entry.bytes)),
        Path::SmallPool | Path::Cached => Some(tracker::header_of(session, block)),
        Path::FreeBig | Path::FreeSmall => return,
    };
    assert_eq!(noted, Some((operation.tag, operation.bytes)), "{block}");
}

/// The program's first rounds, looked at closely.
#[test]
fn each_path_hits_with_its_whole_stack() {
    for tag in [LEAK, LEAK_PAGED] {
        let mut session = session(tag);
        let in_two_rounds = hits(tag).count() / ROUNDS * 2;
        let mut paths = Vec::new();
        for operation in hits(tag).take(in_two_rounds) {
            let stop = session.go().unwrap();
            assert_eq!(stop.reason, StopReason::BreakInstruction);
            assert_eq!(stop.address, session.registers().rip());
            assert_eq!(path_at(stop.address), operation.path);
            check_stack(&session, operation);
            check_block(&session, operation);
            paths.push(operation.path);
        }
        paths.sort_unstable();
        paths.dedup();
        let expected: &[Path] = match tag {
            LEAK => &[
                Path::BigPool,
                Path::SmallPool,
                Path::Cached,
                Path::FreeBig,
                Path::FreeSmall,
            ],
            _ => &[Path::BigPool, Path::FreeBig],
        };
        assert_eq!(paths, expected, "{tag:?}");
    }
}

/// The blocks split off as cold go back to the functions that they belong to.
#[test]
fn the_cold_blocks_belong_to_their_functions() {
    let session = session(NO_TAG);
    for (path, function) in [
        (Path::BigPool, "ExpAllocateBigPool"),
        (Path::SmallPool, "ExAllocatePoolWithTag"),
        (Path::Cached, "ExAllocatePoolWithTag"),
    ] {
        let at = break_instruction(path);
        let mut bytes = [0; 6];
        session.lab().machine().read(at, &mut bytes).unwrap();
        let [0xcc, 0xe9, distance @ ..] = bytes else {
            panic!("{at}: no break instruction with a jump behind it: {bytes:x?}");
        };
        let target = at
            .wrapping_add(6)
            .wrapping_add(i64::from(i32::from_le_bytes(distance)) as u64);
        let near = session.modules().nearest(target).unwrap();
        assert_eq!(near.symbol.unwrap().display_name(), function);
    }
    let free = symbol(&session, "nt!ExFreePoolWithTag");
    assert_eq!(break_instruction(Path::FreeBig), free.wrapping_add(0x27));
}

/// Every hit of the whole program, in order, and nothing else.
#[test]
fn all_that_carries_the_tag_hits() {
    for tag in [LEAK, LEAK_PAGED, Tag::from_bytes(*b"None")] {
        let mut session = session(tag);
        let mut found = Vec::new();
        let end = loop {
            let stop = session.go().unwrap();
            match stop.reason {
                StopReason::BreakInstruction => found.push(path_at(stop.address)),
                end => break end,
            }
        };
        let wanted: Vec<_> = hits(tag).map(|operation| operation.path).collect();
        assert!(found == wanted, "{tag:?}: {} hits", found.len());
        assert_eq!(
            end,
            StopReason::Idle {
                exit_status: Some(0)
            }
        );
    }
}
