//! `dv`: the rows of published frames.

use poolhit::report::variable_row::{NAME_WIDTH, VariableRow, write_variable};

/// Rows of a name and a value, the longest name being as long as it is.
fn check(rows: &str) {
    let names = rows
        .lines()
        .map(|row| row.split(" = ").next().unwrap().trim());
    let longest = names.map(|name| name.chars().count()).max().unwrap();
    let mut text = String::new();
    for row in rows.lines() {
        let (name, value) = row.trim_start().split_once(" = ").unwrap();
        let values = VariableRow {
            parameter: None,
            place: None,
            relative: None,
            type_name: None,
            name,
            value: value.into(),
        };
        write_variable(&mut text, &values, longest.max(NAME_WIDTH)).unwrap();
    }
    assert_eq!(text, rows);
}

/// "Debug Universal Drivers - Step by Step Lab (Echo Kernel-Mode)" and, twice, "Debug Universal Drivers" in the manual,
/// the last with a name of more than fifteen characters. Behind `0x01 '` the page has lost a quote.
#[test]
fn names_and_values() {
    check(
        "         Driver = 0x00001fff`7ff9c838
     DeviceInit = 0xffffd001`51978190
         status = 0n0
",
    );
    check(
        "           this = 0x00000000`00000010
         ulNode = 0x344
      ulChannel = 0x210a45f8
        lVolume = 0n24
",
    );
    check(
        "                this = 0xffffe000`4436f8e0
           OutStream = 0xffffe000`49d2f130
        OuterUnknown = 0xffffe000`4436fa30
                 Pin = 0
             Capture = 0x01 ''
          DataFormat = 0xffffe000`44227790
signalProcessingMode = {487E9220-E000-FFFF-30F1-D24900E0FFFF}
            ntStatus = 0n1055
              stream = 0x00000000`00000200
",
    );
}

/// `dv -v` in "Debugging Optimized Code and Inline Functions" of the manual: on the stack, in registers, and nowhere.
#[test]
fn places() {
    let rows = "00000000`0050fcb0            num1 = 0n0
00000000`0050fcb4            num2 = 0n0
<unavailable>                num3 = <value unavailable>
00000000`0050fd08               c = 0n7
@ebx                            b = 0n13
@esi                            a = 0n6
";
    let mut text = String::new();
    for row in rows.lines() {
        let (place, rest) = row.split_once(' ').unwrap();
        let (name, value) = rest.trim_start().split_once(" = ").unwrap();
        let values = VariableRow {
            parameter: None,
            place: Some(place.into()),
            relative: None,
            type_name: None,
            name,
            value: value.into(),
        };
        write_variable(&mut text, &values, NAME_WIDTH).unwrap();
    }
    assert_eq!(text, rows);
}

/// `dv /t /i` in a text about CDB ("me" is a null pointer), and `dv` after `/i /t /V` in the README of an extension for
/// Python (`!pystack`): a parameter in a register. Of kernels no listing with types was found.
#[test]
fn types() {
    for (parameter, place, ty, name, value, expected) in [
        (
            true,
            None,
            "char **",
            "argv",
            "0x0000025e`ec4b4730",
            "prv param  char ** argv = 0x0000025e`ec4b4730\n",
        ),
        (
            false,
            None,
            "struct Person *",
            "me",
            "0x00000000`00000000",
            "prv local  struct Person * me = 0x00000000`00000000\n",
        ),
        (
            true,
            Some("@rdx"),
            "struct _object *",
            "nameobj",
            "0x0000000f`04cc2f10",
            "prv param  @rdx              @rdx              struct _object * nameobj = 0x0000000f`04cc2f10\n",
        ),
    ] {
        let values = VariableRow {
            parameter: Some(parameter),
            place: place.map(str::to_string),
            relative: place.map(str::to_string),
            type_name: Some(ty.into()),
            name,
            value: value.into(),
        };
        let mut text = String::new();
        write_variable(&mut text, &values, NAME_WIDTH).unwrap();
        assert_eq!(text, expected);
    }
}
