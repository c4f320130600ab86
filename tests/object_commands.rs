//! The kernel's objects: what is read is what the types say, whatever is in memory ends.

use poolhit::address::Va;
use poolhit::guest::objects::{OBJECT_LIMIT, ThreadState};
use poolhit::memory::ReadMemory;
use poolhit::symbols::types::Shape;
use poolhit::{Lab, Session};
use proptest::prelude::*;

/// A session in the middle of a request.
fn session() -> Session {
    let mut session = Session::new(Lab::builder().build().unwrap());
    let text = "g nt!IofCompleteRequest; g nt!IofCompleteRequest";
    session.execute(text).unwrap();
    session
}

/// The field's value, by the types in the kernel's PDB: `Parent.Child` leads into structures.
fn field(session: &Session, at: Va, name: &str, path: &str) -> u64 {
    let types = session.modules().by_name("nt").unwrap().types();
    let mut ty = types.find(name).unwrap().unwrap();
    let mut offset = 0;
    for member in path.split('.') {
        let Shape::Structure(structure) = ty.shape().unwrap() else {
            panic!("{name} is no structure at {member}");
        };
        let found = structure.field(member).unwrap();
        let found = found.unwrap_or_else(|| panic!("{name} has no {member}"));
        offset += found.offset;
        ty = found.ty;
    }
    let size = ty.size().unwrap().min(8) as usize;
    let mut bytes = [0; 8];
    let machine = session.lab().machine();
    machine
        .read(at.wrapping_add(offset), &mut bytes[..size])
        .unwrap();
    u64::from_le_bytes(bytes)
}

#[test]
fn processes_and_threads_are_what_the_types_say() {
    let session = session();
    let lab = session.lab();
    for process in lab.processes().unwrap() {
        let read = |path: &str| field(&session, process.address, "_EPROCESS", path);
        assert_eq!(read("UniqueProcessId"), process.id);
        assert_eq!(read("Peb"), process.peb.0);
        assert_eq!(read("ObjectTable"), process.object_table.0);
        assert_eq!(read("Token") & !0xf, process.token.0);
        assert_eq!(read("CommitCharge"), process.commit_charge);
        assert_eq!(read("NumberOfLockedPages"), process.locked_pages);
        assert_eq!(read("ExitStatus"), process.exit_status.into());
        assert_eq!(read("Pcb.DirectoryTableBase"), process.directory_base);
        let count = field(
            &session,
            process.object_table,
            "_HANDLE_TABLE",
            "HandleCount",
        );
        assert_eq!(Some(count as u32), process.handle_count);
        assert_eq!(read("ActiveThreads"), process.threads.len() as u64);
        for at in process.threads {
            let thread = lab.thread(at).unwrap();
            let read = |path: &str| field(&session, at, "_ETHREAD", path);
            assert_eq!(read("Cid.UniqueThread"), thread.client_id[1]);
            assert_eq!(read("Tcb.Teb"), thread.teb.0);
            assert_eq!(read("Tcb.Process"), thread.process.0);
            assert_eq!(read("Tcb.ApcProcess"), thread.attached_process.0);
            assert_eq!(read("Tcb.ContextSwitches"), thread.context_switches.into());
            assert_eq!(read("Tcb.WaitTime"), thread.wait_time.into());
            assert_eq!(read("Tcb.WaitReason"), thread.wait_reason.into());
            assert_eq!(read("Tcb.IdealProcessor"), thread.ideal_processor.into());
            assert_eq!(read("Tcb.Priority"), thread.priority[0] as u64 & 0xff);
            assert_eq!(read("Tcb.BasePriority"), thread.priority[1] as u64 & 0xff);
            let stacks = ["InitialStack", "KernelStack", "StackBase", "StackLimit"];
            let stacks = stacks.map(|name| Va(read(&format!("Tcb.{name}"))));
            assert_eq!(stacks, thread.stack);
        }
    }
    let current = session.current_thread().unwrap();
    assert_eq!(lab.thread(current).unwrap().irps.len(), 1);
}

#[test]
fn drivers_devices_and_requests_are_what_the_types_say() {
    let session = session();
    let lab = session.lab();
    let at = lab.find_object(r"\Driver\myfault").unwrap();
    let driver = lab.driver_object(at).unwrap();
    let read = |path: &str| field(&session, at, "_DRIVER_OBJECT", path);
    assert_eq!(read("DriverStart"), driver.image.0.0);
    assert_eq!(read("DriverSize"), driver.image.1.into());
    assert_eq!(read("DriverInit"), driver.entry.0);
    assert_eq!(read("DriverUnload"), driver.unload.0);
    assert_eq!(read("DeviceObject"), driver.devices[0].0);
    let at = driver.devices[0];
    let device = lab.device_object(at).unwrap();
    let read = |path: &str| field(&session, at, "_DEVICE_OBJECT", path);
    assert_eq!(read("DeviceExtension"), device.extension.0);
    assert_eq!(read("DeviceObjectExtension"), device.object_extension.0);
    assert_eq!(read("SecurityDescriptor"), device.security.0);
    assert_eq!(read("DeviceType"), device.device_type.into());
    assert_eq!(read("Flags"), device.flags.into());
    let at = Va(session.value_of("rcx").unwrap());
    let irp = lab.irp(at).unwrap();
    let read = |path: &str| field(&session, at, "_IRP", path);
    assert_eq!(read("Flags"), irp.flags.into());
    assert_eq!(read("StackCount"), irp.locations.len() as u64);
    assert_eq!(read("CurrentLocation"), irp.current_location.into());
    assert_eq!(read("Tail.Overlay.Thread"), irp.thread.0);
    assert_eq!(
        read("Tail.Overlay.CurrentStackLocation"),
        irp.current_address.0
    );
    assert_eq!(irp.locations[0].device, device.address);
}

