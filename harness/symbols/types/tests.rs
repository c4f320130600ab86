use super::*;
use crate::image::types::{Basic, TypeStream};
use poolhit_fixtures::pdb_builder::PdbBuilder;
use poolhit_fixtures::prebuilt;
use poolhit_fixtures::type_builder::TypeBuilder;

fn table(types: &TypeBuilder) -> TypeTable {
    TypeTable {
        stream: Some(Arc::new(TypeStream::parse(types.build()).unwrap())),
        ..TypeTable::default()
    }
}

fn structure<'t>(table: &'t TypeTable, name: &str) -> Structure<'t> {
    match table.find(name).unwrap().unwrap().shape().unwrap() {
        Shape::Structure(one) => one,
        other => panic!("{name} is {other:?}"),
    }
}

#[track_caller]
fn check_fields(table: &TypeTable, name: &str, expected: &[(u64, &str, &str)]) {
    let fields = structure(table, name).fields().unwrap();
    let found: Vec<_> = fields
        .iter()
        .map(|field| (field.offset, field.name(), field.ty.name()))
        .collect();
    let found: Vec<_> = found
        .iter()
        .map(|(offset, name, ty)| (*offset, name.as_str(), ty.as_str()))
        .collect();
    assert_eq!(found, expected, "{name}");
}

#[test]
fn every_kind_of_member() {
    let mut types = TypeBuilder::new();
    let process = types.forward_structure("_EPROCESS");
    let process = types.pointer(process);
    let low = types.bit_field(0x22, 0, 8);
    let bit = types.bit_field(0x22, 31, 1);
    let routine = types.function(0x12);
    let routine = types.pointer(routine);
    let routines = types.array(routine, 28 * 8);
    let inner = types.array(0x21, 6);
    let matrix = types.array(inner, 12);
    let names = types
        .field_list()
        .enumerator("NonPagedPool", 0)
        .enumerator("PagedPool", 1)
        .enumerator("MaxPoolType", -1)
        .finish();
    let pool_type = types.enumeration("_POOL_TYPE", 0x74, names);
    let count = types.constant(0x22);
    let fields = types
        .field_list()
        .member("Count", count, 0)
        .member("Low", low, 4)
        .member("Bit", bit, 4)
        .member("Process", process, 8)
        .member("Routines", routines, 16)
        .member("Matrix", matrix, 240)
        .member("Type", pool_type, 252)
        .member("Name", 0x671, 256)
        .finish();
    types.structure("_ALL", fields, 264);
    let table = table(&types);
    check_fields(
        &table,
        "_ALL",
        &[
            (0, "Count", "Uint4B"),
            (4, "Low", "Pos 0, 8 Bits"),
            (4, "Bit", "Pos 31, 1 Bit"),
            (8, "Process", "Ptr64 _EPROCESS"),
            (16, "Routines", "[28] Ptr64     long "),
            (240, "Matrix", "[2] [3] Uint2B"),
            (252, "Type", "_POOL_TYPE"),
            (256, "Name", "Ptr64 Wchar"),
        ],
    );
    let all = structure(&table, "_all");
    let size = |name| all.field(name).unwrap().unwrap().ty.size().unwrap();
    assert_eq!(
        (size("routines"), size("Matrix"), size("Type")),
        (224, 12, 4)
    );
    let Shape::Enumeration(pool) = table.find("_POOL_TYPE").unwrap().unwrap().shape().unwrap()
    else {
        panic!("an enumeration");
    };
    assert_eq!(pool.name_of(1).unwrap().as_deref(), Some("PagedPool"));
    assert_eq!(
        pool.name_of(0xffff_ffff).unwrap().as_deref(),
        Some("MaxPoolType")
    );
    assert_eq!(pool.name_of(2).unwrap(), None);
}

