//! PDBs whose types somebody broke: reading and listing them ends with a value or an error, never
//! with a panic, and never takes more than a listing's limits.

use poolhit::image::pdb::PdbFile;
use poolhit::image::types::{TypeError, TypeIndex, TypeStream};
use poolhit::report::typed::{LINE_LIMIT, ListingError, ListingOptions, write_type};
use poolhit::symbols::TypeTable;
use poolhit::symbols::types::{BASE_LIMIT, Shape, Type};
use poolhit::{Lab, Session};
use poolhit_fixtures::pdb_builder::PdbBuilder;
use poolhit_fixtures::prebuilt;
use poolhit_fixtures::type_builder::TypeBuilder;
use proptest::prelude::*;
use std::cell::RefCell;

/// A type stream with something of every kind.
fn types() -> TypeBuilder {
    let mut types = TypeBuilder::new();
    let node = types.forward_structure("_NODE");
    let link = types.pointer(node);
    let bits = types.bit_field(0x22, 4, 12);
    let routine = types.function(0x12);
    let routine = types.pointer(routine);
    let routines = types.array(routine, 64);
    let matrix = types.array(0x21, 8);
    let matrix = types.array(matrix, 64);
    let text = types.array(0x20, 15);
    let names = types
        .field_list()
        .enumerator("Zero", 0)
        .enumerator("Many", 1 << 40)
        .enumerator("Minus", -5)
        .finish();
    let kind = types.enumeration("_KIND", 0x74, names);
    let base = types.field_list().member("First", 0x23, 0).finish();
    let base = types.structure("_BASE", base, 8);
    let more = types.field_list().member("Text", text, 0x200).finish();
    let length = types
        .field_list()
        .member("Length", 0x21, 0)
        .member("MaximumLength", 0x21, 2)
        .member("Buffer", 0x671, 8)
        .finish();
    let string = types.structure("_UNICODE_STRING", length, 16);
    let members = types
        .field_list()
        .base(base, 0)
        .member("Flink", link, 8)
        .member("Blink", link, 16)
        .member("Bits", bits, 24)
        .member("Routines", routines, 32)
        .member("Matrix", matrix, 96)
        .member("Kind", kind, 0x100)
        .member("Name", string, 0x108)
        .continued(more)
        .finish();
    let node = types.structure("_NODE", members, 0x210);
    types.union("_EITHER", members, 0x210);
    let constant = types.constant(node);
    types.array(constant, 0x420);
    types
}

fn pdb(types: Vec<u8>) -> Vec<u8> {
    let mut pdb = PdbBuilder::new([7; 16], 1);
    pdb.section(0x1000, 0x1000)
        .types(types)
        .user_type("NODE", 0x1011)
        .typed_data("Head", 0x1011, 1, 0x10);
    pdb.build()
}

fn table(types: Vec<u8>) -> TypeTable {
    TypeTable::from_pdb(&PdbFile::parse(&pdb(types)).unwrap())
}

thread_local! {
    static SESSION: RefCell<Session> = RefCell::new(Session::new(Lab::builder().build().unwrap()));
}

fn list(ty: Type<'_>, at: bool, options: &ListingOptions) -> Result<String, ListingError> {
    SESSION.with_borrow(|session| {
        let at = at.then(|| session.resolve("nt!PsLoadedModuleList").unwrap());
        let mut text = String::new();
        write_type(&mut text, session, ty, at, options)?;
        assert!(text.lines().count() <= LINE_LIMIT);
        Ok(text)
    })
}

/// Looks at everything there is.
fn use_type(ty: Type<'_>) {
    let _ = (ty.size(), ty.shape());
    assert!(ty.name().len() < 1 << 20);
    assert!(ty.verbose_name().len() < 1 << 20 && ty.c_name().len() < 1 << 20);
    if let Ok(Shape::Structure(one)) = ty.shape()
        && let Ok(fields) = one.fields()
    {
        for field in fields.iter().take(100) {
            let _ = (field.name(), field.ty.name(), field.ty.size());
        }
    }
    if let Ok(Shape::Enumeration(one)) = ty.shape() {
        let _ = (one.enumerators(), one.name_of(1));
    }
    let plain = ListingOptions::default();
    let deep = ListingOptions {
        depth: 3,
        verbose: true,
        ..ListingOptions::default()
    };
    let blocks = ListingOptions {
        depth: 8,
        blocks: true,
        ..ListingOptions::default()
    };
    for options in [plain, deep, blocks] {
        for at in [false, true] {
            let _ = list(ty, at, &options);
        }
    }
}

