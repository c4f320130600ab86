//! Event tracing and WMI providers where nobody listens. WDK: "EtwRegister", "EtwWrite", "EtwActivityIdControl",
//! "WmiTraceMessage", "WmiQueryTraceInformation", "IoWMIRegistrationControl", "IoWMIWriteEvent".

use crate::guest::*;

const NOT_FOUND: u32 = 0xc000_0225;
const PARAMETER_MIX: u32 = 0xc000_0030;
const INFO_CLASS: u32 = 0xc000_0003;
const PROVIDER: [u8; 16] = *b"a provider's id.";

fn register(guest: &mut Guest) -> u64 {
    let (provider, handle) = (guest.put(&PROVIDER), guest.room(8));
    guest.succeeds("EtwRegister", &[provider, 0, 0x77, handle]);
    guest.u64(handle)
}

#[test]
fn a_provider_is_a_block_until_it_is_unregistered() {
    let mut guest = Guest::new();
    let (first, second) = (register(&mut guest), register(&mut guest));
    assert!(first != 0 && first != second);
    assert_eq!(guest.outstanding(b"EtwR"), 2);
    guest.succeeds("EtwUnregister", &[first]);
    assert_eq!(guest.outstanding(b"EtwR"), 1);
    assert_eq!(guest.status("EtwUnregister", &[first]), INVALID_HANDLE);
    guest.succeeds("EtwUnregister", &[second]);
    assert_eq!(guest.outstanding(b"EtwR"), 0);
    let provider = guest.put(&PROVIDER);
    assert_eq!(
        guest.status("EtwRegister", &[provider, 0, 0, 0]),
        INVALID_PARAMETER
    );
}

#[test]
fn events_are_accepted_and_nothing_is_enabled() {
    let mut guest = Guest::new();
    let provider = register(&mut guest);
    let event = guest.put(&[0; 16]);
    let text = guest.put(&[b'x', 0, 0, 0]);
    for handle in [provider, 0, provider + 16] {
        let expected = if handle == provider {
            SUCCESS
        } else {
            INVALID_HANDLE
        };
        let calls: [(&str, &[u64]); 4] = [
            ("EtwWrite", &[handle, event, 0, 0, 0]),
            ("EtwWriteTransfer", &[handle, event, 0, 0, 0, 0]),
            ("EtwWriteEx", &[handle, event, 0, 0, 0, 0, 0, 0]),
            ("EtwWriteString", &[handle, 4, 1, 0, text]),
        ];
        for (name, arguments) in calls {
            assert_eq!(guest.status(name, arguments), expected, "{name}");
        }
        assert_eq!(guest.status("EtwEventEnabled", &[handle, event]) as u8, 0);
        assert_eq!(guest.status("EtwProviderEnabled", &[handle, 4, 1]) as u8, 0);
    }
    let many = [provider, event, 0, 129, event];
    assert_eq!(guest.status("EtwWrite", &many), INVALID_PARAMETER);
    let flags = [provider, event, 0, 1, 0, 0, 0, 0];
    assert_eq!(guest.status("EtwWriteEx", &flags), INVALID_PARAMETER);
}

#[test]
fn a_thread_has_an_activity() {
    let mut guest = Guest::new();
    let id = guest.put(b"sixteen bytes...");
    let mut control = |code: u64, bytes: &[u8; 16]| {
        guest.write(id, bytes);
        guest.succeeds("EtwActivityIdControl", &[code, id]);
        <[u8; 16]>::try_from(guest.bytes(id, 16)).unwrap()
    };
    let (one, two) = (b"the first one...", b"the second one..");
    assert_eq!(control(1, one), [0; 16]);
    control(2, one);
    assert_eq!(control(1, two), *one);
    assert_eq!(control(4, two), *one);
    let created = control(3, one);
    assert_ne!(created, *one);
    assert_eq!(control(5, one), *two);
    let set = control(1, one);
    assert!(set != *two && set != created);
    let wrong = guest.status("EtwActivityIdControl", &[6, id]);
    assert_eq!(wrong, INVALID_PARAMETER);
}

