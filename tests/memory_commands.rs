//! Memory, registers and symbols: what transcripts cannot show. Bounds, what an error leaves as it was,
//! symbol files found on a path, and any line of these commands.

use poolhit::address::{Pa, Va};
use poolhit::debugger::range::AddressRange;
use poolhit::debugger::register_name::Register;
use poolhit::guest::{ImageFile, SymbolPath};
use poolhit::memory::ReadMemory;
use poolhit::registers::Gpr;
use poolhit::symbols::SymbolSource;
use poolhit::{Lab, Session};
use poolhit_fixtures::prebuilt::{LEAKY, LEAKY_PDB};
use proptest::prelude::*;
use std::fs;

/// A session with less memory than usual, since its state is hashed often.
fn session() -> Session {
    let mut session = Session::new(Lab::builder().memory(16 << 20).build().unwrap());
    session.set_budget(20_000);
    session
}

fn value(session: &mut Session, expression: &str) -> u64 {
    let text = session.execute(&format!("? {expression}")).unwrap();
    let digits = text.rsplit(" = ").next().unwrap().trim().replace('`', "");
    u64::from_str_radix(&digits, 16).unwrap()
}

#[test]
fn physical_memory_is_what_virtual_memory_is_made_of() {
    let mut session = session();
    let tag = session.resolve("nt!PoolHitTag").unwrap();
    let machine = session.lab().machine();
    let physical = machine.translation(tag).unwrap().physical;
    let mut bytes = [0; 4];
    machine.read_physical(physical, &mut bytes).unwrap();
    assert_eq!(bytes, 0xffffff0f_u32.to_le_bytes());
    assert_eq!(
        value(&mut session, &format!("$pdwo({physical})")),
        0xffffff0f
    );
    session
        .execute(&format!("fp {physical} l4 'L' 'e' 'a' '2'"))
        .unwrap();
    assert_eq!(session.lab().machine().read_u32(tag), Ok(0x3261654c));
    let walk = session.execute("!vtop 0 nt!PoolHitTag").unwrap();
    assert!(
        walk.ends_with(&format!("translates to physical address {physical}.\n")),
        "{walk}"
    );
    // page tables that are written are looked at anew: the page is the driver's first, now
    let driver = session.resolve("myfault").unwrap();
    let machine = session.lab().machine();
    let entry = |at| {
        *machine
            .page_table_entries(machine.page_directory(), at)
            .last()
            .unwrap()
    };
    let (ours, theirs) = (entry(tag), entry(driver));
    let value = theirs.value.to_le_bytes();
    session.lab_write_physical(ours.physical, &value);
    let page = Va(tag.0 & !0xfff);
    assert_eq!(session.lab().machine().read_u16(page), Ok(0x5a4d));
}

/// Labs are a session's own; a command writes for it.
trait WritePhysical {
    fn lab_write_physical(&mut self, at: Pa, bytes: &[u8]);
}

impl WritePhysical for Session {
    fn lab_write_physical(&mut self, at: Pa, bytes: &[u8]) {
        let values: Vec<String> = bytes.iter().map(|byte| format!("{byte:x}")).collect();
        let line = format!("fp {at} l{:x} {}", bytes.len(), values.join(" "));
        self.execute(&line).unwrap();
    }
}

