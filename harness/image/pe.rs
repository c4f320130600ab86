//! A PE32+ image for x64, read from untrusted bytes.

use super::debug_directory::{self, PdbReference};
use super::error::ImageError;
use super::exports::{Export, Exports};
use super::function_table::ImageBytes;
use super::headers::Headers;
use super::imports::{self, Import};
use super::section::Section;
use crate::address::{Rva, Va};
use std::fmt;
use std::sync::Arc;

/// A PE image: its file's bytes and what its headers and directories say, checked once.
///
/// The image knows nothing of where it is loaded; [`PeImage::layout`] makes the bytes for a base.
///
/// ```
/// use poolhit::address::{Rva, Va};
/// use poolhit::image::PeImage;
/// use poolhit_fixtures::pe_builder::{CODE, PeBuilder};
/// let mut builder = PeBuilder::new(0x1_4000_0000);
/// let text = builder.section(".text", CODE, vec![0xcc, 0xc3], 2);
/// builder.export("DriverEntry", text);
/// let image = PeImage::parse("myfault.sys", builder.build())?;
/// assert_eq!(image.preferred_base(), Va(0x1_4000_0000));
/// assert_eq!(image.bytes_at(Rva(0x1000), 2), Some(&[0xcc, 0xc3][..]));
/// # Ok::<(), poolhit::image::ImageError>(())
/// ```
#[derive(Clone)]
pub struct PeImage {
    name: String,
    bytes: Arc<[u8]>,
    headers: Headers,
    sections: Vec<Section>,
    exports: Exports,
    imports: Vec<Import>,
    pdb: Option<PdbReference>,
}

impl PeImage {
    /// Reads an image. `name` is what modules and errors call it, such as `ntoskrnl.exe`.
    ///
    /// # Errors
    /// The bytes are no PE32+ image for x64, a section or the export or import directory is
    /// broken, or a limit is exceeded: 256 MiB of `SizeOfImage`, 96 sections, 65,536 exports,
    /// 65,536 imports, 4,096 bytes in a name.
    ///
    /// ```
    /// use poolhit::image::PeImage;
    /// let error = PeImage::parse("readme.txt", *b"no image").unwrap_err();
    /// assert!(error.to_string().starts_with("readme.txt is not a PE image"));
    /// ```
    pub fn parse(name: &str, bytes: impl Into<Arc<[u8]>>) -> Result<PeImage, ImageError> {
        let bytes = bytes.into();
        let headers = Headers::parse(name, &bytes)?;
        let sections = Section::parse_table(name, &headers, &bytes)?;
        let mut image = PeImage {
            name: name.to_owned(),
            bytes,
            headers,
            sections,
            exports: Exports::default(),
            imports: Vec::new(),
            pdb: None,
        };
        image.exports = Exports::read(&image)?;
        image.imports = imports::read(&image)?;
        image.pdb = debug_directory::read(&image);
        Ok(image)
    }

    /// The name given to [`PeImage::parse`].
    ///
    /// ```
    /// # use poolhit::{address::{Rva, Va}, image::PeImage};
    /// # use poolhit_fixtures::pe_builder::{CODE, PeBuilder};
    /// # let mut builder = PeBuilder::new(0x10000);
    /// # let text = builder.section(".text", CODE, vec![0xcc, 0xc3], 2);
    /// # builder.entry_point(text).subsystem(1);
    /// let image = PeImage::parse("a.sys", builder.build()).unwrap();
    /// assert_eq!(image.name(), "a.sys");
    /// ```
    pub fn name(&self) -> &str {
        &self.name
    }

