//! `lm v`, `!lmi` and `!dh`: the headers of published modules give their lines.

use poolhit::address::Va;
use poolhit::report::modules::{
    HEADER, ModuleHeaders, ModuleSummary, write_headers, write_row, write_summary,
};
use poolhit::symbols::SymbolSource;
use poolhit::{Lab, Session};

/// "Bug Check 0x116: VIDEO_TDR_FAILURE" in the manual, seven hours behind UTC, and `lmvm Driver` in an analysis of a double
/// free, likewise: the hours are put back. Left out are the links of later debuggers (`Browse all global symbols`), what
/// version resources say (`Translations`, `Information from resource tables`), and of the first the letter `T` in front
/// of `(no symbols)`: the time stamp of the file that was found was another.
#[test]
fn verbose() {
    for (start, end, name, path, stamp, checksum, expected) in [
        (
            0xfffff801_63ec0000,
            0xfffff801_649a7000,
            "nvlddmkm",
            r"\SystemRoot\system32\DRIVERS\nvlddmkm.sys",
            0x559da7a0,
            0x00aa7491,
            r"start             end                 module name
fffff801`63ec0000 fffff801`649a7000   nvlddmkm   (no symbols)           
    Loaded symbol image file: nvlddmkm.sys
    Image path: \SystemRoot\system32\DRIVERS\nvlddmkm.sys
    Image name: nvlddmkm.sys
    Timestamp:        Wed Jul  8 22:43:44 2015 (559DA7A0)
    CheckSum:         00AA7491
    ImageSize:        00AE7000
",
        ),
        (
            0xfffff804_789a0000,
            0xfffff804_789a7000,
            "Driver",
            r"\??\C:\Users\User\source\repos\Driver\x64\Release\Driver.sys",
            0x650c66b5,
            0xe766,
            r"start             end                 module name
fffff804`789a0000 fffff804`789a7000   Driver     (no symbols)           
    Loaded symbol image file: Driver.sys
    Image path: \??\C:\Users\User\source\repos\Driver\x64\Release\Driver.sys
    Image name: Driver.sys
    Timestamp:        Thu Sep 21 15:52:21 2023 (650C66B5)
    CheckSum:         0000E766
    ImageSize:        00007000
",
        ),
    ] {
        let mut text = HEADER.to_string();
        write_row(&mut text, [Va(start), Va(end)], name, "no symbols", "").unwrap();
        let headers = ModuleHeaders {
            file: format!("{name}.sys"),
            path: path.into(),
            time_stamp: stamp,
            reproducible: false,
            checksum,
            size: (end - start) as u32,
        };
        write_headers(&mut text, &headers).unwrap();
        assert_eq!(text, expected);
    }
}

