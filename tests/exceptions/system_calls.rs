//! What a program gives system calls: exceptions about it are the calls' answers.

use crate::status;
use poolhit::guest::ImageFile;
use poolhit::machine::Exit;
use poolhit::{Lab, guest::LabBuilder};
use poolhit_fixtures::pe_builder::{CODE, PeBuilder};

const BASE: u64 = 0x1_4000_0000;
const TEXT: u64 = BASE + 0x1000;
/// Offset of data in the section.
const DATA: u64 = 0x800;
/// The device's name in UTF-16, and a `_UNICODE_STRING`, `_OBJECT_ATTRIBUTES` for it.
const NAME: u64 = TEXT + DATA;
const STRING: u64 = NAME + 0x40;
const ATTRIBUTES: u64 = STRING + 0x10;
/// Memory that may be written: the handle, the status block.
const HANDLE: u64 = 0xd_8000;
const IOSB: u64 = 0xd_8010;
/// No memory, read-only memory, and the kernel's.
const NOWHERE: u64 = 0x7_0000;
const READ_ONLY: u64 = 0x7ffe_0000;
const KERNEL: u64 = 0xfffff800_01653000;
const NOT_CANONICAL: u64 = 0x1234_0000_0000_0000;

const OBJECT_NAME_NOT_FOUND: u64 = 0xc000_0034;
const OBJECT_PATH_SYNTAX_BAD: u64 = 0xc000_003b;
const INVALID_PARAMETER: u64 = 0xc000_000d;

const CREATE_FILE: u64 = 0x52;
const DEVICE_CONTROL: u64 = 0x4;

/// Machine code of a program that makes system calls.
#[derive(Default)]
struct Program(Vec<u8>);

impl Program {
    fn raw(mut self, bytes: &[u8]) -> Program {
        self.0.extend_from_slice(bytes);
        self
    }

    /// `mov register, value`.
    fn set(self, register: u8, value: u64) -> Program {
        self.raw(&[0x48 | register >> 3, 0xb8 + (register & 7)])
            .raw(&value.to_le_bytes())
    }

    /// A call with these arguments; its status is in RAX.
    fn call(mut self, number: u64, arguments: &[u64]) -> Program {
        for (place, value) in arguments.iter().enumerate().skip(4) {
            // mov [rsp + 8 * (place + 1)], rax
            self = self.set(0, *value).raw(&[0x48, 0x89, 0x84, 0x24]);
            self = self.raw(&(8 * (place as u32 + 1)).to_le_bytes());
        }
        for (register, value) in [10, 2, 8, 9].into_iter().zip(arguments) {
            self = self.set(register, *value);
        }
        self.set(0, number).raw(&[0x0f, 0x05])
    }

    /// Ends the process with the last call's status.
    fn end(self) -> Vec<u8> {
        self.raw(&[0x48, 0x89, 0xc2]) // mov rdx, rax
            .set(10, u64::MAX)
            .set(0, 0x29)
            .raw(&[0x0f, 0x05])
            .0
    }

    /// Makes the device's handle the first argument of what comes: mov r10, [HANDLE], in place of what
    /// `call` has put there.
    fn control(self, arguments: &[u64]) -> Program {
        let mut program = self;
        let before = program.0.len();
        program = program.call(DEVICE_CONTROL, arguments);
        let syscall = program.0.split_off(program.0.len() - 12);
        assert!(program.0.len() > before);
        // mov rax, HANDLE; mov r10, [rax]
        let mut program = program.set(0, HANDLE).raw(&[0x4c, 0x8b, 0x10]);
        program.0.extend(syscall);
        program
    }
}

fn builder(code: Vec<u8>, string: (u16, u64), name: u64) -> LabBuilder {
    let mut bytes = code;
    assert!(bytes.len() < DATA as usize);
    bytes.resize(DATA as usize, 0xcc);
    let text: Vec<u8> = "\\DosDevices\\Myfault"
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    bytes.extend(&text);
    bytes.resize((STRING - TEXT) as usize, 0);
    bytes.extend(string.0.to_le_bytes());
    bytes.extend(string.0.to_le_bytes());
    bytes.extend([0; 4]);
    bytes.extend(string.1.to_le_bytes());
    for word in [0x30, 0, name, 0x40, 0, 0] {
        bytes.extend(u64::to_le_bytes(word));
    }
    let mut builder = PeBuilder::new(BASE);
    let text = builder.section(".text", CODE, bytes, 0x1000);
    builder.entry_point(text);
    let program = ImageFile::parse("calls.exe", builder.build(), None).unwrap();
    Lab::builder().program(program)
}

/// The status of the program's last call.
#[track_caller]
fn status_of(builder: LabBuilder) -> u64 {
    let mut lab = builder.build().unwrap();
    crate::guest::pass_break_instruction(&mut lab);
    let exit = lab.run(lab.machine().work() + (1 << 20)).unwrap();
    assert_eq!(exit, Exit::Halt, "{:?}", lab.bug_check());
    u64::from(lab.program_exit_status().unwrap())
}

const NAME_LENGTH: u16 = 2 * 19;

#[track_caller]
fn create(handle: u64, attributes: u64, iosb: u64) -> u64 {
    let program = Program::default().call(CREATE_FILE, &[handle, 0, attributes, iosb]);
    status_of(builder(program.end(), (NAME_LENGTH, NAME), STRING))
}

