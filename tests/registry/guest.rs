//! The registry's services called from outside, with their arguments in nonpaged pool.

use poolhit::Lab;
use poolhit::address::Va;
use poolhit::guest::LabBuilder;
use poolhit::memory::{ReadMemory, WriteMemory};

pub const SUCCESS: u32 = 0;
pub const BUFFER_OVERFLOW: u32 = 0x8000_0005;
pub const NO_MORE_ENTRIES: u32 = 0x8000_001a;
pub const INVALID_PARAMETER: u32 = 0xc000_000d;
pub const BUFFER_TOO_SMALL: u32 = 0xc000_0023;
pub const NAME_NOT_FOUND: u32 = 0xc000_0034;
pub const CANNOT_DELETE: u32 = 0xc000_0121;
pub const KEY_DELETED: u32 = 0xc000_017c;
pub const MUST_BE_VOLATILE: u32 = 0xc000_0181;

pub const TAG: u64 = u32::from_le_bytes(*b"TstC") as u64;
pub const ARENA: u64 = 0x8_0000;
pub const ALL_ACCESS: u64 = 0xf_003f;
pub const ROOT: &str = r"\Registry\Machine\Software\Test";

pub struct Guest {
    pub lab: Lab,
    pub arena: u64,
    pub used: u64,
}

pub fn units(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_le_bytes).collect()
}

pub fn words(words: &[u64]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

pub fn text(bytes: &[u8]) -> String {
    let pairs = bytes.chunks_exact(2);
    let units: Vec<u16> = pairs
        .map(|pair| u16::from_le_bytes([pair[0], pair[1]]))
        .collect();
    String::from_utf16(&units).unwrap()
}

pub fn number(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap())
}

impl Guest {
    pub fn of(builder: LabBuilder) -> Guest {
        let mut lab = builder.memory(32 << 20).build().unwrap();
        let called = lab
            .call_kernel("ExAllocatePoolWithTag", &[0, ARENA, TAG])
            .unwrap();
        assert_ne!(called.value, 0);
        Guest {
            lab,
            arena: called.value,
            used: 0,
        }
    }

    pub fn new() -> Guest {
        let mut guest = Guest::of(Lab::builder());
        guest.create(0, ROOT, 0).unwrap();
        guest
    }

    #[track_caller]
    pub fn status(&mut self, name: &str, arguments: &[u64]) -> u32 {
        match self.lab.call_kernel(name, arguments) {
            Ok(called) => called.value as u32,
            Err(error) => panic!("{name}: {error}"),
        }
    }

    pub fn put(&mut self, bytes: &[u8]) -> u64 {
        let at = self.arena + self.used;
        self.used += (bytes.len() as u64).next_multiple_of(16);
        assert!(self.used <= ARENA, "the arena is full");
        self.lab.machine_mut().write(Va(at), bytes).unwrap();
        at
    }

    pub fn bytes(&self, at: u64, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        self.lab.machine().read(Va(at), &mut bytes).unwrap();
        bytes
    }

    pub fn u32(&self, at: u64) -> u32 {
        self.lab.machine().read_u32(Va(at)).unwrap()
    }

    pub fn u64(&self, at: u64) -> u64 {
        self.lab.machine().read_u64(Va(at)).unwrap()
    }

    pub fn string(&mut self, text: &str) -> u64 {
        let bytes = units(text);
        let buffer = self.put(&bytes);
        self.put(&words(&[bytes.len() as u64 * 0x1_0001, buffer]))
    }

    pub fn attributes(&mut self, root: u64, path: &str) -> u64 {
        let name = self.string(path);
        self.put(&words(&[0x30, root, name, 0x40, 0, 0]))
    }

    /// The handle, and whether the key is new.
    pub fn create(&mut self, root: u64, path: &str, options: u64) -> Result<(u64, bool), u32> {
        let attributes = self.attributes(root, path);
        let place = self.put(&words(&[0, 0]));
        let call = [place, ALL_ACCESS, attributes, 0, 0, options, place + 8];
        match self.status("ZwCreateKey", &call) {
            SUCCESS => Ok((self.u64(place), self.u32(place + 8) == 1)),
            status => Err(status),
        }
    }

