//! `!process`, `!thread`, `!handle`.

use poolhit::address::Va;
use poolhit::guest::objects::{
    Handle, List, ObjectHeader, Process, Thread, ThreadState, WaitBlock,
};
use poolhit::report::objects::{write_handle, write_object};
use poolhit::report::processes::{Surroundings, write_process, write_thread, write_thread_details};
use poolhit::{Lab, Session};

/// "Getting Started with WinDbg (Kernel-Mode)", "!ptov" and "!handle" in the manual: those of the published
/// processes that are of no session, of which this kernel has none.
#[test]
fn processes() {
    let process = Process {
        address: Va(0xffffe000_002287c0),
        id: 4,
        parent_id: 0,
        peb: Va(0),
        directory_base: 0x1aa000,
        object_table: Va(0xffffc000_00003000),
        handle_count: None,
        image: "System".into(),
        token: Va(0),
        quota_usage: [0; 2],
        commit_charge: 0,
        locked_pages: 0,
        exit_status: 0x103,
        threads: List::whole(Vec::new()),
    };
    let smss = Process {
        address: Va(0xffffe000_01e5a900),
        id: 0x124,
        parent_id: 4,
        peb: Va(0x7ff7_809df000),
        directory_base: 0x1_00595000,
        object_table: Va(0xffffc000_002c5680),
        image: "smss.exe".into(),
        ..process.clone()
    };
    let windows_7 = Process {
        address: Va(0xfffffa80_0361eb30),
        directory_base: 0x187000,
        object_table: Va(0xfffff8a0_00002870),
        handle_count: Some(919),
        ..process.clone()
    };
    let with_sections = Process {
        address: Va(0xfffffa80_04f48940),
        id: 0x138,
        parent_id: 4,
        peb: Va(0x7f6_639bf000),
        directory_base: 0x1_0cb74000,
        object_table: Va(0xfffff8a0_0066f700),
        handle_count: Some(39),
        ..smss.clone()
    };
    for (process, expected) in [
        (
            process,
            "PROCESS ffffe000002287c0
    SessionId: none  Cid: 0004    Peb: 00000000  ParentCid: 0000
    DirBase: 001aa000  ObjectTable: ffffc00000003000  HandleCount: <Data Not Accessible>
    Image: System
",
        ),
        (
            smss,
            "PROCESS ffffe00001e5a900
    SessionId: none  Cid: 0124    Peb: 7ff7809df000  ParentCid: 0004
    DirBase: 100595000  ObjectTable: ffffc000002c5680  HandleCount: <Data Not Accessible>
    Image: smss.exe
",
        ),
        (
            windows_7,
            "PROCESS fffffa800361eb30
    SessionId: none  Cid: 0004    Peb: 00000000  ParentCid: 0000
    DirBase: 00187000  ObjectTable: fffff8a000002870  HandleCount: 919.
    Image: System
",
        ),
        (
            with_sections,
            "PROCESS fffffa8004f48940
    SessionId: none  Cid: 0138    Peb: 7f6639bf000  ParentCid: 0004
    DirBase: 10cb74000  ObjectTable: fffff8a00066f700  HandleCount:  39.
    Image: smss.exe
",
        ),
    ] {
        let mut text = String::new();
        write_process(&mut text, &process).unwrap();
        assert_eq!(text, expected);
    }
}

fn thread() -> Thread {
    Thread {
        address: Va(0xffffcb81_6348b040),
        client_id: [0xc58, 0x4a1c],
        teb: Va(0),
        process: Va(0xffffcb81_648980c0),
        attached_process: Va(0xffffcb81_648980c0),
        state: ThreadState::Running,
        wait_blocks: List::whole(Vec::new()),
        wait_reason: 0,
        waits_for_user: true,
        alertable: false,
        wait_time: 34501403,
        context_switches: 43,
        ideal_processor: 3,
        start_address: Va(0x7fff_34656d00),
        stack: [
            Va(0xffffdc0e_9ee675b0),
            Va(0xffffdc0e_9ee66610),
            Va(0xffffdc0e_9ee68000),
            Va(0xffffdc0e_9ee61000),
        ],
        priority: [8, 8, 0],
        irps: List::whole(Vec::new()),
    }
}

