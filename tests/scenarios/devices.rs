//! What scenarios do to drivers and devices.

use crate::{NO_UNLOAD, PNP, error, lab, run};
use poolhit::Lab;

#[test]
fn devices_come_and_go() {
    let mut lab = lab(PNP);
    let interface = r"'\\.\ROOT#IOTEST#0001#{1A2B3C4D-5E6F-7081-0102-030405060708}'";
    let text = format!(
        "unload = true
         [[setup]]\nadd-device = true
         [[setup]]\nadd-device = true\nas = 'dev'
         [[step]]\nopen = {interface}\nas = 'file'
         [[step]]\nioctl = 0x222000\ninput = '01'\nexpect = 'success'
         [[step]]\nremove-device = 'dev'\nexpect = 0x80000011
         [[step]]\nclose = 'file'
         [[step]]\nstop-device = 'dev'
         [[step]]\nstart-device = 'dev'
         [[step]]\nset-power = 'D3'\non = 'dev'
         [[step]]\nset-power = 'S3'
         [[step]]\nset-power = 'S0'
         [[step]]\nsurprise-remove = 'dev'
         [[step]]\nremove-device = 'dev'"
    );
    let told = error(&mut lab, &text);
    assert_eq!(told, "step 11 of repetition 1: no device is called \"dev\"");
}

#[test]
fn the_last_device_takes_the_driver_along() {
    let mut lab = lab(PNP);
    let text = "unload = true\nrepeat = 4
                [[step]]\nadd-device = true\n[[step]]\nremove-device = true
                [[step]]\nload = true";
    let told = error(&mut lab, text);
    // After the last load, nothing has been added.
    assert_eq!(
        told,
        "unload: unloading the driver failed with status 0xc0000010 STATUS_INVALID_DEVICE_REQUEST"
    );
    let text = "unload = true\n[[step]]\nadd-device = true\n";
    assert_eq!(run(&mut lab, text).unwrap().failures, []);
    assert!(lab.driver_routines().is_none());
    let report = lab.leaks().unwrap();
    assert!(
        report.is_clean() && report.drivers[0].unloaded.is_some(),
        "{report}"
    );
}

#[test]
fn a_driver_without_a_device_says_so() {
    let told = error(&mut lab(PNP), "[[step]]\nset-power = 'D3'\n");
    assert_eq!(told, "step 1 of repetition 1: no device has been added");
    let told = error(&mut lab(0), "[[step]]\nadd-device = true\n");
    assert_eq!(
        told,
        "step 1 of repetition 1: add-device gave status 0xc0000010 STATUS_INVALID_DEVICE_REQUEST, and not success"
    );
}

#[test]
fn what_is_loaded_again_and_unloaded_leaves_nothing() {
    let mut lab = Lab::builder().requester().track_leaks().build().unwrap();
    let text = "unload = true\nrepeat = 3
                [[step]]\nioctl = 0x22200c\ninput = '40 00 00 00'\nexpect = 'success'
                [[step]]\nunload = true\n[[step]]\nload = true
                [[step]]\nioctl = 0x22200c\ninput = '40 00 00 00'\nexpect = 'success'";
    assert_eq!(run(&mut lab, text).unwrap().failures, []);
    assert!(lab.leaks().unwrap().is_clean());
    // A leak stays one.
    let text =
        "unload = true\n[[step]]\nload = true\n[[step]]\nioctl = 0x222004\ninput = '40 00 00 00'";
    run(&mut lab, text).unwrap();
    assert_eq!(lab.leaks().unwrap().leaked.blocks, 1);
}

#[test]
fn a_driver_without_unload_routine_stays() {
    let mut lab = lab(NO_UNLOAD);
    let told = error(&mut lab, "unload = true\n");
    assert_eq!(told, "unload: the driver has no DriverUnload");
    assert!(lab.leaks().unwrap().drivers[0].unloaded.is_none());
}