fn use_table(table: &TypeTable) {
    for ty in table.matching("*").take(60) {
        use_type(ty);
    }
    for name in [
        "NODE",
        "_NODE",
        "_EITHER",
        "_POOL_HEADER",
        "_IRP",
        "PEPROCESS",
    ] {
        if let Ok(Some(ty)) = table.find(name) {
            use_type(ty);
        }
    }
    for name in ["Head", "PsLoadedModuleList"] {
        if let Some(variable) = table.variable(name) {
            use_type(variable.ty);
        }
    }
}

#[test]
fn the_whole_stream_is_read() {
    let table = table(types().build());
    use_table(&table);
    let node = table.find("NODE").unwrap().unwrap();
    let text = list(node, true, &ListingOptions::default()).unwrap();
    assert!(
        text.starts_with("   +0x000 First            : 0xfffff"),
        "{text}"
    );
    assert_eq!(text.lines().count(), 9, "{text}");
}

#[test]
fn every_cut_and_every_bit() {
    let stream = types().build();
    for end in 0..stream.len() {
        if let Ok(stream) = TypeStream::parse(stream[..end].to_vec()) {
            assert!(stream.is_empty());
        }
    }
    for at in 0..stream.len() {
        for bit in 0..8 {
            let mut broken = stream.clone();
            broken[at] ^= 1 << bit;
            let Ok(stream) = TypeStream::parse(broken) else {
                continue;
            };
            for index in stream.indices() {
                let _ = (stream.record(index), stream.members(index));
            }
        }
    }
}

/// Bases of bases, two each: 2^40 members if they were followed to their end.
#[test]
fn bases_do_not_multiply() {
    let mut types = TypeBuilder::new();
    let mut base = types.structure("Bottom", 0, 1);
    for _ in 0..40 {
        let list = types.field_list().base(base, 0).base(base, 8).finish();
        base = types.structure("Top", list, 16);
    }
    let table = table(types.build());
    // The last of them; those of one name are found from the first on.
    let mut sizes = table.matching("Top").map(|ty| match ty.shape().unwrap() {
        Shape::Structure(one) => one.fields().map(|fields| fields.len()),
        _ => panic!("a structure"),
    });
    assert_eq!(sizes.next(), Some(Ok(0)));
    let list = types.field_list().base(base, 0).finish();
    types.structure("All", list, 16);
    let table = self::table(types.build());
    let Shape::Structure(all) = table.find("All").unwrap().unwrap().shape().unwrap() else {
        panic!("a structure");
    };
    assert!(matches!(
        all.fields(),
        Err(TypeError::TooMany {
            limit: BASE_LIMIT,
            ..
        })
    ));
}

/// Structures of structures, sixteen each: a listing of 2^40 lines if it had no limit.
#[test]
fn listings_do_not_multiply() {
    let mut types = TypeBuilder::new();
    let mut inner = 0x20;
    for level in 0..10 {
        let mut list = types.field_list();
        for field in 0..16 {
            list.member(&format!("Field{field}"), inner, field);
        }
        let list = list.finish();
        inner = types.structure(&format!("Level{level}"), list, 16);
    }
    let table = table(types.build());
    let top = table.find("Level9").unwrap().unwrap();
    let deep = ListingOptions {
        depth: 32,
        ..ListingOptions::default()
    };
    for at in [false, true] {
        assert!(matches!(list(top, at, &deep), Err(ListingError::TooLong)));
    }
    let array = {
        types.array(0x20, u64::MAX);
        let big = types.array(inner, u64::MAX);
        let list = types.field_list().member("Big", big, u64::MAX).finish();
        types.structure("Huge", list, u64::MAX);
        self::table(types.build())
    };
    let huge = array.find("Huge").unwrap().unwrap();
    let elements = ListingOptions {
        elements: Some(u64::MAX),
        ..ListingOptions::default()
    };
    assert!(matches!(
        list(huge, true, &elements),
        Err(ListingError::TooLong)
    ));
    assert!(list(huge, true, &ListingOptions::default()).is_ok());
}