/// "Debug Universal Drivers" (seven hours behind UTC, which are put back) and "NDIS Extensions" in the manual, and of a
/// program without symbols `!lmi` of Notepad in notes on the debugging of applications: of that the kind of image
/// (`FILE`) is another. Left out are the directories of debug data, and the compiler.
#[test]
fn summaries() {
    let tablet = r"C:\Program Files (x86)\Windows Kits\10\Debuggers\x64\sym\TabletAudioSample.pdb\5395F0C5AE504C56AD31DD5473BD318F1\TabletAudioSample.pdb";
    let ndis = r"C:\ProgramData\Dbg\sym\ndis.pdb\9CC82DBE96A0773D29E062B698C4C3A81\ndis.pdb";
    for (asked, base, file, headers, source, pdb, expected) in [
        (
            "tabletaudiosample",
            0xfffff806_9ad90000,
            "tabletaudiosample.sys",
            (0x58ebe848, false, 0x42df7, 0x48000),
            SymbolSource::PrivatePdb,
            tablet,
            r"Loaded Module Info: [tabletaudiosample] 
         Module: tabletaudiosample
   Base Address: fffff8069ad90000
     Image Name: tabletaudiosample.sys
   Machine Type: 34404 (X64)
     Time Stamp: 58ebe848 Mon Apr 10 20:17:12 2017
           Size: 48000
       CheckSum: 42df7
Characteristics: 22  
     Image Type: MEMORY   - Image read successfully from loaded memory.
    Symbol Type: PDB      - Symbols loaded successfully from image header.
                 C:\Program Files (x86)\Windows Kits\10\Debuggers\x64\sym\TabletAudioSample.pdb\5395F0C5AE504C56AD31DD5473BD318F1\TabletAudioSample.pdb
    Load Report: private symbols & lines, not source indexed 
                 C:\Program Files (x86)\Windows Kits\10\Debuggers\x64\sym\TabletAudioSample.pdb\5395F0C5AE504C56AD31DD5473BD318F1\TabletAudioSample.pdb
",
        ),
        (
            // "from symbol server" there: this project's are found by the image's header
            "ndis",
            0xfffff801_74570000,
            "ndis.sys",
            (0x938f9f4e, true, 0x167a05, 0x16f000),
            SymbolSource::Pdb,
            ndis,
            r"Loaded Module Info: [ndis] 
         Module: ndis
   Base Address: fffff80174570000
     Image Name: ndis.sys
   Machine Type: 34404 (X64)
     Time Stamp: 938f9f4e (This is a reproducible build file hash, not a true timestamp)
           Size: 16f000
       CheckSum: 167a05
Characteristics: 22  
     Image Type: MEMORY   - Image read successfully from loaded memory.
    Symbol Type: PDB      - Symbols loaded successfully from image header.
                 C:\ProgramData\Dbg\sym\ndis.pdb\9CC82DBE96A0773D29E062B698C4C3A81\ndis.pdb
    Load Report: public symbols , not source indexed 
                 C:\ProgramData\Dbg\sym\ndis.pdb\9CC82DBE96A0773D29E062B698C4C3A81\ndis.pdb
",
        ),
        (
            "00007ff6`27650000",
            0x7ff6_27650000,
            "Notepad.exe",
            (0x61fd74ac, false, 0, 0x76000),
            SymbolSource::None,
            "",
            r"Loaded Module Info: [00007ff6`27650000] 
         Module: Notepad
   Base Address: 00007ff627650000
     Image Name: Notepad.exe
   Machine Type: 34404 (X64)
     Time Stamp: 61fd74ac Fri Feb  4 18:47:08 2022
           Size: 76000
       CheckSum: 0
Characteristics: 22  
     Image Type: MEMORY   - Image read successfully from loaded memory.
    Symbol Type: NONE     - PDB not found from symbol search path.
    Load Report: no symbols loaded
",
        ),
    ] {
        let (time_stamp, reproducible, checksum, size) = headers;
        let summary = ModuleSummary {
            asked,
            name: file.split('.').next().unwrap(),
            base: Va(base),
            machine: 34404,
            characteristics: 0x22,
            headers: ModuleHeaders {
                file: file.into(),
                path: String::new(),
                time_stamp,
                reproducible,
                checksum,
                size,
            },
            source,
            symbol_file: pdb,
        };
        let mut text = String::new();
        write_summary(&mut text, &summary).unwrap();
        assert_eq!(text, expected);
    }
}

/// The number at a line's beginning, in front of the words behind it.
fn number(line: &str) -> u64 {
    u64::from_str_radix(line.split_whitespace().next().unwrap(), 16).unwrap()
}

