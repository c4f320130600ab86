//! `!teb` and `!peb`: memory as in published sessions gives their text.

use poolhit::address::Va;
use poolhit::guest::{ProcessEnvironment, ThreadEnvironment};
use poolhit::memory::{FaultReason, MemoryFault, ReadMemory};
use poolhit::report::environment::{write_process, write_thread};
use std::collections::BTreeMap;

/// Memory that has the bytes written to it, and zeros in between on the same pages.
#[derive(Default)]
struct Sparse(BTreeMap<u64, u8>);

impl Sparse {
    fn write(&mut self, at: u64, bytes: &[u8]) {
        for (address, byte) in (at..).zip(bytes) {
            self.0.insert(address, *byte);
        }
    }

    fn word(&mut self, at: u64, value: u64) {
        self.write(at, &value.to_le_bytes());
    }

    fn half(&mut self, at: u64, value: u32) {
        self.write(at, &value.to_le_bytes());
    }

    /// A `_UNICODE_STRING`, and its characters elsewhere.
    fn text(&mut self, at: u64, buffer: u64, text: &str) {
        let bytes: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
        self.write(at, &(bytes.len() as u16).to_le_bytes());
        self.word(at + 8, buffer);
        self.write(buffer, &bytes);
    }
}

impl ReadMemory for Sparse {
    fn read(&self, address: Va, buffer: &mut [u8]) -> Result<(), MemoryFault> {
        for (done, byte) in buffer.iter_mut().enumerate() {
            let at = address.0.wrapping_add(done as u64);
            let page = at & !0xfff;
            if self.0.range(page..=page | 0xfff).next().is_none() {
                return Err(MemoryFault {
                    address: Va(at),
                    reason: FaultReason::NotPresent { level: 1 },
                    done,
                });
            }
            *byte = self.0.get(&at).copied().unwrap_or_default();
        }
        Ok(())
    }
}

/// "Debugging a Stack Overflow" in the manual, and an exercise on `SetLastError` with two codes that are not zero.
#[test]
fn threads() {
    for (thread, stack, client, storage, process, errors, expected) in [
        (
            0xc6_4b95d000,
            [0xc6_4ba80000, 0xc6_4ba6f000],
            [0x3bbc, 0x4ba0],
            0x279_57243530,
            0xc6_4b95c000,
            [0, 0],
            "TEB at 000000c64b95d000
    ExceptionList:        0000000000000000
    StackBase:            000000c64ba80000
    StackLimit:           000000c64ba6f000
    SubSystemTib:         0000000000000000
    FiberData:            0000000000001e00
    ArbitraryUserPointer: 0000000000000000
    Self:                 000000c64b95d000
    EnvironmentPointer:   0000000000000000
    ClientId:             0000000000003bbc . 0000000000004ba0
    RpcHandle:            0000000000000000
    Tls Storage:          0000027957243530
    PEB Address:          000000c64b95c000
    LastErrorValue:       0
    LastStatusValue:      0
    Count Owned Locks:    0
    HardErrorMode:        0
",
        ),
        (
            0xe1_91380000,
            [0xe1_91170000, 0xe1_9116d000],
            [0xd9c, 0x252c],
            0xe1_91380058,
            0xe1_9137f000,
            [1337, 0xc00700bb],
            "TEB at 000000e191380000
    ExceptionList:        0000000000000000
    StackBase:            000000e191170000
    StackLimit:           000000e19116d000
    SubSystemTib:         0000000000000000
    FiberData:            0000000000001e00
    ArbitraryUserPointer: 0000000000000000
    Self:                 000000e191380000
    EnvironmentPointer:   0000000000000000
    ClientId:             0000000000000d9c . 000000000000252c
    RpcHandle:            0000000000000000
    Tls Storage:          000000e191380058
    PEB Address:          000000e19137f000
    LastErrorValue:       1337
    LastStatusValue:      c00700bb
    Count Owned Locks:    0
    HardErrorMode:        0
",
        ),
    ] {
        let mut memory = Sparse::default();
        memory.word(thread + 8, stack[0]);
        memory.word(thread + 0x10, stack[1]);
        memory.word(thread + 0x20, 0x1e00);
        memory.word(thread + 0x30, thread);
        memory.word(thread + 0x40, client[0]);
        memory.word(thread + 0x48, client[1]);
        memory.word(thread + 0x58, storage);
        memory.word(thread + 0x60, process);
        memory.half(thread + 0x68, errors[0]);
        memory.half(thread + 0x1250, errors[1]);
        let block = ThreadEnvironment::read(&memory, Va(thread)).unwrap();
        let mut text = String::new();
        write_thread(&mut text, &block).unwrap();
        assert_eq!(text, expected);
    }
}

