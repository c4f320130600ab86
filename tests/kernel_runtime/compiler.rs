//! What compilers and assertions call.

use crate::guest::*;
use poolhit::guest::CallError;

/// Calls `__chkstk` as a compiler does, with the frame's size in eax: rax + rcx + rdx + r8 + r9 behind it.
fn probe(guest: &mut Guest, bytes: u32) -> Result<u64, CallError> {
    let target = guest.lab.kernel_function("__chkstk").unwrap();
    let sum = guest.room(8);
    let code = [
        &[0x48, 0x83, 0xec, 0x28][..], // sub rsp, 28h
        &[0xb8],                       // mov eax, bytes
        &bytes.to_le_bytes(),
        &[0xb9, 1, 0, 0, 0, 0xba, 20, 0, 0, 0], // mov ecx, 1; mov edx, 20
        &[0x41, 0xb8, 0x2c, 1, 0, 0],           // mov r8d, 300
        &[0x41, 0xb9, 0xa0, 0xf, 0, 0],         // mov r9d, 4000
        &[0x49, 0xba],                          // mov r10, target
        &target.address().0.to_le_bytes(),
        &[0x41, 0xff, 0xd2],                   // call r10
        &[0x48, 0x01, 0xc8, 0x48, 0x01, 0xd0], // add rax, rcx; add rax, rdx
        &[0x4c, 0x01, 0xc0, 0x4c, 0x01, 0xc8], // add rax, r8; add rax, r9
        &[0x49, 0xba],                         // mov r10, sum
        &sum.to_le_bytes(),
        &[0x49, 0x89, 0x02],             // mov [r10], rax
        &[0x48, 0x83, 0xc4, 0x28, 0xc3], // add rsp, 28h; ret
    ]
    .concat();
    let (code, elements) = (guest.put(&code), guest.put(&[0; 2]));
    // any routine that calls one given to it
    guest.try_call("qsort", &[elements, 2, 1, code])?;
    Ok(guest.u64(sum))
}

#[test]
fn stack_probes() {
    let mut guest = Guest::new();
    for bytes in [0, 8, 0xfff, 0x1000, 0x1008, 0x1f00] {
        // no register has changed but r10 and r11
        let sum = probe(&mut guest, bytes).unwrap();
        assert_eq!(sum, u64::from(bytes) + 4321, "{bytes:#x}");
    }
}

/// Below the stack there is nothing: the probe faults, and nothing handles that.
#[test]
fn a_frame_larger_than_the_stack() {
    for bytes in [0x10_0000, 0x7fff_f000] {
        let mut guest = Guest::new();
        match probe(&mut guest, bytes) {
            Err(CallError::BugCheck { check, .. }) => assert_eq!(check.code, 0x50),
            other => panic!("{bytes:#x}: {other:x?}"),
        }
    }
}

/// An assertion that fails stops in `nt!DbgBreakPoint`, and the driver goes on.
#[test]
fn assertions_break() {
    let mut guest = Guest::new();
    let (what, file, message) = (
        guest.text(b"a == b"),
        guest.text(b"driver.c"),
        guest.text(b"why"),
    );
    let called = guest
        .try_call("RtlAssert", &[what, file, 12, message])
        .unwrap();
    let point = guest.lab.kernel_symbol("DbgBreakPoint").unwrap();
    assert_eq!(called.hits, [point]);
}