    /// `ImageBase`: where the linker placed the image.
    ///
    /// ```
    /// # use poolhit::{address::{Rva, Va}, image::PeImage};
    /// # use poolhit_fixtures::pe_builder::{CODE, PeBuilder};
    /// # let mut builder = PeBuilder::new(0x10000);
    /// # let text = builder.section(".text", CODE, vec![0xcc, 0xc3], 2);
    /// # builder.entry_point(text).subsystem(1);
    /// let image = PeImage::parse("a.sys", builder.build()).unwrap();
    /// assert_eq!(image.preferred_base(), Va(0x10000));
    /// ```
    pub fn preferred_base(&self) -> Va {
        self.headers.preferred_base
    }

    /// `SizeOfImage`, in bytes: what the image takes in memory.
    ///
    /// ```
    /// # use poolhit::{address::{Rva, Va}, image::PeImage};
    /// # use poolhit_fixtures::pe_builder::{CODE, PeBuilder};
    /// # let mut builder = PeBuilder::new(0x10000);
    /// # let text = builder.section(".text", CODE, vec![0xcc, 0xc3], 2);
    /// # builder.entry_point(text).subsystem(1);
    /// let image = PeImage::parse("a.sys", builder.build()).unwrap();
    /// assert_eq!(image.size_of_image(), 0x2000);
    /// ```
    pub fn size_of_image(&self) -> u32 {
        self.headers.size_of_image
    }

    /// `AddressOfEntryPoint`; 0 is none.
    ///
    /// ```
    /// # use poolhit::{address::{Rva, Va}, image::PeImage};
    /// # use poolhit_fixtures::pe_builder::{CODE, PeBuilder};
    /// # let mut builder = PeBuilder::new(0x10000);
    /// # let text = builder.section(".text", CODE, vec![0xcc, 0xc3], 2);
    /// # builder.entry_point(text).subsystem(1);
    /// let image = PeImage::parse("a.sys", builder.build()).unwrap();
    /// assert_eq!(image.entry_point(), Rva(0x1000));
    /// ```
    pub fn entry_point(&self) -> Rva {
        self.headers.entry_point
    }

    /// `TimeDateStamp`: seconds since 1970, or a hash of the image where the build is
    /// reproducible.
    ///
    /// ```
    /// # use poolhit::{address::{Rva, Va}, image::PeImage};
    /// # use poolhit_fixtures::pe_builder::{CODE, PeBuilder};
    /// # let mut builder = PeBuilder::new(0x10000);
    /// # let text = builder.section(".text", CODE, vec![0xcc, 0xc3], 2);
    /// # builder.entry_point(text).subsystem(1);
    /// let image = PeImage::parse("a.sys", builder.build()).unwrap();
    /// assert_eq!(image.timestamp(), 0x4a5bc600);
    /// ```
    pub fn timestamp(&self) -> u32 {
        self.headers.timestamp
    }

    /// `CheckSum` as the header has it; nothing verifies it.
    ///
    /// ```
    /// # use poolhit::{address::{Rva, Va}, image::PeImage};
    /// # use poolhit_fixtures::pe_builder::{CODE, PeBuilder};
    /// # let mut builder = PeBuilder::new(0x10000);
    /// # let text = builder.section(".text", CODE, vec![0xcc, 0xc3], 2);
    /// # builder.entry_point(text).subsystem(1);
    /// let image = PeImage::parse("a.sys", builder.build()).unwrap();
    /// assert_eq!(image.checksum(), 0);
    /// ```
    pub fn checksum(&self) -> u32 {
        self.headers.checksum
    }

    /// `DllCharacteristics` (PE format, "DLL Characteristics"): 0x80 is `FORCE_INTEGRITY`.
    ///
    /// ```
    /// use poolhit::{image::PeImage};
    /// use poolhit_fixtures::prebuilt::PRINTER;
    /// let image = PeImage::parse("printer.sys", PRINTER.bytes.to_vec()).unwrap();
    /// assert_eq!(image.dll_characteristics() & 0x80, 0x80);
    /// ```
    pub fn dll_characteristics(&self) -> u16 {
        self.headers.dll_characteristics
    }

