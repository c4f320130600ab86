//! The delay-load directory (`IMAGE_DELAYLOAD_DESCRIPTOR`, PE format, "Delay-Load Import Tables"):
//! imports that the image itself looks up when it first calls them. No loader binds them.

use super::directories::DirectoryReader;
use super::error::ImageError;
use super::imports::{Import, Tables, read_functions};
use super::pe::PeImage;
use super::text::printable;
use std::sync::Arc;

const DESCRIPTOR_SIZE: u32 = 32;
/// `RvaBased` of the attributes: the other form holds addresses, which a 64-bit image cannot have
/// in fields of 32 bits.
const RVA_BASED: u32 = 1;

impl PeImage {
    /// The imports that are loaded when they are first called, in the directory's order. Their slots
    /// hold addresses of the image's own until then.
    ///
    /// # Errors
    /// The directory is broken, or has more than 65,536 imports.
    ///
    /// ```
    /// # use poolhit::image::PeImage;
    /// # use poolhit_fixtures::pe_builder::PeBuilder;
    /// let mut builder = PeBuilder::new(0x10000);
    /// builder.delay_import("ext.dll", ["ExtStart"]);
    /// let image = PeImage::parse("a.sys", builder.build())?;
    /// let imports = image.delay_imports()?;
    /// assert_eq!((&*imports[0].dll, imports.len()), ("ext.dll", 1));
    /// # Ok::<(), poolhit::image::ImageError>(())
    /// ```
    pub fn delay_imports(&self) -> Result<Vec<Import>, ImageError> {
        let directory = self.headers().delay_imports;
        let mut imports = Vec::new();
        if directory.rva == 0 {
            return Ok(imports);
        }
        let mut reader = DirectoryReader::new(self, "delay-load directory");
        for i in 0.. {
            let at = reader.element(directory.rva, i, DESCRIPTOR_SIZE)?;
            let field = |offset| reader.u32(reader.element(at, offset, 1)?);
            let [attributes, dll] = [field(0)?, field(4)?];
            let [addresses, names] = [field(12)?, field(16)?];
            if dll == 0 {
                break;
            }
            if attributes & RVA_BASED == 0 {
                return Err(reader.broken(at, "a descriptor is not by relative addresses"));
            }
            let dll: Arc<str> = printable(reader.name(dll)?).into();
            let tables = Tables {
                names,
                slots: addresses,
            };
            read_functions(&mut reader, self, &dll, tables, &mut imports)?;
        }
        Ok(imports)
    }
}