/// Windows 7 SP1 (`TcpKali.exe`, notes on shellcode), whose clock was eight hours ahead of UTC: the hours are put back.
/// Left out are the rest of a long DllPath and all but a few of the variables; the images lie in memory that is not
/// there, so that their time stamps are those of the loader's list.
#[test]
fn process_of_windows_7() {
    let expected = r"PEB at 000007fffffdd000
    InheritedAddressSpace:    No
    ReadImageFileExecOptions: No
    BeingDebugged:            Yes
    ImageBaseAddress:         000000013f190000
    Ldr                       000000007731d640
    Ldr.Initialized:          Yes
    Ldr.InInitializationOrderModuleList: 0000000000483080 . 0000000000483470
    Ldr.InLoadOrderModuleList:           0000000000482f50 . 0000000000483630
    Ldr.InMemoryOrderModuleList:         0000000000482f60 . 0000000000483640
            Base TimeStamp                     Module
       13f190000 5e7c3d78 Mar 26 05:28:24 2020 C:\dl\nc\TcpKali.exe
        771f0000 595fa942 Jul 07 15:31:14 2017 C:\Windows\SYSTEM32\ntdll.dll
        770d0000 595fa987 Jul 07 15:32:23 2017 C:\Windows\system32\kernel32.dll
     7fefd2b0000 595fa988 Jul 07 15:32:24 2017 C:\Windows\system32\KERNELBASE.dll
    SubSystemData:     0000000000000000
    ProcessHeap:       0000000000480000
    ProcessParameters: 00000000004822e0
    CurrentDirectory:  'C:\Program Files\Debugging Tools for Windows (x64)\'
    WindowTitle:  'C:\dl\nc\TcpKali.exe'
    ImageFile:    'C:\dl\nc\TcpKali.exe'
    CommandLine:  'C:\dl\nc\TcpKali.exe'
    DllPath:      'C:\dl\nc;;C:\Windows\system32;C:\Windows\system;C:\Windows;.'
    Environment:  0000000000481380
        =::=::\
        ALLUSERSPROFILE=C:\ProgramData
        NUMBER_OF_PROCESSORS=1
        OS=Windows_NT
";
    let mut memory = Sparse::default();
    let process = 0x7ff_fffdd000;
    // as `dps` shows the block there
    memory.word(process, 0x08010000);
    memory.word(process + 0x10, 0x1_3f190000);
    memory.word(process + 0x18, 0x7731d640);
    memory.word(process + 0x20, 0x4822e0);
    memory.word(process + 0x30, 0x480000);
    let loader = 0x7731d640;
    memory.word(loader, 1 << 32 | 0x58);
    for (offset, first, last) in [
        (0x10, 0x482f50, 0x483630),
        (0x20, 0x482f60, 0x483640),
        (0x30, 0x483080, 0x483470),
    ] {
        memory.word(loader + offset, first);
        memory.word(loader + offset + 8, last);
    }
    // the entries that the session shows no addresses of lie behind the others
    for (entry, next, base, stamp, path) in [
        (
            0x482f50,
            0x483060,
            0x1_3f190000,
            0x5e7c3d78,
            r"C:\dl\nc\TcpKali.exe",
        ),
        (
            0x483060,
            0x483450,
            0x771f0000,
            0x595fa942,
            r"C:\Windows\SYSTEM32\ntdll.dll",
        ),
        (
            0x483450,
            0x483630,
            0x770d0000,
            0x595fa987,
            r"C:\Windows\system32\kernel32.dll",
        ),
        (
            0x483630,
            loader + 0x10,
            0x7fe_fd2b0000,
            0x595fa988,
            r"C:\Windows\system32\KERNELBASE.dll",
        ),
    ] {
        memory.word(entry, next);
        memory.word(entry + 0x30, base);
        memory.text(entry + 0x48, entry + 0x1000, path);
        memory.half(entry + 0x80, stamp);
    }
    let parameters = 0x4822e0;
    for (offset, text) in [
        (0x38, r"C:\Program Files\Debugging Tools for Windows (x64)\"),
        (
            0x50,
            r"C:\dl\nc;;C:\Windows\system32;C:\Windows\system;C:\Windows;.",
        ),
        (0x60, r"C:\dl\nc\TcpKali.exe"),
        (0x70, r"C:\dl\nc\TcpKali.exe"),
        (0xb0, r"C:\dl\nc\TcpKali.exe"),
    ] {
        memory.text(parameters + offset, 0x490000 + offset * 0x100, text);
    }
    memory.word(parameters + 0x80, 0x481380);
    let variables =
        "=::=::\\\0ALLUSERSPROFILE=C:\\ProgramData\0NUMBER_OF_PROCESSORS=1\0OS=Windows_NT\0\0";
    let bytes: Vec<u8> = variables
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    memory.write(0x481380, &bytes);
    let block = ProcessEnvironment::read(&memory, Va(process)).unwrap();
    let mut text = String::new();
    write_process(&mut text, &block).unwrap();
    assert_eq!(text, expected);
}

/// A process that had not started (notes on changing its command line before it does), without the lines `NtGlobalFlag` and
/// `NtGlobalFlag2` of later debuggers, and without its variables but the first.
#[test]
fn process_without_a_loader() {
    let expected = r"PEB at 0000005615f57000
    InheritedAddressSpace:    No
    ReadImageFileExecOptions: No
    BeingDebugged:            Yes
    ImageBaseAddress:         00007ff6e4fa0000
    Ldr                       0000000000000000
    *** unable to read Ldr table at 0000000000000000
    SubSystemData:     0000000000000000
    ProcessHeap:       0000000000000000
    ProcessParameters: 000001b0a1330000
    CurrentDirectory:  'C:\temp\'
    WindowTitle:  'C:\Windows\system32\cmd.exe'
    ImageFile:    'C:\Windows\system32\cmd.exe'
    CommandLine:  'C:\Windows\system32\cmd.exe /c echo looooooong'
    DllPath:      '< Name not readable >'
    Environment:  000001b0a1330734
        =::=::\
";
    let mut memory = Sparse::default();
    let (process, parameters) = (0x56_15f57000, 0x1b0_a1330000);
    memory.word(process, 0x10000);
    memory.word(process + 0x10, 0x7ff6_e4fa0000);
    memory.word(process + 0x20, parameters);
    let path = r"C:\Windows\system32\cmd.exe";
    memory.text(parameters + 0x38, parameters + 0x400, r"C:\temp\");
    memory.text(parameters + 0x60, parameters + 0x500, path);
    let line = format!("{path} /c echo looooooong");
    memory.text(parameters + 0x70, parameters + 0x600, &line);
    memory.text(parameters + 0xb0, parameters + 0x800, path);
    let environment = parameters + 0x734;
    memory.word(parameters + 0x80, environment);
    let bytes: Vec<u8> = "=::=::\\\0\0"
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    memory.write(environment, &bytes);
    let block = ProcessEnvironment::read(&memory, Va(process)).unwrap();
    let mut text = String::new();
    write_process(&mut text, &block).unwrap();
    assert_eq!(text, expected);
}

/// Blocks of any bytes, whose links and texts lead to each other and to what is not there: no panic, no endless list.
#[test]
fn hostile_blocks() {
    use proptest::prelude::*;
    let word = prop_oneof![Just(0_u64), 0x10000..0x10200_u64, any::<u64>()];
    let words = proptest::collection::vec(word, 0x80);
    let config = ProptestConfig::with_cases(64);
    proptest!(config, |(words in words)| {
        let mut memory = Sparse::default();
        for (at, word) in (0x10000..).step_by(8).zip(&words) {
            memory.word(at, *word);
        }
        let mut text = String::new();
        if let Ok(block) = ProcessEnvironment::read(&memory, Va(0x10000)) {
            write_process(&mut text, &block).unwrap();
        }
        prop_assert!(text.starts_with("PEB at "));
    });
}
