//! The kernel's routines called from outside, with their arguments in nonpaged pool. Every buffer has
//! bytes around it that nothing may write to; [`Guest::reset`] looks at them.

use poolhit::Lab;
use poolhit::address::Va;
use poolhit::guest::{CallError, Called, KernelFunction};
use poolhit::memory::{ReadMemory, WriteMemory};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use std::cell::RefCell;
use std::collections::BTreeMap;

pub const SUCCESS: u32 = 0;
pub const BUFFER_OVERFLOW: u32 = 0x8000_0005;
pub const INVALID_PARAMETER: u32 = 0xc000_000d;
pub const BUFFER_TOO_SMALL: u32 = 0xc000_0023;

/// What a buffer holds before anything is written to it.
pub const FILL: u8 = 0xcc;
const ZONE: [u8; 16] = [0xa5; 16];
const ARENA: u64 = 0x10_0000;
const TAG: u64 = u32::from_le_bytes(*b"TstR") as u64;

pub struct Guest {
    pub lab: Lab,
    functions: BTreeMap<String, KernelFunction>,
    arena: u64,
    used: u64,
    zones: Vec<u64>,
}

/// A counted string in the guest, read back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counted<T> {
    pub text: Vec<T>,
    pub maximum: u16,
    pub buffer: u64,
}

impl Guest {
    pub fn new() -> Guest {
        let lab = Lab::builder().memory(16 << 20).build().unwrap();
        let mut guest = Guest {
            lab,
            functions: BTreeMap::new(),
            arena: 0,
            used: 0,
            zones: Vec::new(),
        };
        guest.arena = guest.call("ExAllocatePoolWithTag", &[0, ARENA, TAG]);
        assert_ne!(guest.arena, 0);
        guest
    }

    pub fn try_call(&mut self, name: &str, arguments: &[u64]) -> Result<Called, CallError> {
        if !self.functions.contains_key(name) {
            let function = self.lab.kernel_function(name);
            let function = function.unwrap_or_else(|| panic!("no nt!{name}"));
            self.functions.insert(name.to_owned(), function);
        }
        self.lab.call(self.functions[name], arguments)
    }

    /// The routine's value, all 64 bits of it.
    #[track_caller]
    pub fn call(&mut self, name: &str, arguments: &[u64]) -> u64 {
        match self.try_call(name, arguments) {
            Ok(called) => called.value,
            Err(error) => panic!("{name}: {error}"),
        }
    }

    /// The value of a routine that returns 32 bits: an NTSTATUS or a ULONG.
    #[track_caller]
    pub fn ulong(&mut self, name: &str, arguments: &[u64]) -> u32 {
        self.call(name, arguments) as u32
    }

    /// The value of a routine that returns an `int` or a LONG.
    #[track_caller]
    pub fn int(&mut self, name: &str, arguments: &[u64]) -> i32 {
        self.call(name, arguments) as i32
    }

    /// The value of a routine that returns a BOOLEAN, which has 8 bits.
    #[track_caller]
    pub fn boolean(&mut self, name: &str, arguments: &[u64]) -> bool {
        match self.call(name, arguments) as u8 {
            0 => false,
            1 => true,
            other => panic!("{name} returns the BOOLEAN {other}"),
        }
    }

    /// A buffer with these bytes.
    pub fn put(&mut self, bytes: &[u8]) -> u64 {
        if self.zones.is_empty() {
            self.zone();
        }
        let at = self.arena + self.used;
        self.write(at, bytes);
        self.used += (bytes.len() as u64).next_multiple_of(16);
        assert!(self.used + 0x20 <= ARENA, "the arena is full");
        // the rest of the last 16 bytes belongs to the zone
        let rest = self.arena + self.used - at - bytes.len() as u64;
        self.write(at + bytes.len() as u64, &ZONE[..rest as usize]);
        self.zone();
        at
    }

    fn zone(&mut self) {
        let at = self.arena + self.used;
        self.write(at, &ZONE);
        self.zones.push(at);
        self.used += 16;
    }

    /// A buffer without contents.
    pub fn room(&mut self, bytes: usize) -> u64 {
        self.put(&vec![FILL; bytes])
    }

    /// Forgets the buffers, after a look at what lies between them.
    #[track_caller]
    pub fn reset(&mut self) {
        self.check();
        self.zones.clear();
        self.used = 0;
    }

    #[track_caller]
    pub fn check(&self) {
        for &zone in &self.zones {
            assert_eq!(self.bytes(zone, 16), ZONE, "written behind a buffer");
        }
    }

