//! Devices that come and go, and their power.

use crate::guest::*;
use poolhit::Lab;
use poolhit::guest::{BusDevice, DeviceAction, DriverCallError, Request, SystemPower};

const START: usize = 0;
const QUERY_REMOVE: usize = 1;
const REMOVE: usize = 2;
const CANCEL_REMOVE: usize = 3;
const STOP: usize = 4;
const QUERY_STOP: usize = 5;
const CANCEL_STOP: usize = 6;
const SURPRISE_REMOVAL: usize = 0x17;
const SET_POWER: usize = 2;
const QUERY_POWER: usize = 3;

/// The interface that the driver registers for its first device.
pub const INTERFACE: &str = r"ROOT#IOTEST#0000#{1A2B3C4D-5E6F-7081-0102-030405060708}";

fn lab_with_device(fault: u32) -> (Lab, BusDevice) {
    let mut lab = lab_with(PNP, fault);
    let device = lab.add_device().unwrap_or_else(|error| panic!("{error}"));
    (lab, device)
}

#[track_caller]
fn status<T: std::fmt::Debug>(result: Result<T, DriverCallError>) -> u32 {
    match result {
        Err(DriverCallError::Failed { status, .. }) => status.0,
        other => panic!("{other:?}"),
    }
}

fn is_loaded(lab: &Lab) -> bool {
    lab.modules().by_name("iotest").is_some()
}

#[test]
fn a_device_is_started_and_opened_by_its_interface() {
    let (mut lab, device) = lab_with_device(0);
    assert_eq!(device, BusDevice(1));
    let counters = Counters::of(&lab);
    assert_eq!(counters.pnp(START), 1);
    let handle = open(&mut lab, INTERFACE);
    let response = control(&mut lab, handle, code(ECHO, BUFFERED), b"pnp", 8);
    assert_eq!(response.data(), b"pnp");
    // Nobody removes what is in use.
    assert_eq!(
        status(lab.device(device, DeviceAction::Remove)),
        0x8000_0011
    );
    close(&mut lab, handle);
    assert_eq!(lab.add_device().unwrap(), BusDevice(2));
}

#[test]
fn with_the_last_device_goes_the_driver() {
    let (mut lab, first) = lab_with_device(0);
    let second = lab.add_device().unwrap();
    lab.device(first, DeviceAction::Remove).unwrap();
    assert!(is_loaded(&lab));
    let counters = Counters::of(&lab);
    assert_eq!(
        [QUERY_REMOVE, REMOVE, CANCEL_REMOVE].map(|minor| counters.pnp(minor)),
        [1, 1, 0]
    );
    // The remove lock lets nobody in any more: STATUS_DELETE_PENDING.
    assert_eq!(counters.remove_state(), 0xc000_0056);
    lab.device(second, DeviceAction::Remove).unwrap();
    assert!(!is_loaded(&lab));
    let left = outstanding(&lab);
    for pool_tag in [b"IoTt", b"PnIf", b"Irp ", b"PnNo"] {
        assert_eq!(left.get(&tag(pool_tag)), None, "{left:?}");
    }
    // What is left is the bus driver.
    assert_eq!(
        (left.get(&tag(b"Devi")), left.get(&tag(b"Driv"))),
        (None, Some(&1))
    );
    lab.load_driver().unwrap();
    assert_eq!(lab.add_device().unwrap(), BusDevice(1));
}

/// WDK: "IoRegisterPlugPlayNotification", "IoGetDeviceInterfaces", "IoWMIRegistrationControl".
#[test]
fn who_listens_hears_of_interfaces_and_wmi_asks_a_provider() {
    let mut lab = lab_with(PNP | LISTEN, 0);
    let left = |lab: &Lab| {
        let left = outstanding(lab);
        [b"PnNt", b"PnIf", b"Wmip"].map(|name| left.get(&tag(name)).copied().unwrap_or(0))
    };
    assert_eq!(left(&lab), [1, 0, 0]);
    let first = lab.add_device().unwrap();
    let second = lab.add_device().unwrap();
    lab.device(first, DeviceAction::Stop).unwrap();
    let counters = Counters::of(&lab);
    assert_eq!(counters.interfaces(), [2, 0, 2]);
    // each was asked again with the room that it wanted
    assert_eq!(counters.wmi(), [0, 4]);
    assert_eq!(left(&lab)[2], 2);
    lab.device(first, DeviceAction::Remove).unwrap();
    let handle = open_second(&mut lab);
    close(&mut lab, handle);
    let counters = Counters::of(&lab);
    assert_eq!(counters.interfaces(), [2, 1, 1]);
    assert_eq!(left(&lab)[2], 1);
    lab.device(second, DeviceAction::Remove).unwrap();
    assert_eq!(left(&lab)[2], 0);
}

