//! Files: names, positions, what they are asked for, and their end.

use crate::guest::*;
use poolhit::Lab;
use poolhit::guest::{FileHandle, Request, SeekFrom, Win32Error};

const FILE_NOT_FOUND: u32 = 2;
const ACCESS_DENIED: u32 = 5;
const INVALID_HANDLE: u32 = 6;
const END_OF_FILE: u32 = 38;

fn try_open(lab: &mut Lab, name: &str) -> Result<FileHandle, u32> {
    let response = ask(
        lab,
        &Request::Open {
            name,
            access: 0xc000_0000,
            overlapped: false,
        },
    );
    response.handle.ok_or(response.error.0)
}

#[test]
fn a_name_behind_the_device_is_the_drivers() {
    let mut lab = lab();
    for name in ["", r"\", r"\a", r"\a\Long\Name.txt"] {
        let handle = open(&mut lab, &format!("IoTest{name}"));
        let response = control(&mut lab, handle, code(FILE_NAME, BUFFERED), &[], 100);
        let units: Vec<u8> = name.encode_utf16().flat_map(u16::to_le_bytes).collect();
        assert_eq!(response.data(), units, "{name}");
        close(&mut lab, handle);
    }
    assert_eq!(
        try_open(&mut lab, r"\\.\IoTest\refused"),
        Err(ACCESS_DENIED)
    );
    assert_eq!(try_open(&mut lab, r"\\.\IoTes"), Err(FILE_NOT_FOUND));
    assert_eq!(try_open(&mut lab, r"\\.\IoTestX"), Err(FILE_NOT_FOUND));
    // Windows' names do not tell upper case from lower.
    assert!(try_open(&mut lab, r"\\.\IOTEST").is_ok());
}

#[test]
fn a_file_is_cleaned_up_and_closed_once() {
    let mut lab = lab();
    let before = outstanding(&lab);
    let handle = open(&mut lab, "IoTest");
    let counters = Counters::of(&lab);
    assert_eq!(
        (counters.creates(), counters.cleanups(), counters.closes()),
        (1, 0, 0)
    );
    close(&mut lab, handle);
    let counters = Counters::of(&lab);
    assert_eq!(
        (counters.creates(), counters.cleanups(), counters.closes()),
        (1, 1, 1)
    );
    let again = ask(&mut lab, &Request::Close { handle });
    assert_eq!(again.error.0, INVALID_HANDLE);
    // One that is refused was never open.
    assert_eq!(
        try_open(&mut lab, r"\\.\IoTest\refused"),
        Err(ACCESS_DENIED)
    );
    let counters = Counters::of(&lab);
    assert_eq!(
        (counters.creates(), counters.cleanups(), counters.closes()),
        (2, 1, 1)
    );
    assert_eq!(outstanding(&lab), before);
}

#[test]
fn an_exclusive_device_is_open_once() {
    let mut lab = lab();
    let handle = open(&mut lab, "IoTestExclusive");
    assert_eq!(
        try_open(&mut lab, r"\\.\IoTestExclusive"),
        Err(ACCESS_DENIED)
    );
    close(&mut lab, handle);
    assert!(try_open(&mut lab, r"\\.\IoTestExclusive").is_ok());
}

fn write(lab: &mut Lab, handle: FileHandle, offset: u64, data: &[u8]) -> poolhit::guest::Response {
    let request = Request::Write {
        handle,
        offset,
        data,
    };
    ask(lab, &request)
}

fn read(lab: &mut Lab, handle: FileHandle, offset: u64, length: usize) -> poolhit::guest::Response {
    let request = Request::Read {
        handle,
        offset,
        length,
    };
    ask(lab, &request)
}

