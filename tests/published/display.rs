//! `da`, `du`, `dps`, `dl`, `uf`: bytes of published sessions, written to this guest. Its addresses are put in the place of
//! the published ones, which are not there.

use poolhit::address::Va;
use poolhit::{Lab, Session};

fn session() -> Session {
    Session::new(Lab::builder().build().unwrap())
}

/// A page of this guest's to write to.
fn page(session: &Session) -> Va {
    let at = session.resolve("nt!PagedPoolDescriptor").unwrap();
    at.wrapping_add(0xfff - ((at.0 - 1) & 0xfff))
}

/// The text with each address (`fffff804`789a2030`) of the ranges given moved to where its range is here.
fn moved(text: &str, ranges: &[(u64, u64, Va)]) -> String {
    let mut moved = String::new();
    let mut rest = text;
    while let Some(tick) = rest.find('`') {
        let start = tick.saturating_sub(8);
        let digits = rest.get(start..tick + 9).unwrap_or_default();
        let value = u64::from_str_radix(&digits.replace('`', ""), 16).ok();
        let found = value.and_then(|value| {
            let range = ranges
                .iter()
                .find(|(at, size, _)| (*at..at + size).contains(&value))?;
            Some(range.2.wrapping_add(value - range.0))
        });
        let end = match found {
            Some(address) => {
                moved += &format!("{}{address}", &rest[..start]);
                tick + 9
            }
            None => {
                moved += &rest[..=tick];
                tick + 1
            }
        };
        rest = &rest[end..];
    }
    moved + rest
}

/// "SystemDump" (a dump made by hand, with its message), where the page has lost a space behind the addresses; `du`
/// of Capcom.sys' device name in an analysis of it, before and after it was decoded; nothing, in "Debug Universal Drivers".
#[test]
fn unicode() {
    let mut session = session();
    let page = page(&session);
    for (at, expected) in [
        (
            0xfffffadf_e653c7a8,
            r#"fffffadf`e653c7a8  "The server is slow and all conne"
fffffadf`e653c7e8  "ctions are refused. ..I'm genera"
fffffadf`e653c828  "ting this dump from the console "
fffffadf`e653c868  "session and ..scheduled it in 3 "
fffffadf`e653c8a8  "minutes. Please look at it and ."
fffffadf`e653c8e8  ".see if you can find anything su"
fffffadf`e653c928  "spicious in it!"
"#,
        ),
        (
            0xfffff805_03c30840,
            "fffff805`03c30840  \"\\DosDevices\\\"\n",
        ),
        (
            0xfffff805_03c30840,
            "fffff805`03c30840  \"\\DosDevices\\Htsysm72FB\"\n",
        ),
        (0xffffb780_b7eee664, "ffffb780`b7eee664  \"\"\n"),
    ] {
        let text: String = expected
            .lines()
            .map(|line| &line[20..line.len() - 1])
            .collect();
        // the message had line ends where the points are
        let text = text.replace("..", "\r\n");
        let bytes: Vec<u8> = text
            .encode_utf16()
            .chain([0])
            .flat_map(u16::to_le_bytes)
            .collect();
        let here = page.wrapping_add(at & 0xfff);
        session.write(here, &bytes).unwrap();
        let shown = session.execute(&format!("du {here}")).unwrap();
        assert_eq!(shown, moved(expected, &[(at, 0x1000, here)]));
    }
}

/// The name of an API in a chapter on the kernel's shims, and the tag in a header of the
/// pool in an account of an exploit that looks for processes there.
#[test]
fn ascii() {
    let mut session = session();
    let page = page(&session);
    for (at, bytes, expected) in [
        (
            0xfffff800_abd560b0,
            &b"RtlGetVersion\0"[..],
            "fffff800`abd560b0  \"RtlGetVersion\"\n",
        ),
        (
            // what is no character is a point, which of them is not known
            0xffffd48c_a040f334,
            &b"Proc8\x01@\x01\x02\x03\x04\x05\x06\x07\x08\x0b\x0c\x0eM\0"[..],
            "ffffd48c`a040f334  \"Proc8.@...........M\"\n",
        ),
    ] {
        let here = page.wrapping_add(at & 0xfff);
        session.write(here, bytes).unwrap();
        let shown = session.execute(&format!("da {here}")).unwrap();
        assert_eq!(shown, moved(expected, &[(at, 0x1000, here)]));
    }
}

