//! The kernel's routines called from outside, as by a driver: with their arguments in nonpaged pool.

use poolhit::Lab;
use poolhit::address::Va;
use poolhit::guest::CallError;
use poolhit::memory::{ReadMemory, WriteMemory};

pub const SUCCESS: u32 = 0;
pub const NAME_EXISTS: u32 = 0x4000_0000;
pub const INFO_LENGTH_MISMATCH: u32 = 0xc000_0004;
pub const INVALID_HANDLE: u32 = 0xc000_0008;
pub const INVALID_PARAMETER: u32 = 0xc000_000d;
pub const ACCESS_DENIED: u32 = 0xc000_0022;
pub const BUFFER_TOO_SMALL: u32 = 0xc000_0023;
pub const TYPE_MISMATCH: u32 = 0xc000_0024;
pub const NAME_INVALID: u32 = 0xc000_0033;
pub const NAME_NOT_FOUND: u32 = 0xc000_0034;
pub const NAME_COLLISION: u32 = 0xc000_0035;
pub const PATH_NOT_FOUND: u32 = 0xc000_003a;
pub const PATH_SYNTAX_BAD: u32 = 0xc000_003b;

pub const OPENIF: u32 = 0x80;
pub const PERMANENT: u32 = 0x10;
pub const EXCLUSIVE: u32 = 0x20;
pub const KERNEL_HANDLE: u32 = 0x200;

const TAG: u64 = u32::from_le_bytes(*b"TstO") as u64;
const ARENA: u64 = 0x4_0000;

/// Code in the guest that says how it was called.
#[derive(Clone, Copy)]
pub struct Routine {
    pub address: u64,
    record: u64,
}

pub struct Guest {
    pub lab: Lab,
    arena: u64,
    used: u64,
}

impl Guest {
    pub fn new() -> Guest {
        Guest::of(Lab::builder().memory(32 << 20).build().unwrap())
    }

    pub fn of(lab: Lab) -> Guest {
        let mut guest = Guest {
            lab,
            arena: 0,
            used: 0,
        };
        guest.arena = guest.call("ExAllocatePoolWithTag", &[0, ARENA, TAG]);
        assert_ne!(guest.arena, 0);
        guest
    }

    pub fn try_call(&mut self, name: &str, arguments: &[u64]) -> Result<u64, CallError> {
        Ok(self.lab.call_kernel(name, arguments)?.value)
    }

    #[track_caller]
    pub fn call(&mut self, name: &str, arguments: &[u64]) -> u64 {
        match self.try_call(name, arguments) {
            Ok(value) => value,
            Err(error) => panic!("{name}: {error}"),
        }
    }

    /// The value of a routine that returns 32 bits.
    #[track_caller]
    pub fn status(&mut self, name: &str, arguments: &[u64]) -> u32 {
        self.call(name, arguments) as u32
    }

    #[track_caller]
    pub fn succeeds(&mut self, name: &str, arguments: &[u64]) {
        let status = self.status(name, arguments);
        assert_eq!(status, SUCCESS, "{name}: {status:08x}");
    }

    /// A buffer with these bytes, aligned to 16.
    pub fn put(&mut self, bytes: &[u8]) -> u64 {
        let at = self.arena + self.used;
        self.used += (bytes.len() as u64).next_multiple_of(16);
        assert!(self.used <= ARENA, "the arena is full");
        self.lab.machine_mut().write(Va(at), bytes).unwrap();
        at
    }

    pub fn room(&mut self, bytes: usize) -> u64 {
        self.put(&vec![0xcc; bytes])
    }

    /// A routine for the kernel to call: it counts its calls, keeps the last one's arguments, and returns a
    /// value.
    pub fn routine(&mut self, value: u64) -> Routine {
        let record = self.put(&[0; 40]);
        let code = [
            &[0x48, 0xb8][..], // mov rax, record
            &record.to_le_bytes(),
            &[0x48, 0xff, 0x00],       // inc qword ptr [rax]
            &[0x48, 0x89, 0x48, 0x08], // mov [rax+8], rcx
            &[0x48, 0x89, 0x50, 0x10], // mov [rax+0x10], rdx
            &[0x4c, 0x89, 0x40, 0x18], // mov [rax+0x18], r8
            &[0x4c, 0x89, 0x48, 0x20], // mov [rax+0x20], r9
            &[0x48, 0xb8],             // mov rax, value
            &value.to_le_bytes(),
            &[0xc3],
        ];
        let address = self.put(&code.concat());
        Routine { address, record }
    }

    /// How often a routine has been called.
    pub fn calls(&self, routine: Routine) -> u64 {
        self.u64(routine.record)
    }

    /// The arguments of its last call.
    pub fn arguments(&self, routine: Routine) -> [u64; 4] {
        [8, 16, 24, 32].map(|at| self.u64(routine.record + at))
    }

    /// Writes over what a buffer holds.
    pub fn write(&mut self, at: u64, bytes: &[u8]) {
        self.lab.machine_mut().write(Va(at), bytes).unwrap();
    }

