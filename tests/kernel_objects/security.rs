//! Tokens, descriptors and access checks. WDK: "SeAccessCheck", "SeAssignSecurity", "SeCaptureSecurityDescriptor",
//! "SePrivilegeCheck"; Microsoft, "How DACLs Control Access to an Object".

use crate::guest::*;
use proptest::prelude::*;

const READ_CONTROL: u32 = 0x2_0000;
const WRITE_DAC: u32 = 0x4_0000;
const WRITE_OWNER: u32 = 0x8_0000;
const SYSTEM_SECURITY: u32 = 0x100_0000;
const MAXIMUM: u32 = 0x200_0000;
const PRIVILEGE_NOT_HELD: u32 = 0xc000_0061;

/// A SID's bytes.
fn sid(authority: u8, parts: &[u32]) -> Vec<u8> {
    let mut bytes = vec![1, parts.len() as u8, 0, 0, 0, 0, 0, authority];
    parts
        .iter()
        .for_each(|part| bytes.extend(part.to_le_bytes()));
    bytes
}

fn administrators() -> Vec<u8> {
    sid(5, &[32, 544])
}

/// An allowing (0) or denying (1) entry, with flags.
fn ace(kind: u8, flags: u8, mask: u32, sid: &[u8]) -> Vec<u8> {
    let size = 8 + sid.len() as u16;
    let mut bytes = vec![kind, flags];
    bytes.extend(size.to_le_bytes());
    bytes.extend(mask.to_le_bytes());
    bytes.extend(sid);
    bytes
}

fn acl(aces: &[Vec<u8>]) -> Vec<u8> {
    let size = 8 + aces.iter().map(Vec::len).sum::<usize>();
    let mut bytes = vec![2, 0];
    bytes.extend((size as u16).to_le_bytes());
    bytes.extend((aces.len() as u16).to_le_bytes());
    bytes.extend([0, 0]);
    aces.iter().for_each(|ace| bytes.extend(ace));
    bytes
}

/// An absolute descriptor: no list at all, or one.
fn descriptor(guest: &mut Guest, owner: &[u8], dacl: Option<&[Vec<u8>]>) -> u64 {
    let owner = guest.put(owner);
    let (control, list) = match dacl {
        Some(aces) => {
            let bytes = acl(aces);
            (4_u64, guest.put(&bytes))
        }
        None => (4, 0),
    };
    guest.put(&words(&[1 | control << 16, owner, owner, 0, list]))
}

/// The subject context of the program's process, or of the system's.
fn context(guest: &mut Guest, process: u64) -> u64 {
    let token = guest.u64(process + 0x208) & !15;
    guest.put(&words(&[0, 0, token, 0]))
}

fn program(guest: &mut Guest) -> u64 {
    guest.call("PsGetCurrentProcess", &[])
}