/// `!dh` of a kernel of Windows 10 (output of a scan for images in memory): the headers that its numbers
/// make, at an address of this guest. Three of its 33 sections; its clock was four hours behind UTC, which are put back.
/// Left out are the debug directories below the first section, with the empty line above them.
#[test]
fn image_headers() {
    let expected = "
File Type: EXECUTABLE IMAGE
FILE HEADER VALUES
    8664 machine (X64)
       3 number of sections
73F1C0C4 time date stamp Sat Aug 23 03:49:24 2031

       0 file pointer to symbol table
       0 number of symbols
      F0 size of optional header
      22 characteristics
            Executable
            App can handle >2gb addresses

OPTIONAL HEADER VALUES
     20B magic #
   14.20 linker version
  8B5600 size of code
  1B7E00 size of initialized data
  495000 size of uninitialized data
  98D010 address of entry point
    1000 base of code
         ----- new -----
fffff8066e200000 image base
    1000 section alignment
     200 file alignment
       1 subsystem (Native)
   10.00 operating system version
   10.00 image version
   10.00 subsystem version
 1046000 size of image
     800 size of headers
  A65799 checksum
0000000000080000 size of stack reserve
0000000000002000 size of stack commit
0000000000100000 size of heap reserve
0000000000001000 size of heap commit
    4160  DLL characteristics
            High entropy VA supported
            Dynamic base
            NX compatible
            Guard
  134000 [   18C86] address [size] of Export Directory
  131630 [     168] address [size] of Import Directory
 1000000 [   3B23C] address [size] of Resource Directory
   C9000 [   67A7C] address [size] of Exception Directory
  A56600 [    2540] address [size] of Security Directory
 103C000 [    50B4] address [size] of Base Relocation Directory
   108E0 [      54] address [size] of Debug Directory
       0 [       0] address [size] of Description Directory
       0 [       0] address [size] of Special Directory
       0 [       0] address [size] of Thread Storage Directory
    5B30 [     118] address [size] of Load Configuration Directory
       0 [       0] address [size] of Bound Import Directory
  131000 [     620] address [size] of Import Address Table Directory
       0 [       0] address [size] of Delay Import Directory
       0 [       0] address [size] of COR20 Header Directory
       0 [       0] address [size] of Reserved Directory


SECTION HEADER #1
  .rdata name
   C7940 virtual size
    1000 virtual address
   C7A00 size of raw data
     800 file pointer to raw data
       0 file pointer to relocation table
       0 file pointer to line numbers
       0 number of relocations
       0 number of line numbers
48000040 flags
         Initialized Data
         Not Paged
         (no align specified)
         Read Only

SECTION HEADER #2
    INIT name
   8AA98 virtual size
  A19000 virtual address
   8AC00 size of raw data
  966800 file pointer to raw data
       0 file pointer to relocation table
       0 file pointer to line numbers
       0 number of relocations
       0 number of line numbers
62000020 flags
         Code
         Discardable
         (no align specified)
         Execute Read

SECTION HEADER #3
ALMOSTRO name
   272E0 virtual size
  CFB000 virtual address
    1400 size of raw data
  A04400 file pointer to raw data
       0 file pointer to relocation table
       0 file pointer to line numbers
       0 number of relocations
       0 number of line numbers
C8000040 flags
         Initialized Data
         Not Paged
         (no align specified)
         Read Write
";
    let value = |name: &str| {
        let line = expected
            .lines()
            .find(|line| line.trim_end().ends_with(name));
        number(line.unwrap_or_else(|| panic!("{name}")))
    };
    let mut bytes = vec![0_u8; 0x400];
    let mut put = |at: usize, value: u64, size: usize| {
        bytes[at..at + size].copy_from_slice(&value.to_le_bytes()[..size]);
    };
    put(0, u64::from(u16::from_le_bytes(*b"MZ")), 2);
    put(0x3c, 0x40, 4);
    put(0x40, u64::from(u32::from_le_bytes(*b"PE\0\0")), 4);
    put(0x44, value("machine (X64)"), 2);
    put(0x46, value("number of sections"), 2);
    put(0x48, 0x73f1c0c4, 4);
    put(0x54, value("size of optional header"), 2);
    put(0x56, value(" characteristics"), 2);
    let optional = 0x58;
    put(optional, value("magic #"), 2);
    put(optional + 2, 14 | 20 << 8, 2);
    for (offset, name, size) in [
        (4, "size of code", 4),
        (8, "size of initialized data", 4),
        (12, "size of uninitialized data", 4),
        (16, "address of entry point", 4),
        (20, "base of code", 4),
        (24, "image base", 8),
        (32, "section alignment", 4),
        (36, "file alignment", 4),
        (56, "size of image", 4),
        (60, "size of headers", 4),
        (64, "checksum", 4),
        (68, "subsystem (Native)", 2),
        (70, "DLL characteristics", 2),
        (72, "size of stack reserve", 8),
        (80, "size of stack commit", 8),
        (88, "size of heap reserve", 8),
        (96, "size of heap commit", 8),
    ] {
        put(optional + offset, value(name), size);
    }
    for offset in [40, 44, 48] {
        put(optional + offset, 10, 2);
    }
    put(optional + 108, 16, 4);
    let directories = expected
        .lines()
        .filter(|line| line.contains("] address [size]"));
    for (number_of, line) in directories.enumerate() {
        let (address, size) = line.split_once('[').unwrap();
        let at = optional + 112 + 8 * number_of;
        put(at, number(address), 4);
        put(at + 4, number(&size[..8]), 4);
    }
    let sections = expected.split("SECTION HEADER #").skip(1);
    for (number_of, section) in sections.enumerate() {
        let at = optional + 0xf0 + 40 * number_of;
        let lines: Vec<&str> = section.lines().skip(1).collect();
        let mut name = [0; 8];
        let text = lines[0].split_whitespace().next().unwrap().as_bytes();
        name[..text.len()].copy_from_slice(text);
        put(at, u64::from_le_bytes(name), 8);
        for (place, offset) in [(1, 8), (2, 12), (3, 16), (4, 20), (9, 36)] {
            put(at + offset, number(lines[place]), 4);
        }
    }
    let mut session = Session::new(Lab::builder().build().unwrap());
    let at = session.resolve("nt!PagedPoolDescriptor").unwrap();
    session.write(at, &bytes).unwrap();
    assert_eq!(session.execute(&format!("!dh {at}")).unwrap(), expected);
}