#[test]
fn indices_that_do_not_exist() {
    let mut types = TypeBuilder::new();
    let list = types
        .field_list()
        .member("Gone", 0x5000, 0)
        .member("Last", u32::MAX, 8)
        .finish();
    types.structure("_X", list, 16);
    let table = table(types.build());
    let text = list_x(&table);
    assert_eq!(
        text,
        "   +0x000 Gone             : <unknown base type>\n   \
         +0x008 Last             : <unknown base type>\n"
    );
    let stream = TypeStream::parse(types.build()).unwrap();
    for index in [0, 0xfff, 0x1002, u32::MAX] {
        let error = stream.record(TypeIndex(index)).unwrap_err();
        assert_eq!(error, TypeError::NoRecord(TypeIndex(index)));
    }
}

fn list_x(table: &TypeTable) -> String {
    let ty = table.find("_X").unwrap().unwrap();
    list(ty, false, &ListingOptions::default()).unwrap()
}

/// Where the types are in the kernel's PDB: its stream begins with a version and a header's size.
fn kernel_types() -> usize {
    let header = [20040203u32.to_le_bytes(), 56u32.to_le_bytes()].concat();
    let mut windows = prebuilt::KERNEL_PDB.bytes.windows(8);
    windows.position(|window| window == header).unwrap()
}

#[derive(Clone, Debug)]
enum Damage {
    Bit(prop::sample::Index, u8),
    Half(prop::sample::Index, u16),
    Word(prop::sample::Index, u32),
}

fn damages() -> impl Strategy<Value = Vec<Damage>> {
    let half = prop_oneof![
        prop::sample::select(vec![
            0, 2, 0xffff, 0x8000, 0x8005, 0x1203, 0x1505, 0x1404, 0x150d
        ]),
        any::<u16>(),
    ];
    let word = prop_oneof![0x1000u32..0x1200, 0u32..0x700, any::<u32>()];
    let one = prop_oneof![
        (any::<prop::sample::Index>(), 0u8..8).prop_map(|(at, bit)| Damage::Bit(at, bit)),
        (any::<prop::sample::Index>(), half).prop_map(|(at, half)| Damage::Half(at, half)),
        (any::<prop::sample::Index>(), word).prop_map(|(at, word)| Damage::Word(at, word)),
    ];
    prop::collection::vec(one, 1..6)
}

fn apply(bytes: &mut [u8], damages: &[Damage]) {
    let put = |bytes: &mut [u8], at: usize, value: &[u8]| {
        let end = bytes.len().min(at + value.len());
        bytes[at..end].copy_from_slice(&value[..end - at]);
    };
    for damage in damages {
        match damage {
            Damage::Bit(at, bit) => bytes[at.index(bytes.len())] ^= 1 << bit,
            Damage::Half(at, half) => put(bytes, at.index(bytes.len()) & !1, &half.to_le_bytes()),
            Damage::Word(at, word) => put(bytes, at.index(bytes.len()) & !3, &word.to_le_bytes()),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn broken_streams(damages in damages()) {
        let mut stream = types().build();
        apply(&mut stream, &damages);
        use_table(&table(stream));
    }

    #[test]
    fn random_streams(records in prop::collection::vec(any::<u8>(), 0..400)) {
        let mut stream = TypeBuilder::new().build();
        stream[16..20].copy_from_slice(&(records.len() as u32).to_le_bytes());
        stream.extend(records);
        use_table(&table(stream));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn a_broken_kernels_pdb(damages in damages(), anywhere in damages(), cut in any::<prop::sample::Index>()) {
        let start = kernel_types();
        let mut bytes = prebuilt::KERNEL_PDB.bytes.to_vec();
        apply(&mut bytes[start..start + 0x4000], &damages);
        use_table(&TypeTable::from_pdb(&PdbFile::parse(&bytes).unwrap()));
        apply(&mut bytes, &anywhere);
        if let Ok(pdb) = PdbFile::parse(&bytes) {
            use_table(&TypeTable::from_pdb(&pdb));
        }
        bytes.truncate(cut.index(bytes.len()));
        if let Ok(pdb) = PdbFile::parse(&bytes) {
            use_table(&TypeTable::from_pdb(&pdb));
        }
    }
}
