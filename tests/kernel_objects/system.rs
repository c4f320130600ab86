//! What is asked about the system. Microsoft: "NtQuerySystemInformation", "NtQueryInformationProcess".

use crate::guest::*;

fn query(guest: &mut Guest, class: u64) -> u64 {
    let length = guest.room(4);
    let call = [class, 0, 0, length];
    assert_eq!(
        guest.status("ZwQuerySystemInformation", &call),
        INFO_LENGTH_MISMATCH
    );
    let needed = guest.u32(length);
    let buffer = guest.room(needed as usize);
    guest.succeeds(
        "ZwQuerySystemInformation",
        &[class, buffer, needed.into(), length],
    );
    assert_eq!(guest.u32(length), needed);
    buffer
}

#[test]
fn modules() {
    let mut guest = Guest::new();
    let buffer = query(&mut guest, 11);
    assert_eq!(guest.u32(buffer), 2);
    let names = [0, 1].map(|number| {
        let module = buffer + 8 + number * 0x128;
        let base = guest.u64(module + 0x10);
        let path = guest.bytes(module + 0x28, 256);
        let name = usize::from(guest.u16(module + 0x26));
        let name: Vec<u8> = path[name..]
            .iter()
            .copied()
            .take_while(|byte| *byte != 0)
            .collect();
        (String::from_utf8(name).unwrap(), base)
    });
    let bases = guest.lab.bases();
    let expected = [
        ("ntoskrnl.exe", bases.kernel),
        ("myfault.sys", bases.driver),
    ];
    assert_eq!(
        names,
        expected.map(|(name, base)| (name.to_string(), base.0))
    );
}

#[test]
fn processes() {
    let mut guest = Guest::new();
    let mut at = query(&mut guest, 5);
    let mut found = Vec::new();
    loop {
        let id = guest.u64(at + 0x50);
        found.push((guest.read_unicode(at + 0x38), id, guest.u32(at + 4)));
        match guest.u32(at) {
            0 => break,
            next => at += u64::from(next),
        }
    }
    assert_eq!(found[0].0, "System");
    assert_eq!(found[0].1, 4);
    assert_eq!((found[1].0.as_str(), found[1].2), ("NotMyfault.exe", 1));
    assert_eq!(found.len(), 2);
    let place = guest.room(8);
    guest.succeeds("PsLookupProcessByProcessId", &[found[1].1, place]);
    let process = guest.u64(place);
    assert_eq!(process, guest.call("PsGetCurrentProcess", &[]));
    assert_eq!(guest.call("PsGetProcessId", &[process]), found[1].1);
    assert_eq!(
        guest.status("PsLookupProcessByProcessId", &[0x7777_7770, place]),
        INVALID_PARAMETER
    );
}

#[test]
fn a_process_and_its_image() {
    let mut guest = Guest::new();
    let (buffer, length) = (guest.room(0x200), guest.room(4));
    guest.succeeds(
        "ZwQueryInformationProcess",
        &[u64::MAX, 0, buffer, 0x30, length],
    );
    assert_eq!(guest.u32(buffer), 0x103, "it has not ended");
    let process = guest.call("PsGetCurrentProcess", &[]);
    assert_eq!(
        guest.u64(buffer + 8),
        guest.call("PsGetProcessPeb", &[process])
    );
    guest.succeeds(
        "ZwQueryInformationProcess",
        &[u64::MAX, 27, buffer, 0x200, length],
    );
    assert!(guest.read_unicode(buffer).ends_with("NotMyfault.exe"));
    let short = [u64::MAX, 27, buffer, 0x10, length];
    assert_eq!(
        guest.status("ZwQueryInformationProcess", &short),
        INFO_LENGTH_MISMATCH
    );
    let unknown = [u64::MAX, 999, buffer, 0x10, length];
    assert_eq!(
        guest.status("ZwQueryInformationProcess", &unknown),
        0xc000_0003
    );
}