/// The thread that has unloaded the driver waits for more to do.
#[test]
fn a_thread_that_waits_is_where_it_was_left() {
    let mut session = Session::new(Lab::builder().requester().build().unwrap());
    session.with_driver(|lab| lab.unload_driver()).unwrap();
    let lab = session.lab();
    let system = lab.processes().unwrap().remove(0);
    let threads = system.threads.iter().map(|at| lab.thread(*at).unwrap());
    let waiting: Vec<_> = threads
        .filter(|thread| thread.state == ThreadState::Waiting)
        .collect();
    assert!(!waiting.is_empty());
    for thread in waiting {
        let text = session
            .execute(&format!("!thread {:x}", thread.address.0))
            .unwrap();
        assert!(text.contains(" WAIT: ("), "{text}");
        assert!(!thread.wait_blocks.is_empty(), "{text}");
        assert!(text.contains(" : nt!KiSwapContext+0x"), "{text}");
        let last = text.lines().rev().find(|line| !line.is_empty()).unwrap();
        assert!(last.contains(" : nt!KiThreadStartup+0x"), "{text}");
    }
}

/// The commands, with what each needs.
const COMMANDS: [&str; 14] = [
    "!process 0 7",
    "!thread",
    "!handle 0 7 0",
    "!handle 0 17",
    "!drvobj myfault 7",
    "!devobj Myfault",
    "!devstack Myfault",
    "!irp @rcx 1",
    "!irql",
    "!pcr",
    "!prcb 1",
    r"!object \",
    r"!object \Driver",
    r"!object \GLOBAL??\Myfault",
];

/// Where the structures are that the commands read, each with its size.
fn structures(session: &Session) -> Vec<(Va, u64)> {
    let lab = session.lab();
    let driver = lab.find_object(r"\Driver\myfault").unwrap();
    let device = lab.find_object(r"\Device\Myfault").unwrap();
    let mut found = vec![
        (driver, 0x150),
        (device, 0x150),
        (lab.device_object(device).unwrap().object_extension, 0x70),
        (Va(session.value_of("rcx").unwrap()), 0x118),
        (lab.processor_control_region(), 0x1b0),
        (lab.root_directory().unwrap(), 0x150),
        (session.resolve("nt!ObTypeIndexTable").unwrap(), 0x120),
        (session.resolve("nt!PsActiveProcessHead").unwrap(), 0x10),
        (session.resolve("nt!KiProcessorBlock").unwrap(), 0x10),
    ];
    for process in lab.processes().unwrap() {
        found.push((process.address, 0x4d0));
        found.push((process.object_table, 0x68));
        let code = lab.machine().read_u64(process.object_table).unwrap();
        found.push((Va(code & !7), 0x60));
        found.extend(process.threads.iter().map(|at| (*at, 0x498)));
    }
    let entries = lab.object_directory(lab.root_directory().unwrap());
    found.extend(entries.entries.iter().map(|entry| (entry.object, 0x150)));
    // their headers and names
    let headers: Vec<_> = found.iter().map(|(at, _)| Va(at.0 - 0x50)).collect();
    found.extend(headers.into_iter().map(|at| (at, 0x50)));
    found
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, max_shrink_iters: 16, ..ProptestConfig::default() })]

    #[test]
    fn whatever_is_in_memory_ends(
        changes in prop::collection::vec(
            (any::<prop::sample::Index>(), any::<prop::sample::Index>(), any::<prop::sample::Index>(), 0..4u8, any::<u64>()),
            1..12,
        ),
    ) {
        let mut session = session();
        let places = structures(&session);
        for (place, offset, other, kind, noise) in changes {
            let (at, size) = places[place.index(places.len())];
            let at = at.wrapping_add(offset.index(size as usize / 8) as u64 * 8);
            // a pointer to somewhere in a structure, to itself, or noise
            let value = match kind {
                0 => {
                    let (other, size) = places[other.index(places.len())];
                    other.0 + noise % size
                }
                1 => at.0,
                2 => noise >> (noise % 64),
                _ => noise,
            };
            let _ = session.write(at, &value.to_le_bytes());
        }
        let before = session.lab().machine().state_hash();
        for command in COMMANDS {
            if let Ok(text) = session.execute(command) {
                prop_assert!(text.len() < OBJECT_LIMIT * 2048, "{} bytes of {command}", text.len());
            }
        }
        prop_assert_eq!(session.lab().machine().state_hash(), before);
    }
}

