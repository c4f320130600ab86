//! What each kind of record means, in PDBs made for it.

use poolhit::address::Rva;
use poolhit::image::locals::LocalPlace;
use poolhit::image::pdb::PdbFile;
use poolhit::symbols::TypeTable;
use poolhit_fixtures::pdb_builder::{PdbBuilder, symbol};
use poolhit_fixtures::type_builder::TypeBuilder;

const GPROC32: u16 = 0x1110;
const LPROC32_ID: u16 = 0x1146;
const END: u16 = 6;
const FRAMEPROC: u16 = 0x1012;
const BLOCK32: u16 = 0x1103;
const LOCAL: u16 = 0x113e;
const IN_REGISTER: u16 = 0x1141;
const IN_FRAME: u16 = 0x1142;
const IN_FRAME_ALWAYS: u16 = 0x1144;
const BY_REGISTER: u16 = 0x1145;
const INLINE: u16 = 0x114d;
const INLINE_END: u16 = 0x114e;

const RSP: u16 = 335;
const RBP: u16 = 334;
const R13: u16 = 341;
const RCX: u16 = 330;

fn words(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

fn halves(halves: &[u16]) -> Vec<u8> {
    halves.iter().flat_map(|half| half.to_le_bytes()).collect()
}

pub fn procedure(kind: u16, offset: u32, length: u32, ty: u32) -> Vec<u8> {
    let mut body = words(&[0, 0, 0, length, 0, 0, ty, offset]);
    body.extend([1, 0, 0]);
    symbol(kind, &body, "F")
}

/// `S_FRAMEPROC` with the registers that variables and parameters are told from.
fn frame(locals: u32, parameters: u32) -> Vec<u8> {
    let mut body = words(&[0x40, 0, 0, 0, 0]);
    body.extend(halves(&[0]));
    body.extend(words(&[locals << 14 | parameters << 16]));
    // without the name that other records have
    symbol(FRAMEPROC, &body, "")
}

pub fn local(name: &str, flags: u16) -> Vec<u8> {
    let mut body = words(&[0x22]);
    body.extend(halves(&[flags]));
    symbol(LOCAL, &body, name)
}

/// A range from an offset in section 1 on, and gaps in it.
fn range(start: u32, length: u16, gaps: &[(u16, u16)]) -> Vec<u8> {
    let mut out = words(&[start]);
    out.extend(halves(&[1, length]));
    for (at, length) in gaps {
        out.extend(halves(&[*at, *length]));
    }
    out
}

/// Such a record has no name: what `symbol` puts there is a gap of nothing.
fn place(kind: u16, head: &[u8], range: &[u8]) -> Vec<u8> {
    symbol(kind, &[head, range, &[0; 3]].concat(), "")
}

fn in_register(register: u16, start: u32, length: u16, gaps: &[(u16, u16)]) -> Vec<u8> {
    place(
        IN_REGISTER,
        &halves(&[register, 0]),
        &range(start, length, gaps),
    )
}

fn end(kind: u16) -> Vec<u8> {
    symbol(kind, &[], "")
}

pub fn pdb(records: &[Vec<u8>]) -> Vec<u8> {
    let mut builder = PdbBuilder::new([7; 16], 1);
    let mut types = TypeBuilder::new();
    let routine = types.function(0x12);
    assert_eq!(routine, 0x1000, "the one that `procedure` is given");
    builder.section(0x1000, 0x1000).types(types.build());
    builder.symbols(records).build()
}

/// Name, whether it is a parameter, and the place, of all that is in scope.
fn found(records: &[Vec<u8>], at: u32) -> Vec<(String, bool, Option<LocalPlace>)> {
    let types = TypeTable::from_pdb(&PdbFile::parse(&pdb(records)).unwrap());
    let Some(procedure) = types.procedure(Rva(at)) else {
        return Vec::new();
    };
    let locals = procedure.locals(Rva(at)).into_iter();
    locals
        .map(|one| (one.name, one.is_parameter, one.place))
        .collect()
}

fn places(records: &[Vec<u8>], at: u32) -> Vec<Option<LocalPlace>> {
    let found = found(records, at).into_iter();
    found.map(|(_, _, place)| place).collect()
}

#[test]
fn registers_for_a_while() {
    let records = [
        procedure(GPROC32, 0x10, 0x40, 0),
        local("A", 1),
        in_register(RCX, 0x10, 0x10, &[(4, 4)]),
        in_register(RBP, 0x20, 0x10, &[]),
        local("B", 0x100),
        end(END),
    ];
    let register = |number| Some(LocalPlace::Register(number));
    for (at, place) in [
        (0x1010, register(RCX)),
        (0x1013, register(RCX)),
        (0x1014, None),
        (0x1017, None),
        (0x1018, register(RCX)),
        (0x101f, register(RCX)),
        (0x1020, register(RBP)),
        (0x1030, None),
    ] {
        assert_eq!(places(&records, at), [place, None], "{at:x}");
    }
    assert_eq!(found(&records, 0x100f), []);
    assert_eq!(found(&records, 0x1050), []);
    let names = found(&records, 0x104f);
    assert_eq!((names[0].0.as_str(), names[0].1), ("A", true));
    assert_eq!((names[1].0.as_str(), names[1].1), ("B", false));
}

#[test]
fn frames_have_a_register_for_parameters_and_one_for_the_rest() {
    let offset = |value: i32| value.to_le_bytes();
    for (locals, parameters, expected) in [
        (1, 2, [Some(RBP), Some(RSP)]),
        (3, 1, [Some(RSP), Some(R13)]),
        (0, 0, [None, None]),
    ] {
        let records = [
            procedure(LPROC32_ID, 0, 0x40, 0),
            frame(locals, parameters),
            local("A", 1),
            place(IN_FRAME, &offset(-8), &range(0, 0x40, &[])),
            local("B", 0),
            place(IN_FRAME_ALWAYS, &offset(0x30), &[]),
            end(END),
        ];
        let offsets = [-8, 0x30];
        let expected: Vec<_> = (expected.iter().zip(offsets))
            .map(|(base, offset)| base.map(|base| LocalPlace::Memory { base, offset }))
            .collect();
        assert_eq!(places(&records, 0x1020), expected);
    }
}

#[test]
fn memory_by_a_register_but_not_a_piece_of_a_variable() {
    let by = |flags: u16| {
        let head = [&halves(&[RCX, flags])[..], &8_i32.to_le_bytes()].concat();
        let records = [
            procedure(GPROC32, 0, 0x40, 0),
            local("A", 0),
            place(BY_REGISTER, &head, &range(0, 0x40, &[])),
            end(END),
        ];
        places(&records, 0x1000)[0]
    };
    let (base, offset) = (RCX, 8);
    assert_eq!(by(0), Some(LocalPlace::Memory { base, offset }));
    assert_eq!(by(1), None);
    assert_eq!(by(0x40), None);
}

#[test]
fn older_records_by_what_the_procedure_takes() {
    let relative = |name: &str, at: i32| {
        let mut body = at.to_le_bytes().to_vec();
        body.extend(words(&[0x22]));
        body.extend(halves(&[RSP]));
        symbol(0x1111, &body, name)
    };
    let mut by_frame = (-4_i32).to_le_bytes().to_vec();
    by_frame.extend(words(&[0x22]));
    let mut in_register = words(&[0x22]);
    in_register.extend(halves(&[RCX]));
    let records = [
        procedure(GPROC32, 0, 0x40, 0),
        relative("A", 0x20),
        symbol(0x110b, &by_frame, "B"),
        symbol(0x1106, &in_register, "C"),
        // about no variable that it could be about
        super::records::in_register(RBP, 0, 0x40, &[]),
        end(END),
    ];
    let memory = |base, offset| Some(LocalPlace::Memory { base, offset });
    let register = Some(LocalPlace::Register(RCX));
    assert_eq!(
        places(&records, 0x1000),
        [memory(RSP, 0x20), memory(RBP, -4), register]
    );
    // by count of parameters
    let parsed = PdbFile::parse(&pdb(&records)).unwrap();
    let locals = parsed.locals().unwrap();
    let procedure = &locals.procedures()[0];
    for count in 0..4 {
        let all = locals.locals(procedure, Rva(0x1000), count);
        let parameters = all.iter().filter(|one| one.is_parameter).count();
        assert_eq!(parameters, usize::from(count.min(3)));
    }
}

#[test]
fn scopes_inside() {
    let block = |start: u32, length: u32| {
        let mut body = words(&[0, 0, length, start]);
        body.extend(halves(&[1]));
        symbol(BLOCK32, &body, "")
    };
    let records = [
        procedure(GPROC32, 0, 0x40, 0),
        local("A", 0),
        block(0x10, 0x10),
        local("B", 0),
        block(0x18, 4),
        local("C", 0),
        end(END),
        end(END),
        symbol(INLINE, &words(&[0, 0, 0x1000]), ""),
        local("D", 1),
        block(0, 0x40),
        local("E", 0),
        end(END),
        end(INLINE_END),
        local("F", 0),
        end(END),
        // of no procedure
        local("G", 0),
        procedure(GPROC32, 0x40, 0x10, 0),
        local("H", 0),
        end(END),
    ];
    let names = |at| {
        let found = found(&records, at).into_iter();
        found.map(|(name, ..)| name).collect::<String>()
    };
    assert_eq!(names(0x1000), "AF");
    assert_eq!(names(0x1010), "ABF");
    assert_eq!(names(0x1018), "ABCF");
    assert_eq!(names(0x101c), "ABF");
    assert_eq!(names(0x1020), "AF");
    assert_eq!(names(0x1040), "H");
    assert_eq!(names(0x1050), "");
}