/// Threads that wait in "Debug Universal Drivers" of the manual, without the indentation that `!process` gives
/// them. Where the page has a `Win32Thread`, it is left out: zero stands here, since there is no graphical
/// subsystem.
#[test]
fn waiting_threads() {
    let session = Session::new(Lab::builder().build().unwrap());
    let block = |object, kind| WaitBlock {
        object: Va(object),
        kind: Some(kind),
        limit: 0,
        owner: Va(0),
    };
    let user_request = Thread {
        address: Va(0xffffe001_d173e840),
        client_id: [0x10f0, 0x1dac],
        teb: Va(0xee_6cf8b000),
        state: ThreadState::Waiting,
        wait_reason: 6,
        wait_blocks: List::whole(vec![
            block(0xffffe001_d16c4dd0, 0),
            block(0xffffe001_d08b0840, 3),
        ]),
        ..thread()
    };
    let queue = Thread {
        address: Va(0xffffe001_ceb77080),
        client_id: [0x10f0, 0x16dc],
        teb: Va(0xee_6cf8d000),
        state: ThreadState::Waiting,
        wait_reason: 15,
        alertable: true,
        wait_blocks: List::whole(vec![block(0xffffe001_cf2d1840, 4)]),
        ..thread()
    };
    for (thread, expected) in [
        (
            user_request,
            "THREAD ffffe001d173e840  Cid 10f0.1dac  Teb: 000000ee6cf8b000 Win32Thread: 0000000000000000 WAIT: (UserRequest) UserMode Non-Alertable
    ffffe001d16c4dd0  NotificationEvent
    ffffe001d08b0840  ProcessObject
",
        ),
        (
            queue,
            "THREAD ffffe001ceb77080  Cid 10f0.16dc  Teb: 000000ee6cf8d000 Win32Thread: 0000000000000000 WAIT: (WrQueue) UserMode Alertable
    ffffe001cf2d1840  QueueObject
",
        ),
    ] {
        let mut text = String::new();
        write_thread(&mut text, &session, &thread, 2, "").unwrap();
        assert_eq!(text, expected);
    }
}

/// "Bug Check 0x1AA: EXCEPTION_ON_INVALID_STACK"; "Debug Universal Drivers", whose thread has waited for long, and
/// "Getting Started with WinDbg (Kernel-Mode)", with a symbol, in the manual. Of these listings the lines DeviceMap,
/// UserTime and KernelTime are left out, and what stands behind PriorityDecrement: this kernel does not keep it. The
/// last two are of debuggers that say `Call 0`, and show boosts for the decrement: the line of the priority is left
/// out.
#[test]
fn details_of_threads() {
    let around = Surroundings {
        image: "YourPhone.exe".into(),
        ..Surroundings::default()
    };
    let mut text = String::new();
    write_thread_details(&mut text, &thread(), &around, "").unwrap();
    let expected = "Not impersonating
Owning Process            ffffcb81648980c0       Image:         YourPhone.exe
Attached Process          N/A            Image:         N/A
Wait Start TickCount      34501403       Ticks: 0
Context Switch Count      43             IdealProcessor: 3             
Win32 Start Address 0x00007fff34656d00
Stack Init ffffdc0e9ee675b0 Current ffffdc0e9ee66610
Base ffffdc0e9ee68000 Limit ffffdc0e9ee61000 Call 0000000000000000
Priority 8 BasePriority 8 PriorityDecrement 0
";
    assert_eq!(text, expected);

    let waits = Thread {
        wait_time: 338852,
        context_switches: 36,
        ideal_processor: 0,
        ..thread()
    };
    let around = Surroundings {
        ticks: 197682,
        start: Some("ntdll!TppWorkerThread".into()),
        ..Surroundings::default()
    };
    text.clear();
    write_thread_details(&mut text, &waits, &around, "").unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(
        lines[3],
        "Wait Start TickCount      338852         Ticks: 197682 (0:00:51:28.781)"
    );
    assert_eq!(
        lines[4],
        "Context Switch Count      36             IdealProcessor: 0             "
    );
    let explorer = Thread {
        start_address: Va(0x7ffd_14ab2850),
        wait_time: 13777,
        ..thread()
    };
    text.clear();
    let around = Surroundings { ticks: 2, ..around };
    write_thread_details(&mut text, &explorer, &around, "").unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(
        lines[3],
        "Wait Start TickCount      13777          Ticks: 2 (0:00:00:00.031)"
    );
    assert_eq!(
        lines[5],
        "Win32 Start Address ntdll!TppWorkerThread (0x00007ffd14ab2850)"
    );
}

/// The handle to a section in "!handle" of the manual, on x64.
#[test]
fn handles() {
    let handle = Handle {
        value: 0x40,
        entry: Va(0xfffff8a0_00670100),
        object: Va(0xfffff8a0_00633f00),
        access: 6,
        inherited: true,
        protected: false,
        next_free: 0,
    };
    let header = ObjectHeader {
        address: handle.object,
        header: Va(0xfffff8a0_00633ed0),
        type_object: Va(0xfffffa80_035fef20),
        type_name: "Section".into(),
        handle_count: 1,
        pointer_count: 262144,
        directory: Va(0),
        name: String::new(),
    };
    let mut text = String::new();
    write_handle(&mut text, &handle).unwrap();
    write_object(&mut text, &header, true, "        ").unwrap();
    let expected =
        "0040: Object: fffff8a000633f00  GrantedAccess: 00000006 (Inherit) Entry: fffff8a000670100
Object: fffff8a000633f00  Type: (fffffa80035fef20) Section
    ObjectHeader: fffff8a000633ed0 (new version)
        HandleCount: 1  PointerCount: 262144
";
    assert_eq!(text, expected);
}
