//! The guest stops where a driver uses what nobody provides, and the debugger says what it was.

use crate::driver::{BASE, CODE_RVA, Step, driver};
use poolhit::address::Va;
use poolhit::guest::{CallError, LabError, UnprovidedPolicy, UnprovidedUse, UseKind};
use poolhit::memory::ReadMemory;
use poolhit::{Lab, Session, StopReason};

const IMPORTS: &[(&str, &[&str])] = &[
    ("ntoskrnl.exe", &["KeGetCurrentIrql", "ExNobody"]),
    ("WDFLDR.SYS", &["WdfVersionBind"]),
];

/// A session where the driver's entry has stopped.
#[track_caller]
fn stopped(steps: &[Step]) -> Session {
    let booted = Lab::builder()
        .driver(driver(IMPORTS, steps))
        .boot()
        .unwrap();
    Session::stopped(booted.lab, booted.stopped.unwrap())
}

#[track_caller]
fn used(session: &Session) -> UnprovidedUse {
    match &session.last_stop().unwrap().reason {
        StopReason::UnprovidedFunction(used) => (**used).clone(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_call_stops_with_the_stack_as_it_is_at_the_call() {
    let session = stopped(&[Step::Call(2)]);
    let found = used(&session);
    assert_eq!((&*found.importer, &*found.module), ("a.sys", "WDFLDR.SYS"));
    assert_eq!(found.function.to_string(), "WdfVersionBind");
    assert_eq!(found.kind, UseKind::Call);
    // behind `sub rsp` and `call [slot]`
    let back = Va(BASE + u64::from(CODE_RVA) + 10);
    assert_eq!(found.caller, Some(back));

    let stop = session.last_stop().unwrap();
    assert_eq!(stop.address, session.registers().rip());
    let stack = session.stack(20);
    assert_eq!(stack.frames[0].address, stop.address);
    assert_eq!(stack.frames[0].return_address, back);
    let places: Vec<_> = stack.frames[1..].iter().map(ToString::to_string).collect();
    assert_eq!(places[0], "a+0x100a");
    assert!(places[1].starts_with("nt!IopLoadDriver+"), "{places:?}");
    assert!(
        places.last().unwrap().starts_with("nt!KiSystemStartup+"),
        "{places:?}"
    );
    assert_eq!(stack.frames.last().unwrap().return_address, Va(0));
}

#[test]
fn the_prompt_says_what_is_missing_and_where() {
    let mut session = stopped(&[Step::Call(1)]);
    let mut text = String::new();
    let stop = session.last_stop().unwrap();
    poolhit::report::stop::write_stop(&mut text, &session, stop).unwrap();
    let address = stop.address;
    assert_eq!(
        text,
        format!(
            "Unprovided import: ntoskrnl.exe!ExNobody is called, which nothing provides (a.sys \
             imports it)\n\
             Used at fffff880`0496e00a (a+0x100a)\n\
             {address} ??              ???\n"
        )
    );
    // Going on does the same again.
    assert_eq!(session.execute("g").unwrap(), text);
    assert_eq!(used(&session).kind, UseKind::Call);
}

#[test]
fn data_that_nobody_provides_is_told_from_functions() {
    for (step, offset) in [
        (Step::Read(1, 0), 0),
        (Step::Read(1, 0x7f), 0x7f),
        (Step::Write(1, 8), 8),
    ] {
        let session = stopped(&[step]);
        let found = used(&session);
        assert_eq!(found.kind, UseKind::Access { offset });
        assert_eq!(found.function.to_string(), "ExNobody");
        // behind `sub rsp` and `mov rcx,[slot]`
        assert_eq!(found.caller, Some(Va(BASE + u64::from(CODE_RVA) + 11)));
        assert_eq!(session.registers().rip(), found.caller.unwrap());
        let text = found.to_string();
        assert!(
            text.contains("is read or written, which nothing provides"),
            "{text}"
        );
    }
}

/// A driver that does not use it is none the worse for importing it.
#[test]
fn an_import_that_is_not_used_does_no_harm() {
    let lab = Lab::builder().driver(driver(IMPORTS, &[Step::Call(0)]));
    lab.build().unwrap();
}

#[test]
fn building_names_the_import_and_the_stack() {
    let builder = Lab::builder().driver(driver(IMPORTS, &[Step::Call(1)]));
    for builder in [builder.clone(), builder.clone(), builder.cold()] {
        let error = builder.build().unwrap_err();
        let text = error.to_string();
        assert!(
            text.starts_with(
                "the guest did not boot: ntoskrnl.exe!ExNobody is called, which nothing provides \
                 (a.sys imports it)\n"
            ),
            "{text}"
        );
        let LabError::Unprovided { stack, .. } = error else {
            panic!("{text}");
        };
        assert_eq!(stack[1], "a+0x100a");
        assert!(
            stack.last().unwrap().starts_with("nt!KiSystemStartup"),
            "{stack:?}"
        );
    }
}

#[test]
fn refusing_at_load_names_them_all() {
    let builder = Lab::builder().driver(driver(IMPORTS, &[]));
    builder.clone().boot().unwrap();
    let builder = builder.unprovided(UnprovidedPolicy::RefuseAtLoad);
    assert_eq!(
        builder.clone().boot().unwrap_err().to_string(),
        "a.sys needs ntoskrnl.exe!ExNobody, which nothing provides (it has no such export)\n\
         a.sys needs WDFLDR.SYS!WdfVersionBind, which nothing provides (no such image is loaded)"
    );
    // What the lab provides is provided.
    let error = builder.clone().return_constant("ExNobody", 0).build();
    let text = error.unwrap_err().to_string();
    assert!(
        !text.contains("ExNobody") && text.contains("WdfVersionBind"),
        "{text}"
    );
    let both = builder.return_constant("ExNobody", 0);
    let steps = [Step::Call(1)];
    both.driver(driver(IMPORTS, &steps))
        .return_constant("wdfldr!WdfVersionBind", 0)
        .build()
        .unwrap();
}

/// The policy and the constants are a part of what is kept of labs built before.
#[test]
fn labs_kept_are_told_apart_by_what_is_provided() {
    let builder = Lab::builder().driver(driver(IMPORTS, &[Step::Call(1)]));
    for _ in 0..3 {
        builder
            .clone()
            .return_constant("ExNobody", 0)
            .build()
            .unwrap();
        builder.clone().build().unwrap_err();
        let failed = builder.clone().return_constant("ExNobody", 0xc000_0001);
        failed.build().unwrap_err();
        let refused = builder.clone().unprovided(UnprovidedPolicy::RefuseAtLoad);
        assert!(matches!(refused.build().unwrap_err(), LabError::Bind(_)));
    }
}

/// User mode's images are loaded by the rules they had.
#[test]
fn programs_have_all_their_imports_or_are_refused() {
    let text = crate::driver::bytes(&[("kernel32.dll", &["Nobody"])], &[]);
    let program = poolhit::guest::ImageFile::parse("p.exe", text, None).unwrap();
    let base = Va(0x1_4000_0000);
    let lab = Lab::builder().program(program).base("p.exe", base);
    let error = lab.return_constant("Nobody", 0).build().unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("p.exe needs kernel32.dll!Nobody"),
        "{error}"
    );
}

/// The kernel provides the HAL's functions by name, and none by its own ordinals.
#[test]
fn the_hal_is_the_kernel() {
    let hal: &[(&str, &[&str])] = &[("HAL.dll", &["KeGetCurrentIrql", "HalNobody"])];
    Lab::builder()
        .driver(driver(hal, &[Step::Call(0)]))
        .build()
        .unwrap();
    let error = Lab::builder().driver(driver(hal, &[Step::Call(1)])).build();
    let text = error.unwrap_err().to_string();
    assert!(text.contains("HAL.dll!HalNobody is called"), "{text}");

    let mut builder = poolhit_fixtures::pe_builder::PeBuilder::new(BASE);
    builder
        .import("HAL.dll", [1u16])
        .import("ntoskrnl.exe", [1u16]);
    let image = poolhit::image::PeImage::parse("a.sys", builder.build()).unwrap();
    let kernel = &poolhit::guest::GuestImages::built_in().kernel.image;
    let listed = poolhit::guest::list_imports(&image, kernel).unwrap();
    assert!(listed[0].missing.is_some() && listed[1].missing.is_none());
}

/// Calls from outside stop, too, and say why: here the kernel's own code reads it.
#[test]
fn a_call_of_the_labs_user_says_what_was_missing() {
    let mut lab = Lab::builder()
        .driver(driver(IMPORTS, &[Step::Call(0)]))
        .build()
        .unwrap();
    let allocate = lab.call_kernel("ExAllocatePoolWithTag", &[0, 8, 0x41]);
    let block = allocate.unwrap().value;
    let slot = poolhit::image::PeImage::parse("a.sys", driver_bytes()).unwrap();
    let slot = Va(BASE) + slot.imports()[1].slot;
    let bound = lab.machine().read_u64(slot).unwrap();
    let error = lab
        .call_kernel("memcpy", &[block, bound + 16, 8])
        .unwrap_err();
    let CallError::Unprovided(used) = &error else {
        panic!("{error:?}");
    };
    assert_eq!(used.kind, UseKind::Access { offset: 16 });
    assert!(
        error
            .to_string()
            .contains("ntoskrnl.exe!ExNobody+0x10 is read or written"),
        "{error}"
    );
    // One behind the last belongs to no import: it is a fault like any other.
    let error = lab.call_kernel("memcpy", &[block, bound + 0x2000, 8]);
    assert!(!matches!(error.unwrap_err(), CallError::Unprovided(_)));
}

fn driver_bytes() -> Vec<u8> {
    crate::driver::bytes(IMPORTS, &[Step::Call(0)])
}