#[test]
fn forward_references_find_their_definition() {
    let mut types = TypeBuilder::new();
    let reference = types.forward_structure("_NODE");
    let link = types.pointer(reference);
    let lower = types.field_list().member("other", 0x20, 0).finish();
    types.structure("_node", lower, 1);
    let union = types.field_list().member("wrong", 0x20, 0).finish();
    types.union("_NODE", union, 1);
    let fields = types.field_list().member("Next", link, 0).finish();
    types.structure("_NODE", fields, 8);
    types.forward_structure("_NOWHERE");
    let table = table(&types);
    let Shape::Pointer { target, size: 8 } = table.get(TypeIndex(link)).shape().unwrap() else {
        panic!("a pointer");
    };
    let Shape::Structure(node) = target.shape().unwrap() else {
        panic!("a structure");
    };
    assert!(node.is_defined);
    assert_eq!(node.fields().unwrap()[0].name(), "Next");
    assert_eq!(
        structure(&table, "_node").fields().unwrap()[0].name(),
        "other"
    );
    assert!(table.find("_NOWHERE").unwrap().is_none());
    let nowhere = table.get(TypeIndex(types.next_index() - 1));
    assert_eq!(
        (nowhere.name().as_str(), nowhere.size()),
        ("_NOWHERE", Ok(0))
    );
}

#[test]
fn members_of_base_classes_and_continued_lists() {
    let mut types = TypeBuilder::new();
    let base = types.field_list().member("First", 0x22, 0).finish();
    let base = types.structure("Base", base, 4);
    let more = types.field_list().member("Last", 0x22, 12).finish();
    let method = [&[3, 0][..], &[0x74, 0, 0, 0], b"Run\0"].concat();
    let introduced = [&[0x13, 0][..], &[0x74, 0, 0, 0], &[8, 0, 0, 0], b"New\0"].concat();
    let nested = [&[0, 0][..], &[0x74, 0, 0, 0], b"Inner\0"].concat();
    let fields = types
        .field_list()
        .base(base, 4)
        .raw(0x1511, &method)
        .raw(0x1511, &introduced)
        .raw(0x1510, &nested)
        .raw(0x150e, &method)
        .member("Middle", 0x22, 8)
        .continued(more)
        .finish();
    types.structure("Derived", fields, 16);
    check_fields(
        &table(&types),
        "Derived",
        &[
            (4, "First", "Uint4B"),
            (8, "Middle", "Uint4B"),
            (12, "Last", "Uint4B"),
        ],
    );
}

/// Types inside each other without end, as no compiler writes them.
#[test]
fn nothing_is_followed_without_end() {
    let mut types = TypeBuilder::new();
    let itself = types.next_index();
    types.array(itself, 8);
    let modifier = types.next_index();
    types.constant(modifier);
    let bits = types.next_index();
    types.bit_field(bits, 0, 1);
    let list = types.next_index();
    types.field_list().continued(list).finish();
    types.structure("Continued", list, 8);
    let class = types.next_index() + 1;
    let bases = types.field_list().base(class, 0).base(class, 0).finish();
    types.structure("Own base", bases, 8);
    let pointer = types.next_index();
    types.pointer(pointer);
    let table = table(&types);
    let get = |index| table.get(TypeIndex(index));
    assert!(matches!(
        get(modifier).shape(),
        Err(TypeError::TooDeep { .. })
    ));
    assert!(matches!(get(bits).size(), Err(TypeError::TooDeep { .. })));
    for name in ["Continued", "Own base"] {
        let error = structure(&table, name).fields().unwrap_err();
        assert!(matches!(error, TypeError::TooMany { .. }), "{error}");
    }
    assert!(get(itself).name().len() < 1000);
    assert!(get(pointer).name().ends_with("<unknown base type>"));
    assert!(get(pointer).c_name().ends_with('*'));
}