#[test]
fn files_are_created_for_pointers_that_can_be_used() {
    assert_eq!(create(HANDLE, ATTRIBUTES, IOSB), 0);
    for bad in [
        0,
        NOWHERE,
        READ_ONLY,
        KERNEL,
        NOT_CANONICAL,
        0x7ff_ffff_0000,
    ] {
        assert_eq!(
            create(bad, ATTRIBUTES, IOSB),
            status::ACCESS_VIOLATION,
            "{bad:x}"
        );
        assert_eq!(
            create(HANDLE, ATTRIBUTES, bad),
            status::ACCESS_VIOLATION,
            "{bad:x}"
        );
    }
    for bad in [NOWHERE, KERNEL, NOT_CANONICAL] {
        assert_eq!(
            create(HANDLE, bad, IOSB),
            status::ACCESS_VIOLATION,
            "{bad:x}"
        );
    }
    assert_eq!(create(HANDLE, 0, IOSB), INVALID_PARAMETER);
    assert_eq!(
        create(HANDLE + 1, ATTRIBUTES, IOSB),
        status::DATATYPE_MISALIGNMENT
    );
    assert_eq!(
        create(HANDLE, ATTRIBUTES + 2, IOSB),
        status::DATATYPE_MISALIGNMENT
    );
    assert_eq!(
        create(HANDLE, ATTRIBUTES, IOSB + 3),
        status::DATATYPE_MISALIGNMENT
    );
}

#[test]
fn names_are_read_where_they_are() {
    let name = |string, name| {
        let program = Program::default().call(CREATE_FILE, &[HANDLE, 0, ATTRIBUTES, IOSB]);
        status_of(builder(program.end(), string, name))
    };
    assert_eq!(name((NAME_LENGTH, NAME), STRING), 0);
    assert_eq!(name((NAME_LENGTH - 2, NAME), STRING), OBJECT_NAME_NOT_FOUND);
    for bad in [0, NOWHERE, KERNEL, NOT_CANONICAL] {
        // Attributes without a string have no name, as those with an empty one.
        let expected = match bad {
            0 => OBJECT_PATH_SYNTAX_BAD,
            _ => status::ACCESS_VIOLATION,
        };
        assert_eq!(name((NAME_LENGTH, NAME), bad), expected);
        assert_eq!(name((NAME_LENGTH, bad), STRING), status::ACCESS_VIOLATION);
    }
    assert_eq!(
        name((NAME_LENGTH, NAME + 1), STRING),
        status::DATATYPE_MISALIGNMENT
    );
    assert_eq!(
        name((NAME_LENGTH, NAME), STRING + 1),
        status::DATATYPE_MISALIGNMENT
    );
    // Longer than what is kept on the stack, and longer than what is there.
    assert_eq!(name((0x300, NAME), STRING), OBJECT_NAME_NOT_FOUND);
    assert_eq!(name((0xfffe, NAME), STRING), status::ACCESS_VIOLATION);
    assert_eq!(name((0, NOWHERE), STRING), OBJECT_PATH_SYNTAX_BAD);
}

#[test]
fn buffers_of_requests_are_probed() {
    // The driver's, with METHOD_BUFFERED; and one that it does not know, with METHOD_NEITHER.
    const ALLOCATE_FREE: u64 = 0x22_200c;
    const NEITHER: u64 = 0x22_200f;
    let control = |code, iosb, input: (u64, u64), output: (u64, u64)| {
        let arguments = [0, 0, 0, 0, iosb, code, input.0, input.1, output.0, output.1];
        let program = Program::default()
            .call(CREATE_FILE, &[HANDLE, 0, ATTRIBUTES, IOSB])
            .control(&arguments);
        status_of(builder(program.end(), (NAME_LENGTH, NAME), STRING))
    };
    let (input, output) = ((NAME, 4), (HANDLE + 0x100, 0x10));
    assert_eq!(control(ALLOCATE_FREE, IOSB, input, output), 0);
    assert_eq!(control(ALLOCATE_FREE, IOSB, input, (0, 0)), 0);
    for bad in [0, NOWHERE, KERNEL, NOT_CANONICAL] {
        let violations = [
            control(ALLOCATE_FREE, bad, input, output),
            control(ALLOCATE_FREE, IOSB, (bad, 4), output),
            control(ALLOCATE_FREE, IOSB, input, (bad, 4)),
        ];
        let expected = match bad {
            // A buffer that is not there has no length.
            0 => [status::ACCESS_VIOLATION, INVALID_PARAMETER, 0],
            _ => [status::ACCESS_VIOLATION; 3],
        };
        assert_eq!(violations, expected, "{bad:x}");
        // There the driver gets what the program gave, and says that it is too short.
        let neither = control(NEITHER, IOSB, (bad, 2), (bad, 4));
        assert_eq!(neither, INVALID_PARAMETER, "{bad:x}");
    }
    let read_only = control(ALLOCATE_FREE, IOSB, input, (READ_ONLY, 4));
    assert_eq!(read_only, status::ACCESS_VIOLATION);
    let unaligned = control(ALLOCATE_FREE, IOSB + 1, input, output);
    assert_eq!(unaligned, status::DATATYPE_MISALIGNMENT);
}

/// The arguments on the stack are copied where an exception is the call's answer, too; the program goes on
/// with its registers.
#[test]
fn arguments_that_cannot_be_read() {
    for stack in [0, NOWHERE, NOT_CANONICAL, KERNEL] {
        let program = Program::default()
            .set(3, 0x1111) // rbx
            .set(4, stack) // rsp
            .set(10, 0)
            .set(0, DEVICE_CONTROL)
            .raw(&[0x0f, 0x05])
            .set(4, 0xd_f000)
            // cmp rbx, 1111h; je over; xor eax, eax
            .raw(&[0x48, 0x81, 0xfb, 0x11, 0x11, 0, 0, 0x74, 0x02, 0x31, 0xc0]);
        let status = status_of(builder(program.end(), (NAME_LENGTH, NAME), STRING));
        // Stack pointers of the kernel's stand for the end of user mode, where there is nothing.
        assert_eq!(status, status::ACCESS_VIOLATION, "{stack:x}");
    }
}