    /// Blocks of a tag that have been allocated and not freed, in both pools.
    pub fn outstanding(&self, tag: &[u8; 4]) -> u32 {
        let trackers = self.lab.pool().unwrap().trackers().unwrap();
        let tag = poolhit::tag::Tag::from_bytes(*tag);
        let tracker = trackers.iter().find(|tracker| tracker.tag == tag);
        tracker.map_or(0, |tracker| {
            let pools = poolhit::guest::pool::PoolKind::ALL;
            pools
                .map(|kind| tracker.in_pool(kind).outstanding())
                .into_iter()
                .sum()
        })
    }

    /// The bug check that a call ends in.
    #[track_caller]
    pub fn bug_check(&mut self, name: &str, arguments: &[u64]) -> (u32, [u64; 4]) {
        match self.try_call(name, arguments) {
            Err(CallError::BugCheck { check, .. }) => (check.code, check.parameters),
            other => panic!("{name}: {other:x?}"),
        }
    }

    /// Forgets the buffers.
    pub fn reset(&mut self) {
        self.used = 0;
    }

    pub fn bytes(&self, at: u64, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        self.lab.machine().read(Va(at), &mut bytes).unwrap();
        bytes
    }

    pub fn u16(&self, at: u64) -> u16 {
        self.lab.machine().read_u16(Va(at)).unwrap()
    }

    pub fn u32(&self, at: u64) -> u32 {
        self.lab.machine().read_u32(Va(at)).unwrap()
    }

    pub fn u64(&self, at: u64) -> u64 {
        self.lab.machine().read_u64(Va(at)).unwrap()
    }

    /// A `UNICODE_STRING`.
    pub fn unicode(&mut self, text: &str) -> u64 {
        let bytes: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
        let buffer = self.put(&bytes);
        let lengths = bytes.len() as u64 * 0x1_0001;
        self.put(&words(&[lengths, buffer]))
    }

    pub fn read_unicode(&self, at: u64) -> String {
        let length = usize::from(self.u16(at));
        let bytes = self.bytes(self.u64(at + 8), length);
        let units: Vec<u16> = bytes
            .chunks_exact(2)
            .map(|pair| u16::from_le_bytes([pair[0], pair[1]]))
            .collect();
        String::from_utf16(&units).unwrap()
    }

    /// `OBJECT_ATTRIBUTES` with a name, below a directory or key if there is one.
    pub fn attributes_at(&mut self, root: u64, name: Option<&str>, attributes: u32) -> u64 {
        let name = name.map_or(0, |name| self.unicode(name));
        self.put(&words(&[0x30, root, name, attributes.into(), 0, 0]))
    }

    pub fn attributes(&mut self, name: &str, attributes: u32) -> u64 {
        self.attributes_at(0, Some(name), attributes)
    }

    /// Calls a service that gives a handle in front of its other arguments.
    pub fn handle(&mut self, name: &str, arguments: &[u64]) -> Result<u64, u32> {
        let place = self.room(8);
        let arguments = [&[place], arguments].concat();
        match self.status(name, &arguments) {
            status if status as i32 >= 0 => Ok(self.u64(place)),
            status => Err(status),
        }
    }

    /// Calls one that gives the handle behind them.
    pub fn handle_last(&mut self, name: &str, arguments: &[u64]) -> Result<u64, u32> {
        let place = self.room(8);
        match self.status(name, &[arguments, &[place]].concat()) {
            status if status as i32 >= 0 => Ok(self.u64(place)),
            status => Err(status),
        }
    }

    pub fn event(&mut self, name: &str, attributes: u32) -> Result<u64, u32> {
        let attributes = self.attributes(name, attributes);
        self.handle("ZwCreateEvent", &[0x1f_0003, attributes, 0, 0])
    }

    #[track_caller]
    pub fn close(&mut self, handle: u64) {
        self.succeeds("ZwClose", &[handle]);
    }

    /// The object of a handle, without a reference.
    #[track_caller]
    pub fn object(&mut self, handle: u64) -> u64 {
        let place = self.room(8);
        self.succeeds("ObReferenceObjectByHandle", &[handle, 0, 0, 0, place, 0]);
        let object = self.u64(place);
        self.call("ObfDereferenceObject", &[object]);
        object
    }

    /// An object's references and handles.
    pub fn counts(&self, object: u64) -> (u64, u64) {
        (self.u64(object - 0x30), self.u64(object - 0x28))
    }

    /// An object's path.
    #[track_caller]
    pub fn path(&mut self, object: u64) -> String {
        let (buffer, length) = (self.room(0x400), self.room(4));
        self.succeeds("ObQueryNameString", &[object, buffer, 0x400, length]);
        let text = self.read_unicode(buffer);
        let expected = if text.is_empty() {
            0x10
        } else {
            0x12 + 2 * text.len()
        };
        assert_eq!(self.u32(length) as usize, expected);
        text
    }
}

pub fn words(words: &[u64]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}