#[test]
fn the_machine_takes_registers_on_with_it() {
    let mut session = session();
    let close = session.resolve("nt!NtClose").unwrap();
    session
        .execute("r $t0=@rsp; r rip=nt!NtClose, r12=1234, zf=1, cf=1")
        .unwrap();
    assert_eq!(session.registers().rip(), close);
    assert_eq!(session.registers().get(Gpr::R12), 0x1234);
    assert_eq!(session.registers().rflags & 0x41, 0x41);
    assert_eq!(session.value_of("$t0"), Some(session.registers().rsp().0));
    session.execute("r r12d=ffffffff").unwrap();
    assert_eq!(session.registers().get(Gpr::R12), 0xffff_ffff);
    session.execute("r cf=0, r12w=0").unwrap();
    assert_eq!(session.registers().get(Gpr::R12), 0xffff_0000);
    let before = session.lab().machine().state_hash();
    for line in [
        "r rax=1, rbx=2, $t0=3, cs=1",
        "r rax=1, mxcsr=1, al=100",
        "r zf=1, zf=2",
        "r rax=1 rbx=2",
        "wrmsr c0000101 8000000000000000",
        "rm 2; r mxcsr=0, nothing",
    ] {
        assert!(session.execute(line).is_err(), "{line}");
        assert_eq!(session.lab().machine().state_hash(), before, "{line}");
        assert_eq!(session.value_of("$t0"), Some(session.registers().rsp().0));
    }
    // vector control is a register like any other
    session.execute("r mxcsr=1fa0").unwrap();
    assert_eq!(session.read_register(Register::VectorControl), 0x1fa0);
}

#[test]
fn cr8_is_the_level_that_the_kernel_says() {
    let mut lab = Lab::builder().memory(16 << 20).build().unwrap();
    lab.call_kernel("KfRaiseIrql", &[2]).unwrap();
    let session = Session::new(lab);
    assert_eq!(session.read_register(Register::Control(8)), 2);
}

#[test]
fn a_list_may_be_a_loop_of_another_kind() {
    let mut session = session();
    let at = session.resolve("myfault").unwrap().wrapping_add(0x1400);
    // a, b, c, b, c, …
    for (place, next) in [(0, 0x10), (0x10, 0x20), (0x20, 0x10u64)] {
        let next = at.wrapping_add(next).0.to_le_bytes();
        session.write(at.wrapping_add(place), &next).unwrap();
    }
    let entries = session.linked_list(at, 1000, false).unwrap().0;
    assert_eq!(entries, [at, at.wrapping_add(0x10), at.wrapping_add(0x20)]);
    let text = session.execute(&format!("dl {at} 20 1")).unwrap();
    assert_eq!(text.lines().count(), 3);
}

#[test]
fn ranges_that_are_too_long_are_refused_at_once() {
    let mut session = session();
    for line in [
        "f nt L?7fffffffffff 1",
        "m nt L?7fffffffffff 0",
        "c nt L?7fffffffffff nt",
        "db nt L?7fffffffffff",
        "dps nt L?7fffffff",
        "dyd nt L?7fffffff",
        "da nt L?7fffffff",
        "dl nt!PsLoadedModuleList ffffffffffffffff",
        "dl nt!PsLoadedModuleList 1 ffffffffffffffff",
        "db /cffffffff nt",
    ] {
        let error = session.execute(line).unwrap_err().to_string();
        assert!(error.starts_with("^ Range error"), "{line}: {error}");
    }
}

#[test]
fn the_places_of_a_search_are_kept_for_the_next() {
    let mut session = session();
    let at = session.resolve("myfault").unwrap().wrapping_add(0x1400);
    session.write(at, b"Xyz1Xyz2Xyz3").unwrap();
    let range = format!("{at} l100");
    let places = |text: String| text.lines().count();
    assert_eq!(
        places(session.execute(&format!("s -[s]a {range} Xyz")).unwrap()),
        3
    );
    session.execute(&format!("eb {at} 0")).unwrap();
    // the range means nothing now
    assert_eq!(places(session.execute("s -[r]a 0 l1 Xyz").unwrap()), 2);
    assert_eq!(places(session.execute("s -[1r]a 0 l1 Xyz").unwrap()), 2);
    let mut text = String::new();
    let error = session
        .execute_to(&format!("s -[sn1]a {range} Xyz"), &mut text)
        .unwrap_err();
    assert!(error.to_string().starts_with("^ Overflow error"), "{error}");
    assert_eq!(places(session.execute("s -[r]a 0 l1 Xyz").unwrap()), 1);
    assert!(session.execute(&format!("s -[sr]a {range} Xyz")).is_err());
    // code may not be written
    let code = session.resolve("nt!NtClose").unwrap();
    assert_eq!(
        places(
            session
                .execute(&format!("s -b {code} l1 {:x}", byte(&session, code)))
                .unwrap()
        ),
        1
    );
    let line = format!("s -[w]b {code} l1 {:x}", byte(&session, code));
    assert_eq!(session.execute(&line).unwrap(), "");
    let strings = session.execute("s -[l10]sa nt l100").unwrap();
    assert!(
        strings.contains("\"!This program cannot be run in D\"\n"),
        "{strings}"
    );
    assert!(
        session
            .execute("s -[1l10]sa nt l100")
            .unwrap()
            .starts_with("0x")
    );
    session.execute(&format!("eu {at} \"wide text\"")).unwrap();
    let strings = session.execute(&format!("s -[l9]su {at} l20")).unwrap();
    assert_eq!(strings, format!("{at}  \"wide text\"\n"));
}

