//! The load configuration (`IMAGE_LOAD_CONFIG_DIRECTORY64`, PE format, "The Load Configuration
//! Structure"): of all its fields, the one a loader writes through.

use super::directories::DirectoryReader;
use super::pe::PeImage;
use crate::address::Rva;

/// Offset of `SecurityCookie`.
const SECURITY_COOKIE: u32 = 0x58;

/// What Microsoft's compiler puts into `__security_cookie` of a 64-bit image: the value that says
/// that nobody has set it yet.
pub const DEFAULT_SECURITY_COOKIE: u64 = 0x0000_2b99_2ddf_a232;

impl PeImage {
    /// Where the load configuration says that the image has its `__security_cookie`: eight bytes of
    /// a section that may be written. A directory that says anything else counts as none, as Windows'
    /// loader has it.
    ///
    /// ```
    /// # use poolhit::{address::Rva, image::PeImage};
    /// # use poolhit_fixtures::pe_builder::{DATA, READ_ONLY, PeBuilder};
    /// let mut builder = PeBuilder::new(0x10000);
    /// let data = builder.section(".data", DATA, vec![0; 8], 8);
    /// let mut config = vec![0; 0x60];
    /// config[0] = 0x60;
    /// config[0x58..].copy_from_slice(&(0x10000 + u64::from(data)).to_le_bytes());
    /// let config = builder.section(".rdata", READ_ONLY, config, 0x60);
    /// let image = PeImage::parse("a.sys", builder.directory(10, config, 0x60).build())?;
    /// assert_eq!(image.security_cookie(), Some(Rva(data)));
    /// # Ok::<(), poolhit::image::ImageError>(())
    /// ```
    pub fn security_cookie(&self) -> Option<Rva> {
        let directory = self.headers().load_config;
        if directory.rva == 0 {
            return None;
        }
        let reader = DirectoryReader::new(self, "load configuration");
        let size = reader.u32(directory.rva).ok()?;
        if size < SECURITY_COOKIE + 8 {
            return None;
        }
        let field = reader.element(directory.rva, SECURITY_COOKIE, 1).ok()?;
        let cookie = reader.u64(field).ok()?;
        let rva = cookie.checked_sub(self.preferred_base().0)?;
        let rva = Rva(u32::try_from(rva).ok()?);
        let section = self.section_at(rva)?;
        let room = section.virtual_size - (rva.0 - section.rva.0);
        (section.writable && room >= 8).then_some(rva)
    }
}