#[test]
fn there_is_no_tracing_session() {
    let mut guest = Guest::new();
    let id = guest.put(&PROVIDER);
    let message = [7, 2, id, 10, 0, 0];
    assert_eq!(guest.status("WmiTraceMessage", &message), INVALID_HANDLE);
    let message = [7, 2, id, 10, 0];
    assert_eq!(guest.status("WmiTraceMessageVa", &message), INVALID_HANDLE);
    let (answer, length) = (guest.room(8), guest.room(4));
    let name = guest.unicode("Some session");
    let node = guest.put(&[0; 0x30]);
    for (class, buffer, needed, expected) in [
        (0, node, 4, INVALID_HANDLE),
        (1, node, 8, INVALID_HANDLE),
        (2, node, 4, INVALID_HANDLE),
        (3, node, 4, INVALID_HANDLE),
        (4, 0, 8, NOT_FOUND),
        (6, 0, 0, SUCCESS),
        (7, name, 8, INVALID_PARAMETER),
        (7, 0, 8, PARAMETER_MIX),
    ] {
        let call = [class, answer, 8, length, buffer];
        assert_eq!(guest.status("WmiQueryTraceInformation", &call), expected);
        assert_eq!(guest.u32(length), needed);
        if needed > 0 {
            let short = [class, answer, u64::from(needed) - 1, 0, buffer];
            let status = guest.status("WmiQueryTraceInformation", &short);
            assert_eq!(status, INFO_LENGTH_MISMATCH);
        }
    }
    for class in [5, 8] {
        let call = [class, answer, 8, 0, 0];
        assert_eq!(guest.status("WmiQueryTraceInformation", &call), INFO_CLASS);
    }
}

/// The device that the driver has made.
fn device(guest: &mut Guest) -> u64 {
    let name = guest.unicode(r"\Device\Myfault");
    let (file, device) = (guest.room(8), guest.room(8));
    guest.succeeds("IoGetDeviceObjectPointer", &[name, 0x80, file, device]);
    guest.u64(device)
}

#[test]
fn a_wmi_provider_is_kept_until_it_deregisters() {
    const REGISTER: u64 = 1;
    const DEREGISTER: u64 = 2;
    let mut guest = Guest::new();
    let device = device(&mut guest);
    let control = |guest: &mut Guest, device: u64, action: u64| {
        guest.status("IoWMIRegistrationControl", &[device, action])
    };
    assert_eq!(control(&mut guest, device, DEREGISTER), INVALID_PARAMETER);
    assert_eq!(control(&mut guest, device, 9), INVALID_PARAMETER);
    assert_eq!(control(&mut guest, device, 4), INVALID_PARAMETER);
    // a routine of software tracing's is no device, and nothing calls it
    let routine = guest.routine(0);
    let callback = 0x8001_0000;
    let status = control(&mut guest, routine.address, REGISTER | callback);
    assert_eq!(status, SUCCESS);
    assert_eq!(guest.outstanding(b"Wmip"), 1);
    let again = control(&mut guest, routine.address, REGISTER | callback);
    assert_eq!(again, NAME_EXISTS);
    let status = control(&mut guest, routine.address, DEREGISTER | callback);
    assert_eq!(status, SUCCESS);
    assert_eq!(guest.calls(routine), 0);
    assert_eq!(guest.outstanding(b"Wmip"), 0);
}

#[test]
fn an_event_of_wmi_s_is_freed_once_it_is_queued() {
    let mut guest = Guest::new();
    let tag = u64::from(u32::from_le_bytes(*b"WnEv"));
    let event = guest.call("ExAllocatePoolWithTag", &[0, 0x40, tag]);
    let header = |size: u32, flags: u32| {
        let mut bytes = vec![0; 0x30];
        bytes[..4].copy_from_slice(&size.to_le_bytes());
        bytes[0x2c..].copy_from_slice(&flags.to_le_bytes());
        bytes
    };
    guest.write(event, &header(0x40, 0x2_0000));
    assert_eq!(guest.status("IoWMIWriteEvent", &[event]), INVALID_HANDLE);
    guest.write(event, &header(0x10_0000, 0xa));
    assert_eq!(guest.status("IoWMIWriteEvent", &[event]), 0x8000_0005);
    assert_eq!(guest.outstanding(b"WnEv"), 1);
    guest.write(event, &header(0x40, 0xa));
    guest.succeeds("IoWMIWriteEvent", &[event]);
    assert_eq!(guest.outstanding(b"WnEv"), 0);
}