fn byte(session: &Session, at: Va) -> u8 {
    session.lab().machine().read_u8(at).unwrap()
}

/// A driver without a PDB gets the one that lies in a symbol store.
#[test]
fn symbols_are_found_on_the_path() {
    let folder = tempfile::tempdir().unwrap();
    let driver = ImageFile::parse(LEAKY.name, LEAKY.bytes, None).unwrap();
    let path = format!("srv*{}", folder.path().display());
    let place = SymbolPath::new(&path).places(&driver.image).remove(0);
    let lab = Lab::builder()
        .driver(driver)
        .memory(16 << 20)
        .build()
        .unwrap();
    let mut session = Session::new(lab);
    let source = |session: &Session| session.modules().by_name("leaky").unwrap().symbol_source();
    let path = format!(".sympath {path}");
    session.execute(&path).unwrap();
    session.execute(".reload").unwrap();
    assert_eq!(source(&session), SymbolSource::None);
    fs::create_dir_all(place.parent().unwrap()).unwrap();
    fs::write(&place, LEAKY_PDB.bytes).unwrap();
    assert_eq!(
        source(&session),
        SymbolSource::None,
        "nothing is looked for before .reload"
    );
    session.execute(".reload /f leaky.sys").unwrap();
    assert_eq!(source(&session), SymbolSource::PrivatePdb);
    let found = session.execute("x leaky!Copy*").unwrap();
    assert!(
        found.contains("leaky!CopyInput (struct _LEAKY_INPUT *)"),
        "{found}"
    );
    let copy = value(&mut session, "leaky!CopyInput");
    let listed = session.execute("ln leaky!CopyInput").unwrap();
    assert!(
        listed.contains("Exact matches:\n    leaky!CopyInput"),
        "{listed}"
    );
    // and they stay when the guest goes on
    session.set_budget(1 << 31);
    session.go().unwrap();
    assert_eq!(session.resolve("leaky!CopyInput"), Some(Va(copy)));
}

#[test]
fn differences_are_found_across_pages() {
    let mut session = session();
    let nt = session.resolve("nt").unwrap();
    let range = AddressRange {
        start: nt,
        bytes: 0x3000,
    };
    assert_eq!(session.compare_memory(range, nt, 10), Ok(vec![]));
    let at = session.resolve("myfault").unwrap().wrapping_add(0x1ffe);
    session
        .execute(&format!("f {at} l4 1 2 3 4; m {at} l4 {at}-10"))
        .unwrap();
    session.execute(&format!("eb {at}+1 7 7")).unwrap();
    let range = AddressRange {
        start: at,
        bytes: 4,
    };
    let found = session
        .compare_memory(range, at.wrapping_sub(0x10), 10)
        .unwrap();
    let bytes: Vec<_> = found.iter().map(|one| one.bytes).collect();
    assert_eq!(bytes, [[7, 2], [7, 3]]);
    assert_eq!(found[0].first, at.wrapping_add(1));
}

