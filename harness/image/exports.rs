//! The export directory (`IMAGE_EXPORT_DIRECTORY`).

use super::directories::DirectoryReader;
use super::error::ImageError;
use super::pe::PeImage;
use super::text::printable;
use crate::address::Rva;

/// The most exported addresses or names accepted: ordinals have 16 bits.
pub const EXPORT_LIMIT: u32 = 65_536;

/// Where an export leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExportTarget {
    /// Code or data of this image.
    Address(Rva),
    /// Another image's export: `DLL.Function` or `DLL.#ordinal`.
    Forward(String),
}

/// One exported name or ordinal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Export {
    /// The name; `None` for an export by ordinal alone.
    pub name: Option<String>,
    /// The ordinal, with the directory's base added.
    pub ordinal: u16,
    /// Where it leads.
    pub target: ExportTarget,
}

/// The exports of an image, to be found by name or ordinal.
#[derive(Clone, Debug, Default)]
pub(crate) struct Exports {
    /// By ordinal, then by name.
    all: Vec<Export>,
    /// Places in `all`, by name. The file's own order is not trusted.
    by_name: Vec<u32>,
}

impl Exports {
    pub(crate) fn all(&self) -> &[Export] {
        &self.all
    }

    pub(crate) fn by_name(&self, name: &str) -> Option<&Export> {
        let at = |index: &u32| &self.all[*index as usize];
        let place = self
            .by_name
            .partition_point(|i| at(i).name.as_deref() < Some(name));
        self.by_name
            .get(place)
            .map(at)
            .filter(|export| export.name.as_deref() == Some(name))
    }

    pub(crate) fn by_ordinal(&self, ordinal: u16) -> Option<&Export> {
        let place = self.all.partition_point(|export| export.ordinal < ordinal);
        self.all
            .get(place)
            .filter(|export| export.ordinal == ordinal)
    }

    pub(crate) fn read(image: &PeImage) -> Result<Exports, ImageError> {
        let directory = image.headers().exports;
        if directory.rva == 0 {
            return Ok(Exports::default());
        }
        let mut reader = DirectoryReader::new(image, "export directory");
        let field = |reader: &DirectoryReader<'_>, offset| {
            reader.u32(reader.element(directory.rva, offset, 1)?)
        };
        let base = field(&reader, 16)?;
        let [address_count, name_count] = [field(&reader, 20)?, field(&reader, 24)?];
        let [addresses, names, ordinals] = [
            field(&reader, 28)?,
            field(&reader, 32)?,
            field(&reader, 36)?,
        ];
        for (what, value) in [
            ("NumberOfFunctions", address_count),
            ("NumberOfNames", name_count),
        ] {
            if value > EXPORT_LIMIT {
                return Err(ImageError::OverLimit {
                    image: image.name().to_owned(),
                    what,
                    value: u64::from(value),
                    limit: u64::from(EXPORT_LIMIT),
                });
            }
        }
        let mut all = Vec::new();
        let mut named = vec![false; address_count as usize];
        for i in 0..name_count {
            let index = u32::from(reader.u16(reader.element(ordinals, i, 2)?)?);
            let name_at = reader.u32(reader.element(names, i, 4)?)?;
            let name = printable(reader.name(name_at)?);
            let Some(seen) = named.get_mut(index as usize) else {
                return Err(reader.broken(name_at, "a name's ordinal is behind the address table"));
            };
            *seen = true;
            all.extend(read_one(
                &mut reader,
                image,
                addresses,
                base,
                index,
                Some(name),
            )?);
        }
        for index in (0..address_count).filter(|&index| !named[index as usize]) {
            all.extend(read_one(&mut reader, image, addresses, base, index, None)?);
        }
        all.sort_by(|a, b| (a.ordinal, &a.name).cmp(&(b.ordinal, &b.name)));
        let mut by_name: Vec<u32> = (0..all.len() as u32)
            .filter(|&i| all[i as usize].name.is_some())
            .collect();
        by_name.sort_by(|&a, &b| all[a as usize].name.cmp(&all[b as usize].name));
        Ok(Exports { all, by_name })
    }
}

/// The export at `index` of the address table; an unused entry (0) is none.
fn read_one(
    reader: &mut DirectoryReader<'_>,
    image: &PeImage,
    addresses: u32,
    base: u32,
    index: u32,
    name: Option<String>,
) -> Result<Option<Export>, ImageError> {
    let entry = reader.element(addresses, index, 4)?;
    let rva = reader.u32(entry)?;
    if rva == 0 {
        return Ok(None);
    }
    let ordinal = base
        .checked_add(index)
        .and_then(|ordinal| u16::try_from(ordinal).ok());
    let ordinal = ordinal.ok_or_else(|| reader.broken(entry, "an ordinal is over 65535"))?;
    let directory = image.headers().exports;
    let inside = rva
        .checked_sub(directory.rva)
        .is_some_and(|offset| offset < directory.size);
    let target = if inside {
        ExportTarget::Forward(printable(reader.name(rva)?))
    } else if rva < image.size_of_image() {
        ExportTarget::Address(Rva(rva))
    } else {
        return Err(reader.broken(entry, "an exported address is outside the image"));
    };
    Ok(Some(Export {
        name,
        ordinal,
        target,
    }))
}