/// `dps` of a driver's imports in an analysis of a double free; of `nt!PsProcessType` and numbers in notes on callbacks of
/// processes, where another driver's row is left out.
#[test]
fn pointers_with_symbols() {
    let mut session = session();
    let page = page(&session);
    let function = |session: &Session, name: &str| session.resolve(name).unwrap();
    let write = function(&session, "nt!ZwWriteFile");
    let free = function(&session, "nt!ExFreePoolWithTag");
    let ty = function(&session, "nt!PsProcessType");
    for (at, words, place, symbol, expected) in [
        (
            0xfffff804_789a2030,
            vec![write.0],
            0xfffff804_6f42e550,
            write,
            "fffff804`789a2030  fffff804`6f42e550 nt!ZwWriteFile\n",
        ),
        (
            0xfffff804_789a2060,
            vec![free.0],
            0xfffff804_6faad110,
            free,
            "fffff804`789a2060  fffff804`6faad110 nt!ExFreePoolWithTag\n",
        ),
        (
            0xffffd88b_e90df810,
            vec![ty.0, 1],
            0xfffff803_355f92d0,
            ty,
            "ffffd88b`e90df810  fffff803`355f92d0 nt!PsProcessType
ffffd88b`e90df818  00000000`00000001
",
        ),
    ] {
        let here = page.wrapping_add(at & 0xfff);
        for (number, word) in (0..).zip(&words) {
            session
                .write(here.wrapping_add(number * 8), &word.to_le_bytes())
                .unwrap();
        }
        let expected = moved(expected, &[(at, 0x1000, here), (place, 1, symbol)]);
        for command in ["dps", "dqs"] {
            let line = format!("{command} {here} l{}", words.len());
            assert_eq!(session.execute(&line).unwrap(), expected);
        }
    }
}

/// `dl` of a process' threads (notes on structures of the kernel, Windows 10): a list of one entry and its head.
#[test]
fn linked_list() {
    let mut session = session();
    let page = page(&session);
    let expected = "ffffcd06`883eb378  ffffcd06`838830b0 ffffcd06`838830b0
ffffcd06`883eb388  ffffcd06`883eb388 ffffcd06`883eb388
ffffcd06`838830b0  ffffcd06`883eb378 ffffcd06`883eb378
ffffcd06`838830c0  00000000`00000000 00000000`00000000
";
    let (entry, head) = (page.wrapping_add(0x378), page.wrapping_add(0xb0));
    for (at, words) in [
        (entry, [head.0, head.0, entry.0 + 0x10, entry.0 + 0x10]),
        (head, [entry.0, entry.0, 0, 0]),
    ] {
        for (number, word) in (0..).zip(words) {
            session
                .write(at.wrapping_add(number * 8), &word.to_le_bytes())
                .unwrap();
        }
    }
    let ranges = [
        (0xffffcd06_883eb378, 0x20, entry),
        (0xffffcd06_838830b0, 0x20, head),
    ];
    let shown = session.execute(&format!("dl {entry}")).unwrap();
    assert_eq!(shown, moved(expected, &ranges));
}

/// `uf nt!KiFlushCurrentTbWorker` (notes on a gadget in it, Windows 10): its bytes at the beginning of another function.
/// The page has lost the empty line between blocks, and has its author's arrow behind one instruction.
#[test]
fn function_with_a_branch() {
    let mut session = session();
    let here = session.resolve("nt!NtClose").unwrap();
    let expected = "nt!KiFlushCurrentTbWorker:
fffff803`a8ab9b0c 0f20e1          mov     rcx,cr4
fffff803`a8ab9b0f 84c9            test    cl,cl
fffff803`a8ab9b11 790f            jns     nt!KiFlushCurrentTbWorker+0x16 (fffff803`a8ab9b22)  Branch

nt!KiFlushCurrentTbWorker+0x7:
fffff803`a8ab9b13 488bc1          mov     rax,rcx
fffff803`a8ab9b16 480fbaf007      btr     rax,7
fffff803`a8ab9b1b 0f22e0          mov     cr4,rax
fffff803`a8ab9b1e 0f22e1          mov     cr4,rcx
fffff803`a8ab9b21 c3              ret

nt!KiFlushCurrentTbWorker+0x16:
fffff803`a8ab9b22 0f20d8          mov     rax,cr3
fffff803`a8ab9b25 0f22d8          mov     cr3,rax
fffff803`a8ab9b28 c3              ret
";
    let rows = expected.lines().filter(|line| line.starts_with("fffff803"));
    let digits: String = rows.map(|row| row.split(' ').nth(1).unwrap()).collect();
    let bytes = (0..digits.len() / 2).map(|at| &digits[at * 2..at * 2 + 2]);
    let bytes: Vec<u8> = bytes
        .map(|byte| u8::from_str_radix(byte, 16).unwrap())
        .collect();
    session.write(here, &bytes).unwrap();
    let expected = moved(expected, &[(0xfffff803_a8ab9b0c, 0x20, here)]);
    let expected = expected.replace("KiFlushCurrentTbWorker", "NtClose");
    assert_eq!(session.execute("uf nt!NtClose").unwrap(), expected);
}