fn check(guest: &mut Guest, descriptor: u64, context: u64, wanted: u32) -> Result<u32, u32> {
    // Generic rights of a made-up type: read 1, write 2, execute 4, all 0x1f000f.
    let mapping = guest.put(&[1_u32, 2, 4, 0x1f_000f].map(u32::to_le_bytes).concat());
    let (granted, status) = (guest.room(4), guest.room(4));
    let call = [
        descriptor,
        context,
        0,
        wanted.into(),
        0,
        0,
        mapping,
        1,
        granted,
        status,
    ];
    let allowed = guest.call("SeAccessCheck", &call) as u8 == 1;
    match (allowed, guest.u32(status)) {
        (true, SUCCESS) => Ok(guest.u32(granted)),
        (false, status) => Err(status),
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_rules_of_lists() {
    let mut guest = Guest::new();
    let process = program(&mut guest);
    let context = context(&mut guest, process);
    let (me, world, nobody) = (administrators(), sid(1, &[0]), sid(5, &[21, 9, 9]));
    let mut granted = |owner: &[u8], dacl: Option<&[Vec<u8>]>, wanted: u32| {
        let descriptor = descriptor(&mut guest, owner, dacl);
        check(&mut guest, descriptor, context, wanted)
    };
    // without a list: everything; with an empty one: nothing
    assert_eq!(granted(&nobody, None, 0xf), Ok(0xf));
    assert_eq!(granted(&nobody, None, MAXIMUM), Ok(0x1f_000f));
    assert_eq!(granted(&nobody, Some(&[]), 1), Err(ACCESS_DENIED));
    // the owner reads and changes the list, whatever it says
    assert_eq!(
        granted(&me, Some(&[]), READ_CONTROL | WRITE_DAC),
        Ok(READ_CONTROL | WRITE_DAC)
    );
    assert_eq!(granted(&me, Some(&[]), WRITE_OWNER), Err(ACCESS_DENIED));
    // unless there is an entry about owners
    let limits = ace(0, 0, 1, &sid(3, &[4]));
    assert_eq!(
        granted(&me, Some(&[limits]), READ_CONTROL),
        Err(ACCESS_DENIED)
    );
    // rights add up over entries
    let both = [ace(0, 0, 1, &world), ace(0, 0, 2, &me)];
    assert_eq!(granted(&nobody, Some(&both), 3), Ok(3));
    assert_eq!(granted(&nobody, Some(&both), 7), Err(ACCESS_DENIED));
    assert_eq!(granted(&nobody, Some(&both), MAXIMUM), Ok(3));
    // the first entry about a right counts
    let denied_first = [ace(1, 0, 1, &world), ace(0, 0, 3, &me)];
    assert_eq!(granted(&nobody, Some(&denied_first), 2), Ok(2));
    assert_eq!(granted(&nobody, Some(&denied_first), 3), Err(ACCESS_DENIED));
    let allowed_first = [ace(0, 0, 3, &me), ace(1, 0, 1, &world)];
    assert_eq!(granted(&nobody, Some(&allowed_first), 3), Ok(3));
    // entries to be inherited, and those about others, say nothing
    let others = [ace(0, 8, 1, &me), ace(0, 0, 1, &nobody)];
    assert_eq!(granted(&nobody, Some(&others), 1), Err(ACCESS_DENIED));
    // generic rights, in lists and wanted
    let generic = [ace(0, 0, 0xc000_0000, &me)];
    assert_eq!(granted(&nobody, Some(&generic), 0x8000_0000), Ok(1));
    assert_eq!(
        granted(&nobody, Some(&generic), 0x2000_0000),
        Err(ACCESS_DENIED)
    );
    // a privilege that the token has, and has not enabled
    assert_eq!(
        granted(&nobody, None, SYSTEM_SECURITY),
        Err(PRIVILEGE_NOT_HELD)
    );
}

#[test]
fn the_kernel_may_do_everything() {
    let mut guest = Guest::new();
    let mapping = guest.put(&[1_u32, 2, 4, 0x1f_000f].map(u32::to_le_bytes).concat());
    let (granted, status) = (guest.room(4), guest.room(4));
    let call = [0, 0, 0, 0x8000_0002, 0x10, 0, mapping, 0, granted, status];
    assert_eq!(guest.call("SeAccessCheck", &call) as u8, 1);
    assert_eq!([guest.u32(granted), guest.u32(status)], [0x13, SUCCESS]);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    /// Lists of entries for four SIDs, of which the token has two, against the rule in one line: a right
    /// is granted if the first entry about it allows it.
    #[test]
    fn any_list(
        entries in proptest::collection::vec((0..2_u8, 0..4_usize, 0..16_u32), 0..8),
        wanted in 1..16_u32,
    ) {
        thread_local!(static GUEST: std::cell::RefCell<Guest> = std::cell::RefCell::new(Guest::new()));
        GUEST.with_borrow_mut(|guest| {
            guest.reset();
            let process = program(guest);
            let context = context(guest, process);
            let sids = [administrators(), sid(1, &[0]), sid(5, &[21, 9, 9]), sid(5, &[18])];
            let aces: Vec<_> = entries
                .iter()
                .map(|(kind, who, mask)| ace(*kind, 0, *mask, &sids[*who]))
                .collect();
            let descriptor = descriptor(guest, &sids[2], Some(&aces));
            let allowed = (0..4).map(|bit| 1 << bit).filter(|right| {
                let about = |(_, who, mask): &&(u8, usize, u32)| *who < 2 && mask & right != 0;
                entries.iter().find(about).is_some_and(|entry| entry.0 == 0)
            });
            let allowed: u32 = allowed.sum();
            let expected = if wanted & !allowed == 0 { Ok(wanted) } else { Err(ACCESS_DENIED) };
            prop_assert_eq!(check(guest, descriptor, context, wanted), expected);
            let most = if allowed == 0 { Err(ACCESS_DENIED) } else { Ok(allowed) };
            prop_assert_eq!(check(guest, descriptor, context, MAXIMUM), most);
            Ok(())
        })?;
    }
}

#[test]
fn two_tokens() {
    let mut guest = Guest::new();
    let program = program(&mut guest);
    let system = guest.u64(guest.lab.kernel_symbol("PsInitialSystemProcess").unwrap().0);
    let tokens = [program, system].map(|process| guest.call("PsReferencePrimaryToken", &[process]));
    for token in tokens {
        assert_eq!(guest.call("SeTokenIsAdmin", &[token]) as u8, 1);
        assert_eq!(guest.call("SeTokenType", &[token]) as u32, 1);
        assert_eq!(guest.call("SeTokenIsRestricted", &[token]) as u8, 0);
    }
    let mut user = |token: u64| {
        let place = guest.room(8);
        guest.succeeds("SeQueryInformationToken", &[token, 1, place]);
        let information = guest.u64(place);
        let at = guest.u64(information);
        let length = 8 + 4 * usize::from(guest.bytes(at + 1, 1)[0]);
        let bytes = guest.bytes(at, length);
        guest.call("ExFreePool", &[information]);
        bytes
    };
    assert_eq!(user(tokens[1]), sid(5, &[18]));
    assert_eq!(user(tokens[0])[..12], sid(5, &[21, 0, 0, 0, 1000])[..12]);
    // by handle, with the length asked for first
    let handle = guest
        .handle_last("ZwOpenProcessTokenEx", &[u64::MAX, 8, 0])
        .unwrap();
    let length = guest.room(4);
    let call = [handle, 3, 0, 0, length];
    assert_eq!(
        guest.status("ZwQueryInformationToken", &call),
        BUFFER_TOO_SMALL
    );
    let bytes = guest.u32(length);
    let buffer = guest.room(bytes as usize);
    let call = [handle, 3, buffer, bytes.into(), length];
    guest.succeeds("ZwQueryInformationToken", &call);
    assert_eq!(guest.u32(buffer), 23);
    assert_eq!(bytes, 4 + 23 * 12);
    for token in tokens {
        guest.call("PsDereferencePrimaryToken", &[token]);
    }
}

#[test]
fn privileges() {
    let mut guest = Guest::new();
    // SeChangeNotifyPrivilege is enabled, SeLoadDriverPrivilege is there, SeTcbPrivilege is not.
    for (privilege, user_mode) in [(23, 1), (10, 0), (7, 0)] {
        assert_eq!(
            guest.call("SeSinglePrivilegeCheck", &[privilege, 1]) as u8,
            user_mode
        );
        assert_eq!(
            guest.call("SeSinglePrivilegeCheck", &[privilege, 0]) as u8,
            1
        );
    }
}

#[test]
fn exports_are_where_the_kit_says() {
    let mut guest = Guest::new();
    let exports = guest.u64(guest.lab.kernel_symbol("SeExports").unwrap().0);
    assert_eq!(guest.u64(exports), 2); // SeCreateTokenPrivilege
    assert_eq!(guest.u64(exports + 22 * 8), 24); // SeRemoteShutdownPrivilege
    let mut named = |index: u64, sid: &[u8]| {
        let at = guest.u64(exports + index * 8);
        assert_eq!(guest.bytes(at, sid.len()), sid);
        assert_eq!(guest.call("RtlValidSid", &[at]) as u8, 1);
    };
    named(24, &sid(1, &[0])); // SeWorldSid
    named(33, &sid(5, &[18])); // SeLocalSystemSid
    named(34, &administrators());
    named(58, &sid(5, &[17])); // SeIUserSid
    named(64, &sid(3, &[4])); // SeOwnerRightsSid
}

#[test]
fn descriptors_are_captured_whole() {
    let mut guest = Guest::new();
    let me = administrators();
    let list = [ace(0, 0, 7, &me)];
    let original = descriptor(&mut guest, &me, Some(&list));
    let place = guest.room(8);
    guest.succeeds("SeCaptureSecurityDescriptor", &[original, 0, 1, 1, place]);
    let captured = guest.u64(place);
    assert_ne!(captured, original);
    assert_eq!(guest.u16(captured + 2), 0x8004, "self-relative");
    let dacl = captured + u64::from(guest.u32(captured + 16));
    let bytes = acl(&list);
    assert_eq!(guest.bytes(dacl, bytes.len()), bytes);
    let owner = captured + u64::from(guest.u32(captured + 4));
    assert_eq!(guest.bytes(owner, me.len()), me);
    guest.call("SeReleaseSecurityDescriptor", &[captured, 0, 1]);
    guest.succeeds("SeCaptureSecurityDescriptor", &[original, 0, 1, 0, place]);
    assert_eq!(guest.u64(place), original);
    // a list with an entry that is longer than the list
    let mut broken = ace(0, 0, 7, &me);
    broken[2] = 0xff;
    let original = descriptor(&mut guest, &me, Some(&[broken]));
    let call = [original, 0, 1, 1, place];
    assert_eq!(
        guest.status("SeCaptureSecurityDescriptor", &call),
        0xc000_0077
    );
    assert_eq!(guest.u64(place), 0);
}

#[test]
fn an_object_s_security_is_set_and_queried() {
    let mut guest = Guest::new();
    let event = guest.event(r"\BaseNamedObjects\Safe", 0).unwrap();
    let me = administrators();
    let new = descriptor(&mut guest, &me, Some(&[ace(0, 0, 0x8000_0000, &me)]));
    guest.succeeds("ZwSetSecurityObject", &[event, 4, new]);
    let (buffer, length) = (guest.room(0x100), guest.room(4));
    let call = [event, 4, buffer, 0, length];
    assert_eq!(
        guest.status("ZwQuerySecurityObject", &call),
        BUFFER_TOO_SMALL
    );
    guest.succeeds("ZwQuerySecurityObject", &[event, 4, buffer, 0x100, length]);
    // the list alone, with the type's rights for the generic one
    let bytes = acl(&[ace(0, 0, 0x2_0001, &me)]);
    assert_eq!(guest.u32(length) as usize, 0x14 + bytes.len());
    assert_eq!([guest.u32(buffer + 4), guest.u32(buffer + 16)], [0, 0x14]);
    assert_eq!(guest.bytes(buffer + 0x14, bytes.len()), bytes);
    // and it is what user mode gets
    let open = "ObOpenObjectByName";
    let type_ = guest.u64(guest.lab.kernel_symbol("ExEventObjectType").unwrap().0);
    let attributes = guest.attributes(r"\BaseNamedObjects\Safe", 0);
    // (the attributes are the kernel's, so they are looked at as such, with access forced)
    let forced = guest.attributes(r"\BaseNamedObjects\Safe", 0x400);
    let handle = guest.room(8);
    let mut open_with = |attributes: u64, access: u64| {
        guest.status(open, &[attributes, type_, 0, 0, access, 0, handle])
    };
    assert_eq!(open_with(attributes, 2), SUCCESS);
    assert_eq!(open_with(forced, 1), SUCCESS);
    assert_eq!(open_with(forced, 2), ACCESS_DENIED);
}

/// Devices are open to everybody unless they say otherwise.
#[test]
fn a_device_s_security() {
    let mut guest = Guest::new();
    let name = guest.unicode(r"\Device\Myfault");
    let place = guest.room(8);
    let type_ = guest.u64(guest.lab.kernel_symbol("IoDeviceObjectType").unwrap().0);
    let call = [name, 0x40, 0, 0, type_, 0, 0, place];
    guest.succeeds("ObReferenceObjectByName", &call);
    let device = guest.u64(place);
    assert_eq!(guest.path(device), r"\Device\Myfault");
    let descriptor = guest.u64(device + 0x110);
    let dacl = descriptor + u64::from(guest.u32(descriptor + 16));
    assert_eq!(guest.u16(dacl + 4), 4, "entries");
    let call = [device, 0, 0, 0x4_0000, type_, 0, place];
    guest.succeeds("ObOpenObjectByPointer", &call);
    let handle = guest.u64(place);
    let me = administrators();
    let new = self::descriptor(&mut guest, &me, Some(&[]));
    guest.succeeds("ZwSetSecurityObject", &[handle, 4, new]);
    let descriptor = guest.u64(device + 0x110);
    let dacl = descriptor + u64::from(guest.u32(descriptor + 16));
    assert_eq!(guest.u16(dacl + 4), 0);
}