    /// `Subsystem` (PE format, "Windows Subsystem"): 1 is native, 2 GUI, 3 console.
    ///
    /// ```
    /// # use poolhit::{address::{Rva, Va}, image::PeImage};
    /// # use poolhit_fixtures::pe_builder::{CODE, PeBuilder};
    /// # let mut builder = PeBuilder::new(0x10000);
    /// # let text = builder.section(".text", CODE, vec![0xcc, 0xc3], 2);
    /// # builder.entry_point(text).subsystem(1);
    /// let image = PeImage::parse("a.sys", builder.build()).unwrap();
    /// assert_eq!(image.subsystem(), 1);
    /// ```
    pub fn subsystem(&self) -> u16 {
        self.headers.subsystem
    }

    /// Whether the subsystem is one of user mode's (GUI or console). `ntdll.dll` is linked so too;
    /// a native image is the kernel, a driver, or a program like the session manager.
    ///
    /// ```
    /// # use poolhit::{address::{Rva, Va}, image::PeImage};
    /// # use poolhit_fixtures::pe_builder::{CODE, PeBuilder};
    /// # let mut builder = PeBuilder::new(0x10000);
    /// # let text = builder.section(".text", CODE, vec![0xcc, 0xc3], 2);
    /// # builder.entry_point(text).subsystem(1);
    /// let image = PeImage::parse("a.sys", builder.build()).unwrap();
    /// assert!(!image.is_user());
    /// ```
    pub fn is_user(&self) -> bool {
        matches!(self.headers.subsystem, 2 | 3)
    }

    /// The sections, by ascending RVA; they do not overlap.
    ///
    /// ```
    /// # use poolhit::{address::{Rva, Va}, image::PeImage};
    /// # use poolhit_fixtures::pe_builder::{CODE, PeBuilder};
    /// # let mut builder = PeBuilder::new(0x10000);
    /// # let text = builder.section(".text", CODE, vec![0xcc, 0xc3], 2);
    /// # builder.entry_point(text).subsystem(1);
    /// let image = PeImage::parse("a.sys", builder.build()).unwrap();
    /// assert!(image.sections()[0].executable);
    /// ```
    pub fn sections(&self) -> &[Section] {
        &self.sections
    }

    /// The section that holds `rva` in memory.
    ///
    /// ```
    /// # use poolhit::{address::Rva, image::PeImage};
    /// # use poolhit_fixtures::pe_builder::{CODE, PeBuilder};
    /// let mut builder = PeBuilder::new(0x10000);
    /// builder.section("PAGE", CODE, vec![0xc3], 0x10);
    /// let image = PeImage::parse("a.sys", builder.build()).unwrap();
    /// assert_eq!(image.section_at(Rva(0x1008)).unwrap().name, "PAGE");
    /// assert!(image.section_at(Rva(0x10)).is_none());
    /// ```
    pub fn section_at(&self, rva: Rva) -> Option<&Section> {
        let after = self.sections.partition_point(|section| section.rva <= rva);
        self.sections[..after]
            .last()
            .filter(|section| section.contains(rva))
    }

    /// All exports, by ordinal; an address with several names is there once for each.
    ///
    /// ```
    /// # use poolhit::{address::{Rva, Va}, image::PeImage};
    /// # use poolhit_fixtures::pe_builder::{CODE, PeBuilder};
    /// # let mut builder = PeBuilder::new(0x10000);
    /// # let text = builder.section(".text", CODE, vec![0xcc, 0xc3], 2);
    /// # builder.entry_point(text).subsystem(1);
    /// builder.export("One", text).export("Uno", text);
    /// let image = PeImage::parse("a.sys", builder.build()).unwrap();
    /// assert_eq!(image.exports().len(), 2);
    /// ```
    pub fn exports(&self) -> &[Export] {
        self.exports.all()
    }