#[test]
fn lists_that_lead_into_themselves_end() {
    let mut session = session();
    let thread = session.current_thread().unwrap();
    let process = session.current_process().unwrap();
    // the threads' list leads from the first to itself, the requests' to the thread
    let links = process.wrapping_add(0x308);
    let entry = thread.wrapping_add(0x420);
    session.write(links, &entry.0.to_le_bytes()).unwrap();
    session.write(entry, &entry.0.to_le_bytes()).unwrap();
    let irps = thread.wrapping_add(0x3e8);
    session.write(irps, &entry.0.to_le_bytes()).unwrap();
    let text = session.execute("!process -1 7").unwrap();
    assert_eq!(text.matches("THREAD ").count(), 1, "{text}");
    assert!(text.contains(": Could not read Irp"), "{text}");
    let back = format!(
        "        *** List leads back to its entry at {:016x}\n",
        entry.0
    );
    assert!(text.contains(&back), "{text}");
    // a device above itself
    let device = session.lab().find_object(r"\Device\Myfault").unwrap();
    let above = device.wrapping_add(0x18);
    session.write(above, &device.0.to_le_bytes()).unwrap();
    let text = session.execute("!devstack Myfault").unwrap();
    let back = format!("  *** List leads back to its entry at {:016x}\n", device.0);
    assert_eq!(
        (text.lines().count(), text.contains(&back)),
        (3, true),
        "{text}"
    );
}

/// Each list of each command, with its link led elsewhere: the command says so, and does not when nothing is
/// wrong.
#[test]
fn a_damaged_list_is_shown_as_one() {
    let lab = Lab::builder().requester().build().unwrap();
    let mut session = Session::new(lab);
    session
        .with_driver(|lab| lab.open_device(r"\\.\Myfault"))
        .unwrap();
    let lab = session.lab();
    let system = lab.processes().unwrap().remove(0);
    let threads = system.threads.iter().map(|at| lab.thread(*at).unwrap());
    let mut waiting = threads.filter(|thread| thread.state == ThreadState::Waiting);
    let waiting = waiting.next().unwrap().address;
    let driver = lab.find_object(r"\Driver\myfault").unwrap();
    let device = lab.find_object(r"\Device\Myfault").unwrap();
    let below = lab.device_object(device).unwrap().object_extension;
    let extension = Va(field(&session, driver, "_DRIVER_OBJECT", "DriverExtension"));
    let thread = session.current_thread().unwrap();
    let process = session.current_process().unwrap();
    let directory = lab.find_object(r"\Driver").unwrap();
    let processes = session.resolve("nt!PsActiveProcessHead").unwrap();
    let handles = lab.process(process).unwrap().object_table;
    let wait = format!("!thread {:x}", waiting.0);
    for (command, at, value, said) in [
        (
            "!process 0 0",
            processes,
            0,
            "*** List ends with a NULL link",
        ),
        (
            "!handle 0 3 0",
            processes,
            0,
            "*** List ends with a NULL link",
        ),
        (
            "!process -1 2",
            process.wrapping_add(0x308),
            0x10,
            "        *** Unable to read list entry at 0000000000000010",
        ),
        (
            "!thread",
            thread.wrapping_add(0x3e8),
            0x10,
            "    *** Unable to read list entry at 0000000000000010",
        ),
        (
            wait.as_str(),
            waiting.wrapping_add(0x98),
            0x10,
            "    *** Unable to read list entry at 0000000000000010",
        ),
        (
            "!drvobj myfault",
            device.wrapping_add(0x10),
            device.0,
            "*** List leads back to its entry at ",
        ),
        (
            "!drvobj myfault",
            extension.wrapping_add(0x28),
            0x10,
            "*** Unable to read list entry at 0000000000000010",
        ),
        (
            "!devstack Myfault",
            device.wrapping_add(0x18),
            0x10,
            "  *** Unable to read list entry at 0000000000000010",
        ),
        (
            "!devstack Myfault",
            below.wrapping_add(0x30),
            device.0,
            "  *** List leads back to its entry at ",
        ),
        (
            r"!object \Driver",
            directory,
            0x10,
            "     00  *** Unable to read list entry at 0000000000000010",
        ),
        (
            "!handle 0 3",
            handles,
            0x10,
            "0004-03fc: handles not readable",
        ),
    ] {
        let whole = session.execute(command).unwrap();
        assert!(
            !whole.contains("***") || command == "!process 0 0",
            "{whole}"
        );
        assert!(
            !whole.contains(said) && !whole.contains("not readable"),
            "{whole}"
        );
        let before = session.lab().machine().read_u64(at).unwrap();
        session.write(at, &value.to_le_bytes()).unwrap();
        let text = session.execute(command).unwrap();
        assert!(
            text.lines().any(|line| line.starts_with(said)),
            "{command}: {text}"
        );
        session.write(at, &before.to_le_bytes()).unwrap();
        assert_eq!(session.execute(command).unwrap(), whole);
    }
}
