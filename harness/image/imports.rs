//! The import directory (`IMAGE_IMPORT_DESCRIPTOR`, `IMAGE_THUNK_DATA64`).

use super::directories::DirectoryReader;
use super::error::ImageError;
use super::pe::PeImage;
use super::text::printable;
use crate::address::Rva;
use std::fmt;
use std::sync::Arc;

/// The most imported functions accepted.
pub const IMPORT_LIMIT: usize = 65_536;

const DESCRIPTOR_SIZE: u32 = 20;
const THUNK_SIZE: u32 = 8;
const BY_ORDINAL: u64 = 1 << 63;

/// Which function of a DLL is imported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ImportName {
    /// By name.
    Name {
        /// The index in the exporter's name table where the linker saw the name.
        hint: u16,
        /// The name.
        name: String,
    },
    /// By ordinal.
    Ordinal(u16),
}

impl fmt::Display for ImportName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ImportName::Name { name, .. } => f.write_str(name),
            ImportName::Ordinal(ordinal) => write!(f, "#{ordinal}"),
        }
    }
}

/// One imported function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Import {
    /// The image it comes from, as the file spells it. All imports of a descriptor share it.
    pub dll: Arc<str>,
    /// The function.
    pub function: ImportName,
    /// The eight bytes of the import address table that take its address; inside the image.
    pub slot: Rva,
}

pub(crate) fn read(image: &PeImage) -> Result<Vec<Import>, ImageError> {
    let directory = image.headers().imports;
    let mut imports = Vec::new();
    if directory.rva == 0 {
        return Ok(imports);
    }
    let mut reader = DirectoryReader::new(image, "import directory");
    for i in 0.. {
        let at = reader.element(directory.rva, i, DESCRIPTOR_SIZE)?;
        let field = |offset| reader.u32(reader.element(at, offset, 1)?);
        let [lookup, dll, addresses] = [field(0)?, field(12)?, field(16)?];
        // The loader takes a descriptor without name or table for the last one.
        if dll == 0 || addresses == 0 {
            break;
        }
        let dll: Arc<str> = printable(reader.name(dll)?).into();
        // Old linkers write no lookup table: the unbound address table stands for it.
        let tables = Tables {
            names: if lookup == 0 { addresses } else { lookup },
            slots: addresses,
        };
        read_functions(&mut reader, image, &dll, tables, &mut imports)?;
    }
    Ok(imports)
}

/// The two tables of a descriptor, which run side by side.
pub(crate) struct Tables {
    /// Where the table of names and ordinals is; a zero ends it.
    pub(crate) names: u32,
    /// Where the address table is.
    pub(crate) slots: u32,
}

/// Reads the functions imported from one image.
pub(crate) fn read_functions(
    reader: &mut DirectoryReader<'_>,
    image: &PeImage,
    dll: &Arc<str>,
    tables: Tables,
    imports: &mut Vec<Import>,
) -> Result<(), ImageError> {
    for n in 0.. {
        let thunk = reader.element(tables.names, n, THUNK_SIZE)?;
        let value = reader.u64(thunk)?;
        if value == 0 {
            break;
        }
        let function = read_name(reader, thunk, value)?;
        let slot = reader.element(tables.slots, n, THUNK_SIZE)?;
        if u64::from(slot) + u64::from(THUNK_SIZE) > u64::from(image.size_of_image()) {
            return Err(reader.broken(slot, "an import's slot is outside the image"));
        }
        // The tables of several descriptors may overlap, so the file's size is no bound.
        if imports.len() == IMPORT_LIMIT {
            return Err(ImageError::OverLimit {
                image: image.name().to_owned(),
                what: "the number of imports",
                value: IMPORT_LIMIT as u64 + 1,
                limit: IMPORT_LIMIT as u64,
            });
        }
        imports.push(Import {
            dll: Arc::clone(dll),
            function,
            slot: Rva(slot),
        });
    }
    Ok(())
}

fn read_name(
    reader: &mut DirectoryReader<'_>,
    thunk: u32,
    value: u64,
) -> Result<ImportName, ImageError> {
    if value & BY_ORDINAL != 0 {
        return Ok(ImportName::Ordinal(value as u16));
    }
    let at = u32::try_from(value)
        .map_err(|_| reader.broken(thunk, "an import's name is behind 4 GiB"))?;
    let hint = reader.u16(at)?;
    let name = printable(reader.name(reader.element(at, 2, 1)?)?);
    Ok(ImportName::Name { hint, name })
}