#[test]
fn typedefs_and_variables() {
    let mut types = TypeBuilder::new();
    let fields = types.field_list().member("Flink", 0x603, 0).finish();
    let list = types.structure("_LIST_ENTRY", fields, 16);
    let mut pdb = PdbBuilder::new([7; 16], 1);
    pdb.section(0x1000, 0x1000)
        .types(types.build())
        .user_type("LIST_ENTRY", list)
        .user_type("_list_entry", 0x22)
        .typed_data("Head", list, 1, 8)
        .data("Count", 1, 16)
        .public("Nothing", 1, 24, false);
    let table = TypeTable::from_pdb(&PdbFile::parse(&pdb.build()).unwrap());
    let name = |name: &str| table.find(name).unwrap().map(|ty| ty.name());
    assert_eq!(name("list_entry").as_deref(), Some("_LIST_ENTRY"));
    assert_eq!(name("_LIST_ENTRY").as_deref(), Some("_LIST_ENTRY"));
    // the very same letters are preferred
    assert_eq!(name("_list_entry").as_deref(), Some("Uint4B"));
    assert_eq!(name("_List_Entry").as_deref(), Some("_LIST_ENTRY"));
    let head = table.variable("HEAD").unwrap();
    assert_eq!(
        (head.name, head.rva, head.ty.size()),
        ("Head", Rva(0x1008), Ok(16))
    );
    assert_eq!(table.variable("Count").unwrap().ty.name(), "Uint4B");
    assert!(table.variable("Nothing").is_none());
}

#[test]
fn broken_types_leave_the_symbols() {
    let mut pdb = PdbBuilder::new([7; 16], 1);
    pdb.section(0x1000, 0x1000)
        .types(vec![0; 64])
        .data("Count", 1, 16);
    let pdb = PdbFile::parse(&pdb.build()).unwrap();
    assert_eq!(pdb.symbols().len(), 1);
    let table = TypeTable::from_pdb(&pdb);
    let error = table.find("_X").unwrap_err();
    assert_eq!(
        error.to_string(),
        "the PDB's type stream has a broken header: HeaderSize is 0x0"
    );
    assert!(table.variable("Count").is_none());
}

/// The layouts that Windows 7 x64's users see in their debuggers; the sizes stand in public
/// listings of `dt`.
#[test]
fn the_guests_kernel_has_its_types() {
    let pdb = PdbFile::parse(prebuilt::KERNEL_PDB.bytes).unwrap();
    let table = TypeTable::from_pdb(&pdb);
    for (name, size) in [
        ("_POOL_HEADER", 0x10),
        ("_POOL_DESCRIPTOR", 0x1140),
        ("_KPCR", 0x4e80),
        ("_EPROCESS", 0x4d0),
        ("_ETHREAD", 0x498),
        ("_DRIVER_OBJECT", 0x150),
        ("_IRP", 0xd0),
        ("_LDR_DATA_TABLE_ENTRY", 0xe0),
    ] {
        assert_eq!(
            table.find(name).unwrap().unwrap().size(),
            Ok(size),
            "{name}"
        );
    }
    check_fields(
        &table,
        "_UNICODE_STRING",
        &[
            (0, "Length", "Uint2B"),
            (2, "MaximumLength", "Uint2B"),
            (8, "Buffer", "Ptr64 Wchar"),
        ],
    );
    let irp = structure(&table, "_IRP");
    let tail = irp.field("Tail").unwrap().unwrap();
    assert_eq!(
        (tail.offset, tail.ty.name().as_str()),
        (0x78, "<unnamed-tag>")
    );
    let names: Vec<_> = table.matching("_POOL_*").map(|ty| ty.name()).collect();
    assert!(names.contains(&"_POOL_HEADER".to_owned()), "{names:?}");
    assert!(names.iter().all(|name| name.starts_with("_POOL_")));
    assert!(matches!(
        table.find("ULONG").unwrap().unwrap().shape(),
        Ok(Shape::Basic(Basic::Unsigned { size: 4, .. }))
    ));
    let everything: Vec<_> = table.matching("*").collect();
    assert!(everything.len() > 30);
    for ty in everything {
        assert!(ty.size().is_ok() && !ty.verbose_name().is_empty());
        if let Shape::Structure(one) = ty.shape().unwrap() {
            let size = ty.size().unwrap();
            for field in one.fields().unwrap() {
                let end = field.offset + field.ty.size().unwrap();
                assert!(end <= size, "{ty:?}: {}", field.name());
            }
        }
    }
}