/// Words that lines of these commands are made of.
const WORDS: [&str; 74] = [
    "d",
    "da",
    "du",
    "ds",
    "dS",
    "dw",
    "dW",
    "dp",
    "df",
    "dD",
    "dyb",
    "dyd",
    "dl",
    "dlb",
    "dps",
    "dpp",
    "dpa",
    "ddu",
    "f",
    "fp",
    "m",
    "c",
    "s",
    "eD",
    "ef",
    "!pte",
    "!vtop",
    "r",
    "rM",
    "rX",
    "rm",
    "rdmsr",
    "wrmsr",
    "n",
    "x",
    "ln",
    "lm",
    "lmv",
    ".sympath",
    ".sympath+",
    ".reload",
    "vertarget",
    "?",
    "-[1l4]sa",
    "-[s]d",
    "-[r]b",
    "-su",
    "/c2",
    "/p",
    "/v",
    "l4",
    "L?",
    "l-2",
    "nt!PoolHitTag",
    "myfault+1400",
    "@rsp",
    "zf",
    "$t0",
    "$t1",
    "=",
    ",",
    ":",
    "uw",
    "ub",
    "1",
    "10",
    "ffffffffffffffff",
    "c0000082",
    "\"text\"",
    "'ab'",
    "$scmp(\"a\",\"b\")",
    "nt!Ex*",
    "m",
    "1.5",
];

fn line() -> impl Strategy<Value = String> {
    let word = prop::sample::select(WORDS.to_vec());
    let words = prop::collection::vec(word.clone(), 1..7);
    let noise = prop::collection::vec(any::<u8>(), 0..20);
    prop_oneof![
        5 => words.prop_map(|words| words.join(" ")),
        1 => prop::collection::vec(word.clone(), 1..6).prop_map(|words| words.concat()),
        1 => (word, noise).prop_map(|(word, noise)| format!("{word}{}", String::from_utf8_lossy(&noise))),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    /// Whatever is typed is answered, and a command that fails has changed nothing.
    #[test]
    fn any_line_is_answered(lines in prop::collection::vec(line(), 1..12)) {
        let mut session = session();
        let mut known = None;
        for line in lines {
            if line.contains(';') {
                continue;
            }
            let before = known.unwrap_or_else(|| session.lab().machine().state_hash());
            known = match session.execute(&line) {
                Ok(_) => None,
                Err(error) => {
                    prop_assert!(!error.below_prompt(7).is_empty());
                    prop_assert_eq!(session.lab().machine().state_hash(), before, "{}", line);
                    Some(before)
                }
            };
        }
    }
}

/// What is written to a file and read from it again is the same; what fails changes neither.
#[test]
fn memory_goes_into_files_and_back() {
    let mut session = Session::new(Lab::builder().build().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("memory.bin");
    let name = path.display();
    let mut before = vec![0; 0x1801];
    let start = session.resolve("nt").unwrap();
    session.lab().machine().read(start, &mut before).unwrap();
    session
        .execute(&format!(".writemem {name} nt l1801"))
        .unwrap();
    assert_eq!(fs::read(&path).unwrap(), before);
    let changed: Vec<u8> = before.iter().map(|byte| !byte).collect();
    fs::write(&path, &changed).unwrap();
    session
        .execute(&format!(".readmem {name} nt!PoolHitTag l4"))
        .unwrap();
    let mut tag = [0; 4];
    let at = session.resolve("nt!PoolHitTag").unwrap();
    session.lab().machine().read(at, &mut tag).unwrap();
    assert_eq!(tag, changed[..4]);
    let digest = session.digest();
    let end = session.modules().by_name("nt").unwrap().end();
    let last = end.wrapping_sub(0x1000);
    for line in [
        format!(".readmem {name} {last} l1801"),
        format!(".readmem {name} nt l1802"),
        format!(".readmem {name} 0 l4"),
        format!(".writemem {name} 0 l4"),
        format!(".writemem {name} nt L?10000001"),
        format!(".readmem {} nt l4", folder.path().display()),
    ] {
        session.execute(&line).unwrap_err();
        assert_eq!(session.digest(), digest, "{line}");
        assert_eq!(fs::read(&path).unwrap(), changed, "{line}");
    }
}