#[track_caller]
fn open_second(lab: &mut Lab) -> poolhit::guest::FileHandle {
    open(lab, &INTERFACE.replace("#0000#", "#0001#"))
}

#[test]
fn a_driver_may_refuse_to_let_go() {
    let (mut lab, device) = lab_with_device(3);
    assert_eq!(
        status(lab.device(device, DeviceAction::Remove)),
        0xc000_0001
    );
    assert_eq!(status(lab.device(device, DeviceAction::Stop)), 0xc000_0001);
    let counters = Counters::of(&lab);
    let minors = [
        QUERY_REMOVE,
        REMOVE,
        CANCEL_REMOVE,
        QUERY_STOP,
        STOP,
        CANCEL_STOP,
    ];
    assert_eq!(minors.map(|minor| counters.pnp(minor)), [1, 0, 1, 1, 0, 1]);
    let handle = open(&mut lab, INTERFACE);
    close(&mut lab, handle);
}

#[test]
fn stopping_and_starting() {
    let (mut lab, device) = lab_with_device(0);
    lab.device(device, DeviceAction::Stop).unwrap();
    assert_eq!(status(lab.device(device, DeviceAction::Stop)), 0xc000_0184);
    lab.device(device, DeviceAction::Start).unwrap();
    assert_eq!(status(lab.device(device, DeviceAction::Start)), 0xc000_0184);
    let counters = Counters::of(&lab);
    assert_eq!(
        [START, QUERY_STOP, STOP].map(|minor| counters.pnp(minor)),
        [2, 1, 1]
    );
}

#[test]
fn a_device_that_is_pulled_out_lives_as_long_as_its_files() {
    let (mut lab, device) = lab_with_device(0);
    let handle = open(&mut lab, INTERFACE);
    lab.device(device, DeviceAction::SurpriseRemove).unwrap();
    let counters = Counters::of(&lab);
    assert_eq!(
        [SURPRISE_REMOVAL, REMOVE].map(|minor| counters.pnp(minor)),
        [1, 0]
    );
    let refused = ask(
        &mut lab,
        &Request::Open {
            name: &format!(r"\\.\{INTERFACE}"),
            access: 0,
            overlapped: false,
        },
    );
    assert!(!refused.is_success());
    assert!(is_loaded(&lab));
    // The last handle: the device goes, and the driver with it.
    close(&mut lab, handle);
    assert!(!is_loaded(&lab));
    assert_eq!(
        status(lab.device(device, DeviceAction::Remove)),
        0xc000_0034
    );
}

#[test]
fn an_add_device_or_a_start_that_fails_leaves_no_device() {
    for fault in [1, 2] {
        let mut lab = lab_with(PNP, fault);
        let failed = status(lab.add_device());
        assert_eq!(failed, if fault == 1 { 0xc000_009a } else { 0xc000_0001 });
        let left = outstanding(&lab);
        assert_eq!(left.get(&tag(b"Devi")), None, "{left:?}");
        assert_eq!(left.get(&tag(b"PnNo")), None, "{left:?}");
    }
}

#[test]
fn power_goes_down_and_up_again() {
    let (mut lab, device) = lab_with_device(0);
    lab.set_device_power(device, 3).unwrap();
    lab.set_device_power(device, 0).unwrap();
    // DEVICE_POWER_STATE: D0 is 1, D3 is 4.
    assert_eq!(Counters::of(&lab).power_states(), 41);
    lab.set_system_power(SystemPower::Sleeping3).unwrap();
    lab.set_system_power(SystemPower::Working).unwrap();
    let counters = Counters::of(&lab);
    assert_eq!(counters.power_states(), 4141);
    // Each of the system's states comes with one of the device's.
    assert_eq!(
        [QUERY_POWER, SET_POWER].map(|minor| counters.power(minor)),
        [3, 6]
    );
    assert_eq!(status(lab.set_device_power(device, 4)), 0xc000_000d);
    let left = outstanding(&lab);
    for pool_tag in [b"Irp ", b"Powr"] {
        assert_eq!(left.get(&tag(pool_tag)), None, "{left:?}");
    }
}

#[test]
fn a_driver_may_refuse_to_sleep_but_not_the_end() {
    let (mut lab, device) = lab_with_device(4);
    assert_eq!(
        status(lab.set_system_power(SystemPower::Sleeping1)),
        0xc000_0001
    );
    assert_eq!(status(lab.set_device_power(device, 3)), 0xc000_0001);
    lab.shutdown().unwrap();
    let counters = Counters::of(&lab);
    // It was told to stay at work, and to shut down.
    assert_eq!(counters.power_states(), 14);
}