    /// The export of that name. Names are case-sensitive, as for the loader. Takes O(log n).
    ///
    /// ```
    /// # use poolhit::{address::Rva, image::{PeImage, exports::ExportTarget}};
    /// # use poolhit_fixtures::pe_builder::{CODE, PeBuilder};
    /// let mut builder = PeBuilder::new(0x10000);
    /// let text = builder.section(".text", CODE, vec![0xc3], 1);
    /// builder.export("DbgPrint", text);
    /// let image = PeImage::parse("a.sys", builder.build()).unwrap();
    /// let target = &image.export("DbgPrint").unwrap().target;
    /// assert_eq!(*target, ExportTarget::Address(Rva(0x1000)));
    /// ```
    pub fn export(&self, name: &str) -> Option<&Export> {
        self.exports.by_name(name)
    }

    /// The export of that ordinal (the first of its names, if it has several). Takes O(log n).
    ///
    /// ```
    /// # use poolhit::{address::{Rva, Va}, image::PeImage};
    /// # use poolhit_fixtures::pe_builder::{CODE, PeBuilder};
    /// # let mut builder = PeBuilder::new(0x10000);
    /// # let text = builder.section(".text", CODE, vec![0xcc, 0xc3], 2);
    /// # builder.entry_point(text).subsystem(1);
    /// builder.export("One", text).export_unnamed(text + 1);
    /// let image = PeImage::parse("a.sys", builder.build()).unwrap();
    /// assert_eq!(image.export_by_ordinal(2).unwrap().name, None);
    /// ```
    pub fn export_by_ordinal(&self, ordinal: u16) -> Option<&Export> {
        self.exports.by_ordinal(ordinal)
    }

    /// The imports, in the order of the import directory. Delay-loaded ones are not among them.
    ///
    /// ```
    /// # use poolhit::{address::{Rva, Va}, image::PeImage};
    /// # use poolhit_fixtures::pe_builder::{CODE, PeBuilder};
    /// # let mut builder = PeBuilder::new(0x10000);
    /// # let text = builder.section(".text", CODE, vec![0xcc, 0xc3], 2);
    /// # builder.entry_point(text).subsystem(1);
    /// builder.import("ntoskrnl.exe", ["DbgPrint"]);
    /// let image = PeImage::parse("a.sys", builder.build()).unwrap();
    /// assert_eq!(&*image.imports()[0].dll, "ntoskrnl.exe");
    /// ```
    pub fn imports(&self) -> &[Import] {
        &self.imports
    }

    /// The PDB that the debug directory names. A broken entry counts as none: no loader reads it,
    /// and a debugger goes on without symbols.
    ///
    /// ```
    /// # use poolhit::{address::{Rva, Va}, image::PeImage};
    /// # use poolhit_fixtures::pe_builder::{CODE, PeBuilder};
    /// # let mut builder = PeBuilder::new(0x10000);
    /// # let text = builder.section(".text", CODE, vec![0xcc, 0xc3], 2);
    /// # builder.entry_point(text).subsystem(1);
    /// builder.pdb([7; 16], 1, "a.pdb");
    /// let image = PeImage::parse("a.sys", builder.build()).unwrap();
    /// assert_eq!(image.pdb_reference().unwrap().file_name, "a.pdb");
    /// ```
    pub fn pdb_reference(&self) -> Option<&PdbReference> {
        self.pdb.as_ref()
    }

    /// Bytes of the file as they are mapped at `rva`, not relocated; `None` if any of them is not
    /// in the file (a section's zeros, gaps between sections).
    ///
    /// ```
    /// # use poolhit::{address::{Rva, Va}, image::PeImage};
    /// # use poolhit_fixtures::pe_builder::{CODE, PeBuilder};
    /// # let mut builder = PeBuilder::new(0x10000);
    /// # let text = builder.section(".text", CODE, vec![0xcc, 0xc3], 2);
    /// # builder.entry_point(text).subsystem(1);
    /// let image = PeImage::parse("a.sys", builder.build()).unwrap();
    /// assert_eq!(image.bytes_at(Rva(0x1001), 1), Some(&[0xc3][..]));
    /// assert_eq!(image.bytes_at(Rva(0x2000), 1), None);
    /// ```
    pub fn bytes_at(&self, rva: Rva, length: usize) -> Option<&[u8]> {
        self.backed_from(rva)?.get(..length)
    }