    pub fn write(&mut self, at: u64, bytes: &[u8]) {
        self.lab.machine_mut().write(Va(at), bytes).unwrap();
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

    /// A string with a zero at its end.
    pub fn text(&mut self, text: &[u8]) -> u64 {
        self.put(&[text, &[0]].concat())
    }

    pub fn wide(&mut self, text: &[u16]) -> u64 {
        self.put(&units(&[text, &[0]].concat()))
    }

    pub fn units(&self, at: u64, count: usize) -> Vec<u16> {
        let bytes = self.bytes(at, 2 * count);
        let unit = |pair: &[u8]| u16::from_le_bytes([pair[0], pair[1]]);
        bytes.chunks_exact(2).map(unit).collect()
    }

    /// Up to the zero.
    pub fn string(&self, at: u64) -> Vec<u8> {
        (at..)
            .map(|at| self.bytes(at, 1)[0])
            .take_while(|byte| *byte != 0)
            .collect()
    }

    pub fn wide_string(&self, at: u64) -> Vec<u16> {
        (at..)
            .step_by(2)
            .map(|at| self.u16(at))
            .take_while(|unit| *unit != 0)
            .collect()
    }

    /// A `UNICODE_STRING` with this text in a buffer of a number of bytes, all of it at least.
    pub fn unicode(&mut self, text: &[u16], maximum: usize) -> u64 {
        let mut buffer = units(text);
        let length = buffer.len();
        buffer.resize(maximum.max(length), FILL);
        self.counted(length, &buffer)
    }

    /// A `STRING`, likewise.
    pub fn ansi(&mut self, text: &[u8], maximum: usize) -> u64 {
        let mut buffer = text.to_vec();
        buffer.resize(maximum.max(text.len()), FILL);
        self.counted(text.len(), &buffer)
    }

    fn counted(&mut self, length: usize, buffer: &[u8]) -> u64 {
        let at = self.put(buffer);
        let lengths = length as u64 | (buffer.len() as u64) << 16;
        self.put(&words(&[lengths, at]))
    }

    pub fn read_unicode(&self, at: u64) -> Counted<u16> {
        let buffer = self.u64(at + 8);
        Counted {
            text: self.units(buffer, usize::from(self.u16(at)) / 2),
            maximum: self.u16(at + 2),
            buffer,
        }
    }

    pub fn read_ansi(&self, at: u64) -> Counted<u8> {
        let buffer = self.u64(at + 8);
        Counted {
            text: self.bytes(buffer, self.u16(at).into()),
            maximum: self.u16(at + 2),
            buffer,
        }
    }
}

pub fn units(units: &[u16]) -> Vec<u8> {
    units.iter().flat_map(|unit| unit.to_le_bytes()).collect()
}

pub fn ulongs(ulongs: &[u32]) -> Vec<u8> {
    ulongs
        .iter()
        .flat_map(|ulong| ulong.to_le_bytes())
        .collect()
}

pub fn words(words: &[u64]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

/// A text's units.
pub fn w(text: &str) -> Vec<u16> {
    text.encode_utf16().collect()
}

/// A property of the guest, for many values.
pub fn property<S: Strategy>(cases: u32, values: S, test: impl Fn(&mut Guest, S::Value)) {
    let guest = RefCell::new(Guest::new());
    let mut runner = TestRunner::new(ProptestConfig {
        cases,
        failure_persistence: None,
        ..ProptestConfig::default()
    });
    let result = runner.run(&values, |value| {
        let mut guest = guest.borrow_mut();
        // what a failed case has left behind is not this one's fault
        guest.zones.clear();
        guest.used = 0;
        test(&mut guest, value);
        guest.check();
        Ok(())
    });
    if let Err(error) = result {
        panic!("{error}");
    }
}

/// Text with characters that differ in case, in the code page and in length.
pub fn any_units(most: usize) -> impl Strategy<Value = Vec<u16>> {
    let unit = prop_oneof![
        4 => proptest::sample::select(w("aAbBzZ09 _\\")),
        2 => proptest::sample::select(w("éÉßÿŸµ€ωΩжЖ你")),
        1 => 1..=u16::MAX,
    ];
    proptest::collection::vec(unit, 0..=most)
}

pub fn any_bytes(most: usize) -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![
        4 => proptest::sample::select(b"aAbBzZ09 _\\".to_vec()),
        1 => 1..=u8::MAX,
    ];
    proptest::collection::vec(byte, 0..=most)
}
