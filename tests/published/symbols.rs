//! `x` and `ln`: rows of published symbols.

use poolhit::address::Va;
use poolhit::report::symbols::{
    Origin, SymbolDetail, SymbolRow, write_exact_matches, write_nearest, write_symbol,
};

fn number(text: &str) -> u64 {
    u64::from_str_radix(&text.replace('`', ""), 16).unwrap()
}

/// What stands behind a name.
fn detail(text: &str) -> SymbolDetail {
    if text == " = <no type information>" {
        return SymbolDetail::NoType;
    }
    match text.strip_prefix(" = ") {
        Some(value) => SymbolDetail::Value(value.to_string()),
        None => SymbolDetail::Parameters(text[1..].to_string()),
    }
}

/// `name (parameters)`, or `name = value`.
fn name_and_detail(text: &str) -> (String, SymbolDetail) {
    let end = text.find([' ']).unwrap();
    (text[..end].to_string(), detail(&text[end..]))
}

fn check(rows: &str) {
    for row in rows.lines() {
        let (address, rest) = row.split_once(' ').unwrap();
        let (name, detail) = name_and_detail(rest);
        let values = SymbolRow {
            address: Va(number(address)),
            origin: None,
            type_name: None,
            name,
            detail,
        };
        let mut text = String::new();
        write_symbol(&mut text, &values).unwrap();
        assert_eq!(text, format!("{row}\n"));
    }
}

/// `x nt!*CreateProcess*` in "Getting Started with WinDbg (Kernel-Mode)", `x /f tabletaudiosample!a*` and
/// `x tabletaudiosample!CAdapterCommon::*` in "Debug Universal Drivers", `x ECHO!Echo*` in the lab of the echo driver,
/// `x Fabric!...` in "x (Examine Symbols)": all in the manual. `x nt!PsActiveProcessHead` is in notes on Rekall,
/// `x nt!NtWriteFile` on Windows 7 SP1 in a script for FDP.
#[test]
fn functions_and_data() {
    check(
        "fffff800`030821cc nt!ViCreateProcessCallbackInternal (<no parameter info>)
fffff800`02e03904 nt!MmCreateProcessAddressSpace (<no parameter info>)
fffff800`02cece00 nt!PspCreateProcessNotifyRoutine = <no type information>
fffff806`9adb1000 tabletaudiosample!AddDevice (struct _DRIVER_OBJECT *, struct _DEVICE_OBJECT *)
fffff800`7bce26a0 tabletaudiosample!CAdapterCommon::MixerVolumeWrite (unsigned long, unsigned long, long)
fffff801`0bf95690 ECHO!EchoEvtIoQueueContextDestroy (void *)
fffff801`0bf95000 ECHO!EchoEvtDeviceSelfManagedIoStart (struct WDFDEVICE__ *)
fffff801`0bf95ac0 ECHO!EchoEvtTimerFunc (struct WDFTIMER__ *)
fffff801`0bf9b120 ECHO!EchoEvtDeviceSelfManagedIoSuspend (struct WDFDEVICE__ *)
000007f6`466a2f9c Fabric!Common::ConfigEntry<Common::TimeSpan>::ConfigEntry<Common::TimeSpan> (void)
000007f6`466a3020 Fabric!Common::ConfigEntry<Common::TimeSpan>::~ConfigEntry<Common::TimeSpan> (void)
fffff805`28e51a80 nt!PsActiveProcessHead = <no type information>
fffff800`029ab9a0 nt!NtWriteFile (<no parameter info>)",
    );
}

/// `x /f /v notepad!*main*` in "x (Examine Symbols)" of the manual. Of data with `/v`, and of public symbols, it has
/// examples for 32 bits only, of a debugger without the first column.
#[test]
fn with_sizes() {
    let expected =
        "prv func   00000001`00003340  249 notepad!WinMain (struct HINSTANCE__ *, struct HINSTANCE__ *, char *, int)
prv func   00000001`0000a7b0   1c notepad!WinMainCRTStartup$filt$0 (void)
prv func   00000001`0000a540  268 notepad!WinMainCRTStartup (void)
";
    let mut text = String::new();
    for (row, size) in expected.lines().zip([0x249, 0x1c, 0x268]) {
        let (name, detail) = name_and_detail(row.split_once(" notepad!").unwrap().1);
        let values = SymbolRow {
            address: Va(number(&row[11..28])),
            origin: Some(Origin {
                private: true,
                function: true,
                size,
            }),
            type_name: None,
            name: format!("notepad!{name}"),
            detail,
        };
        write_symbol(&mut text, &values).unwrap();
    }
    assert_eq!(text, expected);
}

/// `x /t prymes!__n*` in the manual is of 32 bits: its addresses have eight digits more here.
#[test]
fn with_types() {
    for (address, ty, name, value, row) in [
        (
            0x00427d84,
            "char *",
            "myModule!__nullstring",
            SymbolDetail::Value("0x00425de8 \"(null)\"".into()),
            "00427d84 char * myModule!__nullstring = 0x00425de8 \"(null)\"",
        ),
        (
            0x004021c1,
            "struct MyStruct",
            "myModule!MyStructInstance",
            SymbolDetail::Value("struct MyStruct".into()),
            "004021c1 struct MyStruct myModule!MyStructInstance = struct MyStruct",
        ),
        (
            0x00427d14,
            "<NoType>",
            "myModule!_NLG_Destination",
            SymbolDetail::NoType,
            "00427d14 <NoType> myModule!_NLG_Destination = <no type information>",
        ),
    ] {
        let values = SymbolRow {
            address: Va(address),
            origin: None,
            type_name: Some(ty.into()),
            name: name.into(),
            detail: value,
        };
        let mut text = String::new();
        write_symbol(&mut text, &values).unwrap();
        assert_eq!(text, format!("00000000`{row}\n"));
    }
}

/// A note on how `NtCreateFile` is found in the service table, `KiSystemCall64` and `KiSystemCall32` of Windows 8.1 in notes
/// on system calls, `KiSystemCall64` of Windows 10 in notes on KVAS. Above the last three later debuggers print
/// `Browse module` and `Set bu breakpoint`.
#[test]
fn nearest() {
    for expected in [
        "(fffff800`fc901270)   nt!NtCreateFile   |  (fffff800`fc9012f4)   nt!NtOpenKey
Exact matches:
    nt!NtCreateFile (<no parameter info>)
",
        "(fffff800`2a492200)   nt!KiSystemCall64   |  (fffff800`2a492348)   nt!KiSystemServiceStart
Exact matches:
    nt!KiSystemCall64 (<no parameter info>)
",
        "(fffff800`2a491f40)   nt!KiSystemCall32   |  (fffff800`2a492080)   nt!KiSystemServiceHandler
Exact matches:
    nt!KiSystemCall32 (<no parameter info>)
",
        "(fffff805`2e2066c0)   nt!KiSystemCall64   |  (fffff805`2e206900)   nt!KiSystemServiceUser
",
    ] {
        let mut lines = expected.lines();
        let places = lines.next().unwrap().split("   |  ").map(|place| {
            let (at, name) = place[1..].split_once(")   ").unwrap();
            (Va(number(at)), name)
        });
        let places: Vec<(Va, &str)> = places.collect();
        let exact = lines.skip(1).map(|line| name_and_detail(&line[4..]));
        let exact: Vec<(String, SymbolDetail)> = exact.collect();
        let mut text = String::new();
        write_nearest(&mut text, places[0], Some(places[1])).unwrap();
        write_exact_matches(&mut text, &exact).unwrap();
        assert_eq!(text, expected);
    }
}