    /// The exception directory (`.pdata`) and its size in bytes, cut to what its section holds in
    /// memory: linkers round the raw data up, and the rest is no unwind data.
    ///
    /// ```
    /// # use poolhit::{address::{Rva, Va}, image::PeImage};
    /// # use poolhit_fixtures::pe_builder::{CODE, PeBuilder};
    /// # let mut builder = PeBuilder::new(0x10000);
    /// # let text = builder.section(".text", CODE, vec![0xcc, 0xc3], 2);
    /// # builder.entry_point(text).subsystem(1);
    /// builder.function(text, text + 2, text);
    /// let image = PeImage::parse("a.sys", builder.build()).unwrap();
    /// assert_eq!(image.exception_directory(), Some((Rva(0x2000), 12)));
    /// ```
    pub fn exception_directory(&self) -> Option<(Rva, u32)> {
        let directory = self.headers.exceptions;
        let section = self.section_at(Rva(directory.rva))?;
        let room = section.virtual_size - (directory.rva - section.rva.0);
        let size = directory.size.min(room);
        (size > 0).then_some((Rva(directory.rva), size))
    }

    pub(crate) fn headers(&self) -> &Headers {
        &self.headers
    }

    pub(crate) fn file_bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(crate) fn file_size(&self) -> usize {
        self.bytes.len()
    }

    /// The file's bytes from `rva` to the end of the headers or of the section's raw data.
    fn backed_from(&self, rva: Rva) -> Option<&[u8]> {
        let headers = self.headers.size_of_headers as usize;
        if (rva.0 as usize) < headers {
            return self.bytes.get(rva.0 as usize..headers);
        }
        let after = self.sections.partition_point(|section| section.rva <= rva);
        let section = self.sections[..after].last()?;
        let raw = self.bytes.get(section.raw.clone())?;
        raw.get((rva.0 - section.rva.0) as usize..)
    }

    /// Copies the unrelocated bytes at `rva`, a section's zeros included; `false` if any is
    /// outside the headers and sections.
    pub(crate) fn copy_at(&self, rva: Rva, into: &mut [u8]) -> bool {
        let backed = self.backed_from(rva).unwrap_or_default();
        let copied = backed.len().min(into.len());
        into[..copied].copy_from_slice(&backed[..copied]);
        into[copied..].fill(0);
        copied == into.len()
            || self.section_at(rva).is_some_and(|section| {
                let room = section.virtual_size - (rva.0 - section.rva.0);
                into.len() <= room as usize
            })
    }

    /// The zero-terminated string at `rva`, without its zero, if it has `limit` bytes at most.
    pub(crate) fn string_at(&self, rva: Rva, limit: usize) -> Option<&[u8]> {
        let backed = self.backed_from(rva)?;
        let end = backed
            .iter()
            .take(limit.saturating_add(1))
            .position(|&byte| byte == 0)?;
        Some(&backed[..end])
    }
}

impl fmt::Debug for PeImage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PeImage")
            .field("name", &self.name)
            .field("preferred_base", &self.headers.preferred_base)
            .field("size_of_image", &self.headers.size_of_image)
            .finish_non_exhaustive()
    }
}

impl ImageBytes for PeImage {
    fn bytes_at(&self, rva: Rva, length: usize) -> Option<&[u8]> {
        PeImage::bytes_at(self, rva, length)
    }

    fn exception_directory(&self) -> Option<(Rva, u32)> {
        PeImage::exception_directory(self)
    }
}