/// A synchronous file has a position, which its driver moves on; an overlapped one has none.
#[test]
fn reading_and_writing_by_each_method() {
    let mut lab = lab();
    for device in ["IoTest", "IoTestDirect", "IoTestNeither"] {
        let file = open(&mut lab, device);
        assert_eq!(write(&mut lab, file, 0, b"0123456789").information, 10);
        let overlapped = open_overlapped(&mut lab, device);
        assert_eq!(read(&mut lab, overlapped, 3, 4).data(), b"3456", "{device}");
        let again = open(&mut lab, device);
        assert_eq!(read(&mut lab, again, 0, 4).data(), b"0123");
        assert_eq!(read(&mut lab, again, 0, 100).data(), b"456789");
        // At the end ReadFile succeeds and gives nothing; an overlapped read says so.
        let end = read(&mut lab, again, 0, 4);
        assert_eq!((end.error.0, end.information), (0, 0));
        let end = read(&mut lab, overlapped, 10, 4);
        assert_eq!(end.error.0, END_OF_FILE);
        for handle in [file, overlapped, again] {
            close(&mut lab, handle);
        }
    }
    let left = outstanding(&lab);
    for pool_tag in [b"Irp ", b"Mdl ", b"File", b"Io  ", b"IoNm"] {
        assert_eq!(left.get(&tag(pool_tag)), None, "{left:?}");
    }
}

#[test]
fn flushing_reaches_the_driver() {
    let mut lab = lab();
    let handle = open(&mut lab, "IoTest");
    assert!(ask(&mut lab, &Request::Flush { handle }).is_success());
    let open = Request::Open {
        name: r"\\.\IoTest",
        access: 0x8000_0000,
        overlapped: false,
    };
    let handle = ask(&mut lab, &open).handle.unwrap();
    let refused = ask(&mut lab, &Request::Flush { handle });
    assert_eq!(refused.error, Win32Error(ACCESS_DENIED));
}

fn seek(lab: &mut Lab, handle: FileHandle, distance: i64, from: SeekFrom) -> Result<u64, u32> {
    let request = Request::Seek {
        handle,
        distance,
        from,
    };
    let response = ask(lab, &request);
    if response.is_success() {
        Ok(response.information)
    } else {
        Err(response.error.0)
    }
}

/// Positions are the I/O manager's, the size and the end the driver's.
#[test]
fn positions_and_sizes() {
    const INVALID_PARAMETER: u32 = 87;
    let mut lab = lab();
    let handle = open(&mut lab, "IoTest");
    write(&mut lab, handle, 0, b"0123456789");
    assert_eq!(seek(&mut lab, handle, 0, SeekFrom::Current), Ok(10));
    assert_eq!(seek(&mut lab, handle, 4, SeekFrom::Begin), Ok(4));
    assert_eq!(read(&mut lab, handle, 0, 2).data(), b"45");
    assert_eq!(seek(&mut lab, handle, -3, SeekFrom::End), Ok(7));
    assert_eq!(read(&mut lab, handle, 0, 100).data(), b"789");
    assert_eq!(seek(&mut lab, handle, -11, SeekFrom::End), Err(131));
    assert_eq!(ask(&mut lab, &Request::Size { handle }).information, 10);
    assert_eq!(seek(&mut lab, handle, 3, SeekFrom::Begin), Ok(3));
    assert!(ask(&mut lab, &Request::SetEnd { handle }).is_success());
    assert_eq!(ask(&mut lab, &Request::Size { handle }).information, 3);
    seek(&mut lab, handle, 0x2000, SeekFrom::Begin).unwrap();
    let refused = ask(&mut lab, &Request::SetEnd { handle });
    assert_eq!(refused.error.0, INVALID_PARAMETER);
    // A file that is used with OVERLAPPED structures has no position.
    let overlapped = open_overlapped(&mut lab, "IoTest");
    assert_eq!(
        seek(&mut lab, overlapped, 1, SeekFrom::Begin),
        Err(INVALID_PARAMETER)
    );
    assert_eq!(
        ask(&mut lab, &Request::Size { handle: overlapped }).information,
        3
    );
}
