//! The command line of `dt`, on the guest's own kernel; its forms are in `tests/transcripts/dt.kd`.

use super::session;
use poolhit::Session;
use poolhit::address::Va;
use poolhit::memory::ReadMemory;
use proptest::prelude::*;

#[test]
fn fields_and_addresses_in_any_order() {
    let mut session = session();
    let process = session.execute("? poi(nt!PsInitialSystemProcess)").unwrap();
    let address = process.trim_end().rsplit(' ').next().unwrap().to_string();
    let field = |session: &mut Session, line: String| session.execute(&line).unwrap();
    let name = field(
        &mut session,
        format!("dt nt!_EPROCESS {address} ImageFileName"),
    );
    assert_eq!(name, "   +0x2e0 ImageFileName : [15]  \"System\"\n");
    // the address may come first or last, with signs, in parentheses, before or behind options
    for line in [
        format!("dt nt!_EPROCESS ImageFileName {address}"),
        format!("dt nt!_EPROCESS imagefilename ({address}+10-10)"),
        format!("dt nt!_EPROCESS {address} - 10 + 10 ImageFileName"),
        format!("dt nt!_EPROCESS {address} -y ImageF"),
        format!("dt nt!_EPROCESS -y ImageF {address}"),
        format!("dt nt!_EPROCESS {address} -n ImageFileName"),
        format!("dt {address} nt!_EPROCESS ImageFileName"),
        "dt nt!PsInitialSystemProcess ImageFileName".to_string(),
    ] {
        let text = field(&mut session, line.clone());
        let line_of_field = text.lines().last().unwrap();
        assert!(
            line_of_field.starts_with("   +0x2e0 ImageF"),
            "{line}: {text}"
        );
        assert!(
            line_of_field.ends_with(" : [15]  \"System\""),
            "{line}: {text}"
        );
    }
    let list = session.resolve("nt!PsLoadedModuleList").unwrap();
    let first = session.lab().machine().read_va(list).unwrap();
    let last = session
        .lab()
        .machine()
        .read_va(list.wrapping_add(8))
        .unwrap();
    let text = session.execute("dt nt!PsLoadedModuleList").unwrap();
    assert!(
        text.starts_with(&format!(" [ 0x{first} - 0x{last} ]\n   +0x000 Flink ")),
        "{text}"
    );
    let text =
        session.execute("dt nt!_LDR_DATA_TABLE_ENTRY BaseDllName poi(nt!PsLoadedModuleList)");
    assert_eq!(
        text.unwrap(),
        "   +0x058 BaseDllName : _UNICODE_STRING \"ntoskrnl.exe\"\n"
    );
    let member = session
        .execute("dt nt!_LDR_DATA_TABLE_ENTRY BaseDllName.Length poi(nt!PsLoadedModuleList)")
        .unwrap();
    assert!(
        member.ends_with("      +0x000 Length             : 0x18\n"),
        "{member}"
    );
}

/// What is not there is an error, whose text is the line that the prompt shows.
#[test]
fn what_is_not_there_is_an_error() {
    let mut session = session();
    for (line, message) in [
        ("dt nt!NO_SUCH_TYPE", "Symbol nt!NO_SUCH_TYPE not found."),
        ("dt NO_SUCH_TYPE @rsp", "Symbol NO_SUCH_TYPE not found."),
        ("dt nt!_LIST_ENTRY 10", "Memory read error 0000000000000018"),
        ("dt 10 nt!_LIST_ENTRY", "Memory read error 0000000000000018"),
        (
            "dt nt!_POOL_HEADER PoolTag 10",
            "Memory read error 0000000000000014",
        ),
        (
            "dt -r 3 nt!_LIST_ENTRY",
            "Memory read error 000000000000000b",
        ),
    ] {
        assert_eq!(
            session.execute(line).unwrap_err().to_string(),
            message,
            "{line}"
        );
    }
    let typedef = session.execute("dt nt!POOL_HEADER").unwrap();
    assert_eq!(typedef, session.execute("dt nt!_POOL_HEADER").unwrap());
}

#[test]
fn recursion_ends() {
    let mut session = session();
    let text = session.execute("dt -r nt!_LIST_ENTRY").unwrap();
    assert_eq!(text.lines().count(), 2, "{text}");
    let text = session.execute("dt -r1 nt!_KEVENT").unwrap();
    assert!(
        text.contains("\n      +0x008 WaitListHead     : _LIST_ENTRY\n"),
        "{text}"
    );
    assert!(!text.contains("Flink"), "{text}");
    let deep = session.execute("dt -r nt!PsInitialSystemProcess");
    match deep {
        Ok(text) => assert!(text.lines().count() <= 16_384),
        Err(error) => assert!(
            error.to_string().starts_with("the listing is longer"),
            "{error}"
        ),
    }
    let text = session
        .execute("dt -b nt!PagedPoolDescriptor ListHeads")
        .unwrap();
    assert!(text.lines().count() > 3 * 256, "{}", text.len());
    assert!(text.contains("\n    [255] _LIST_ENTRY [ 0x"), "{text}");
}

proptest! {
    /// Any words behind `dt`, on any address.
    #[test]
    fn any_line_gives_text_or_an_error(
        words in prop::collection::vec(
            prop::sample::select(vec![
                "-r", "-r1", "-r99999999999", "-b", "-a", "-a3", "-v", "-y", "-n", "nt!_EPROCESS",
                "nt!*", "_IRP", "Tail.", "Tail.Overlay.", ".", "..", "nt!PsInitialSystemProcess", "@rsp",
                "nt!", "!", "-", "*", "ffffffff`ffffffff", "0", "(", "nt", "Pcb.", "\u{e9}", "-\u{e9}", "\"",
            ]),
            0..5,
        ),
    ) {
        thread_local! {
            static SESSION: std::cell::RefCell<Session> = std::cell::RefCell::new(session());
        }
        let line = format!("dt {}", words.join(" "));
        SESSION.with_borrow_mut(|session| {
            if let Err(error) = session.execute(&line) {
                prop_assert!(!error.to_string().is_empty());
            }
            Ok(())
        })?;
    }

    #[test]
    fn any_address_can_be_shown(address: u64) {
        thread_local! {
            static SESSION: std::cell::RefCell<Session> = std::cell::RefCell::new(session());
        }
        let line = format!("dt -r2 nt!_DRIVER_OBJECT {}", Va(address));
        let mut text = String::new();
        let result = SESSION.with_borrow_mut(|session| session.execute_to(&line, &mut text));
        prop_assert!(text.contains("DriverName"));
        if let Err(error) = result {
            prop_assert!(error.to_string().starts_with("Memory read error "), "{error}");
            prop_assert!(text.contains(": ?"), "{text}");
        }
    }
}