    pub fn open(&mut self, root: u64, path: &str) -> Result<u64, u32> {
        let attributes = self.attributes(root, path);
        let place = self.put(&words(&[0]));
        match self.status("ZwOpenKey", &[place, ALL_ACCESS, attributes]) {
            SUCCESS => Ok(self.u64(place)),
            status => Err(status),
        }
    }

    pub fn close(&mut self, handle: u64) {
        assert_eq!(self.status("ZwClose", &[handle]), SUCCESS);
    }

    pub fn set(&mut self, key: u64, name: &str, kind: u32, data: &[u8]) -> u32 {
        let (name, buffer) = (self.string(name), self.put(data));
        let call = [key, name, 0, kind.into(), buffer, data.len() as u64];
        self.status("ZwSetValueKey", &call)
    }

    /// What a query gives with a buffer of a length: status, length wanted, bytes.
    pub fn ask(&mut self, name: &str, first: &[u64], length: usize) -> (u32, usize, Vec<u8>) {
        let buffer = self.put(&vec![0xcc; length + 16]);
        let result = self.put(&[0; 4]);
        let call = [first, &[buffer, length as u64, result]].concat();
        let status = self.status(name, &call);
        let bytes = self.bytes(buffer, length + 16);
        assert_eq!(
            bytes[length..],
            [0xcc; 16],
            "{name} writes behind the buffer"
        );
        (status, self.u32(result) as usize, bytes[..length].to_vec())
    }

    /// All that a query has to say. It says the same of a buffer that is too short.
    pub fn whole(&mut self, name: &str, first: &[u64], fixed: usize) -> Result<Vec<u8>, u32> {
        let used = self.used;
        let (status, needed, _) = self.ask(name, first, 0);
        if status != BUFFER_TOO_SMALL {
            return Err(status);
        }
        let (status, again, bytes) = self.ask(name, first, needed);
        assert_eq!((status, again), (SUCCESS, needed));
        if needed > fixed {
            let (status, wanted, part) = self.ask(name, first, needed - 1);
            assert_eq!((status, wanted), (BUFFER_OVERFLOW, needed));
            assert_eq!(part, bytes[..needed - 1]);
        }
        let (status, wanted, _) = self.ask(name, first, fixed - 1);
        assert_eq!((status, wanted), (BUFFER_TOO_SMALL, needed));
        self.used = used;
        Ok(bytes)
    }

    /// A value's type and data, asked for in three ways.
    pub fn value(&mut self, key: u64, name: &str) -> Result<(u32, Vec<u8>), u32> {
        let string = self.string(name);
        let partial = self.whole("ZwQueryValueKey", &[key, string, 2], 12)?;
        let (kind, length) = (number(&partial, 4), number(&partial, 8) as usize);
        let data = partial[12..].to_vec();
        assert_eq!(data.len(), length);
        let full = self.whole("ZwQueryValueKey", &[key, string, 1], 20)?;
        assert_eq!(
            (number(&full, 4), number(&full, 12) as usize),
            (kind, length)
        );
        if length > 0 {
            let offset = number(&full, 8) as usize;
            assert_eq!((offset % 4, &full[offset..]), (0, &data[..]));
        }
        let basic = self.whole("ZwQueryValueKey", &[key, string, 0], 12)?;
        assert!(text(&basic[12..]).eq_ignore_ascii_case(name));
        Ok((kind, data))
    }

    /// The names of a key's values, in order.
    pub fn values(&mut self, key: u64) -> Vec<String> {
        let mut names = Vec::new();
        loop {
            let call = [key, names.len() as u64, 0];
            match self.whole("ZwEnumerateValueKey", &call, 12) {
                Ok(basic) => names.push(text(&basic[12..])),
                Err(status) => {
                    assert_eq!(status, NO_MORE_ENTRIES);
                    return names;
                }
            }
        }
    }

    /// The names of the keys below a key, in order.
    pub fn keys(&mut self, key: u64) -> Vec<String> {
        let mut names = Vec::new();
        loop {
            let call = [key, names.len() as u64, 0];
            match self.whole("ZwEnumerateKey", &call, 16) {
                Ok(basic) => {
                    let length = number(&basic, 12) as usize;
                    names.push(text(&basic[16..16 + length]));
                }
                Err(status) => {
                    assert_eq!(status, NO_MORE_ENTRIES);
                    return names;
                }
            }
        }
    }
}
