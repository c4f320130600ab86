//! Memory descriptor lists.

use crate::guest::*;

fn ask_lists(lab: &mut poolhit::Lab, what: u32) -> u64 {
    let handle = open(lab, "IoTest");
    let response = control(lab, handle, code(MDL, BUFFERED), &what.to_le_bytes(), 8);
    assert_eq!((response.error.0, response.information), (0, 8));
    close(lab, handle);
    u64::from(word(&response, 0)) | u64::from(word(&response, 4)) << 32
}

#[test]
fn pages_of_the_pool_and_parts_of_them_are_described() {
    let mut lab = lab();
    let before = outstanding(&lab);
    assert_eq!(ask_lists(&mut lab, 1), 3);
    assert_eq!(outstanding(&lab), before);
}

#[test]
fn pages_without_addresses_are_zero_and_keep_what_is_written() {
    let mut lab = lab();
    let before = outstanding(&lab);
    let available = lab.kernel_symbol("MmAvailablePages").unwrap();
    // Page tables for the mapping stay: count from the second time on.
    assert_eq!(ask_lists(&mut lab, 2), 3);
    let free = read_u32(&lab, available.0);
    assert_eq!(ask_lists(&mut lab, 2), 3);
    assert_eq!(read_u32(&lab, available.0), free);
    assert_eq!(outstanding(&lab), before);
}

#[test]
fn a_page_is_mapped_for_the_program_too() {
    let mut lab = lab();
    let before = outstanding(&lab);
    let at = ask_lists(&mut lab, 3);
    assert!(at > 0 && at >> 47 == 0, "{at:x}");
    assert_eq!(read_u32(&lab, at), 0x1234_5678);
    assert_eq!(ask_lists(&mut lab, 3), 0);
    let mut byte = [0];
    assert!(
        poolhit::memory::ReadMemory::read(lab.machine(), poolhit::address::Va(at), &mut byte)
            .is_err()
    );
    assert_eq!(outstanding(&lab), before);
}
