//! A loaded image, with its symbols.

use super::lines::LineTable;
use super::table::{SymbolError, SymbolSource, SymbolTable};
use super::types::TypeTable;
use crate::address::{Rva, Va};
use crate::image::PeImage;
use crate::image::pdb::PdbFile;
use std::sync::Arc;

/// The kernel's images, all of which debuggers call `nt`.
const KERNELS: [&str; 4] = [
    "ntoskrnl.exe",
    "ntkrnlmp.exe",
    "ntkrnlpa.exe",
    "ntkrpamp.exe",
];

/// A loaded image: where it is, and what its addresses are called.
#[derive(Clone, Debug)]
pub struct Module {
    name: String,
    image_name: String,
    path: String,
    base: Va,
    size: u32,
    image: Option<Arc<PeImage>>,
    symbols: Arc<SymbolTable>,
    types: Arc<TypeTable>,
    lines: Arc<LineTable>,
}

impl Module {
    /// A module of which nothing but name, place and size (in bytes) is known.
    ///
    /// ```
    /// use poolhit::address::Va;
    /// use poolhit::symbols::Module;
    /// let module = Module::new("myfault.sys", Va(0xfffff880_0496d000), 0x8000);
    /// assert_eq!(module.name(), "myfault");
    /// ```
    pub fn new(image_name: &str, base: Va, size: u32) -> Module {
        Module {
            name: module_name(image_name),
            image_name: image_name.to_owned(),
            path: image_name.to_owned(),
            base,
            size,
            image: None,
            symbols: Arc::default(),
            types: Arc::default(),
            lines: Arc::default(),
        }
    }

    /// A module with the symbols of its PDB, or of its exports where there is no PDB.
    ///
    /// # Errors
    /// The PDB is not the image's own.
    ///
    /// ```
    /// # use poolhit::{address::Va, image::PeImage, symbols::{Module, SymbolSource}};
    /// # use poolhit_fixtures::pe_builder::{CODE, PeBuilder};
    /// # use std::sync::Arc;
    /// let mut image = PeBuilder::new(0x10000);
    /// let text = image.section(".text", CODE, vec![0xc3], 1);
    /// let image = Arc::new(PeImage::parse("ntdll.dll", image.export("Open", text).build())?);
    /// let module = Module::from_image(image, Va(0x77510000), None)?;
    /// assert_eq!(module.symbol_source(), SymbolSource::Export);
    /// assert_eq!(module.size(), 0x3000);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn from_image(
        image: Arc<PeImage>,
        base: Va,
        pdb: Option<&PdbFile>,
    ) -> Result<Module, SymbolError> {
        let symbols = match pdb {
            Some(pdb) => SymbolTable::for_image(&image, pdb)?,
            None => SymbolTable::from_exports(&image),
        };
        let module = Module::new(image.name(), base, image.size_of_image());
        Ok(Module {
            image: Some(image),
            symbols: Arc::new(symbols),
            types: Arc::new(pdb.map(TypeTable::from_pdb).unwrap_or_default()),
            lines: Arc::new(pdb.map(LineTable::from_pdb).unwrap_or_default()),
            ..module
        })
    }

    /// The module with the image it was loaded from at hand.
    ///
    /// ```
    /// # use poolhit::{address::Va, guest::GuestImages, symbols::Module};
    /// let image = GuestImages::built_in().driver.image.clone();
    /// let module = Module::new("myfault.sys", Va(0x10000), 0x4000).with_image(image);
    /// assert!(module.image().is_some());
    /// ```
    pub fn with_image(self, image: Arc<PeImage>) -> Module {
        Module {
            image: Some(image),
            ..self
        }
    }

    /// The module with other symbols.
    ///
    /// ```
    /// # use poolhit::{address::Va, symbols::{Module, SymbolSource, SymbolTable}};
    /// let module = Module::new("ntoskrnl.exe", Va(0x10000), 0x1000);
    /// let module = module.with_symbols(SymbolTable::default().into());
    /// assert!(module.symbols().is_empty());
    /// ```
    pub fn with_symbols(self, symbols: Arc<SymbolTable>) -> Module {
        Module { symbols, ..self }
    }

    /// The module with other types.
    ///
    /// ```
    /// # use poolhit::{address::Va, guest::GuestImages, symbols::Module};
    /// let types = GuestImages::built_in().kernel.types.clone();
    /// let module = Module::new("ntoskrnl.exe", Va(0x10000), 0x1000).with_types(types);
    /// assert!(module.types().variable("PsLoadedModuleList").is_some());
    /// ```
    pub fn with_types(self, types: Arc<TypeTable>) -> Module {
        Module { types, ..self }
    }

    /// The module with other source lines.
    ///
    /// ```
    /// # use poolhit::{address::Va, guest::GuestImages, symbols::Module};
    /// let lines = GuestImages::built_in().kernel.lines.clone();
    /// let module = Module::new("ntoskrnl.exe", Va(0x10000), 0x1000).with_lines(lines);
    /// assert!(!module.lines().is_empty());
    /// ```
    pub fn with_lines(self, lines: Arc<LineTable>) -> Module {
        Module { lines, ..self }
    }

    /// Its source lines; an empty table if it has none.
    ///
    /// ```
    /// # use poolhit::{address::Va, symbols::Module};
    /// let module = Module::new("ntoskrnl.exe", Va(0x10000), 0x1000);
    /// assert!(module.lines().is_empty());
    /// ```
    pub fn lines(&self) -> &LineTable {
        &self.lines
    }

    /// Its types; an empty table if it has none.
    ///
    /// ```
    /// # use poolhit::{address::Va, symbols::Module};
    /// let module = Module::new("ntoskrnl.exe", Va(0x10000), 0x1000);
    /// assert!(module.types().find("_EPROCESS")?.is_none());
    /// # Ok::<(), poolhit::image::types::TypeError>(())
    /// ```
    pub fn types(&self) -> &TypeTable {
        &self.types
    }

    /// The name before the `!`: the image's without extension, `nt` for the kernel. What cannot
    /// be part of a name in an expression is `_`.
    ///
    /// ```
    /// # use poolhit::{address::Va, symbols::{Module, SymbolSource, SymbolTable}};
    /// let module = Module::new("ntoskrnl.exe", Va(0x10000), 0x1000);
    /// assert_eq!(module.name(), "nt");
    /// ```
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The image's file name.
    ///
    /// ```
    /// # use poolhit::{address::Va, symbols::{Module, SymbolSource, SymbolTable}};
    /// let module = Module::new("ntoskrnl.exe", Va(0x10000), 0x1000);
    /// assert_eq!(module.image_name(), "ntoskrnl.exe");
    /// ```
    pub fn image_name(&self) -> &str {
        &self.image_name
    }

    /// The image's path, as the guest has it; the file name if it has none.
    ///
    /// ```
    /// let modules = poolhit::Lab::builder().build()?.modules();
    /// let driver = modules.by_name("myfault").unwrap();
    /// assert_eq!(driver.path(), r"\SystemRoot\system32\drivers\myfault.sys");
    /// # Ok::<(), poolhit::guest::LabError>(())
    /// ```
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The module with another path; an empty one leaves it as it is.
    ///
    /// ```
    /// # use poolhit::{address::Va, symbols::Module};
    /// let module = Module::new("a.sys", Va(0x10000), 0x1000).with_path(r"\??\c:\a.sys");
    /// assert_eq!(module.path(), r"\??\c:\a.sys");
    /// ```
    #[must_use]
    pub fn with_path(self, path: &str) -> Module {
        match path {
            "" => self,
            path => Module {
                path: path.to_owned(),
                ..self
            },
        }
    }

    /// Its first byte.
    ///
    /// ```
    /// # use poolhit::{address::Va, symbols::{Module, SymbolSource, SymbolTable}};
    /// let module = Module::new("ntoskrnl.exe", Va(0x10000), 0x1000);
    /// assert_eq!(module.base(), Va(0x10000));
    /// ```
    pub fn base(&self) -> Va {
        self.base
    }

    /// Its size in memory, in bytes.
    ///
    /// ```
    /// # use poolhit::{address::Va, symbols::{Module, SymbolSource, SymbolTable}};
    /// let module = Module::new("ntoskrnl.exe", Va(0x10000), 0x1000);
    /// assert_eq!(module.size(), 0x1000);
    /// ```
    pub fn size(&self) -> u32 {
        self.size
    }

    /// The byte behind it, wrapping to 0 at the end of the address space.
    ///
    /// ```
    /// # use poolhit::{address::Va, symbols::{Module, SymbolSource, SymbolTable}};
    /// let module = Module::new("ntoskrnl.exe", Va(0x10000), 0x1000);
    /// assert_eq!(module.end(), Va(0x11000));
    /// ```
    pub fn end(&self) -> Va {
        self.base.wrapping_add(u64::from(self.size))
    }

    /// The image, if it is at hand.
    ///
    /// ```
    /// # use poolhit::{address::Va, symbols::{Module, SymbolSource, SymbolTable}};
    /// let module = Module::new("ntoskrnl.exe", Va(0x10000), 0x1000);
    /// assert!(module.image().is_none());
    /// ```
    pub fn image(&self) -> Option<&Arc<PeImage>> {
        self.image.as_ref()
    }

    /// Its symbols; an empty table if it has none.
    ///
    /// ```
    /// # use poolhit::{address::Va, symbols::{Module, SymbolSource, SymbolTable}};
    /// let module = Module::new("ntoskrnl.exe", Va(0x10000), 0x1000);
    /// assert!(module.symbols().is_empty());
    /// ```
    pub fn symbols(&self) -> &Arc<SymbolTable> {
        &self.symbols
    }

    /// Where its symbols come from.
    ///
    /// ```
    /// # use poolhit::{address::Va, symbols::{Module, SymbolSource, SymbolTable}};
    /// let module = Module::new("ntoskrnl.exe", Va(0x10000), 0x1000);
    /// assert_eq!(module.symbol_source(), SymbolSource::None);
    /// ```
    pub fn symbol_source(&self) -> SymbolSource {
        self.symbols.source()
    }

    /// The offset of `address` in the module, if it is inside.
    ///
    /// ```
    /// use poolhit::address::{Rva, Va};
    /// use poolhit::symbols::Module;
    /// let module = Module::new("a.sys", Va(0x10000), 0x1000);
    /// assert_eq!(module.rva(Va(0x10fff)), Some(Rva(0xfff)));
    /// assert_eq!(module.rva(Va(0x11000)), None);
    /// ```
    pub fn rva(&self, address: Va) -> Option<Rva> {
        address.rva_from(self.base).filter(|rva| rva.0 < self.size)
    }

    pub(super) fn rename(&mut self, name: String) {
        self.name = name;
    }
}

/// The module's name for an image's file name, as WinDbg makes it.
///
/// ```
/// use poolhit::symbols::module::module_name;
/// assert_eq!(module_name("NTOSKRNL.EXE"), "nt");
/// assert_eq!(module_name("NotMyfault.exe"), "NotMyfault");
/// assert_eq!(module_name("api-ms win.dll"), "api_ms_win");
/// ```
pub fn module_name(image_name: &str) -> String {
    let file = image_name.rsplit(['\\', '/']).next().unwrap_or_default();
    if KERNELS
        .iter()
        .any(|kernel| kernel.eq_ignore_ascii_case(file))
    {
        return "nt".to_owned();
    }
    let stem = file.rsplit_once('.').map_or(file, |(stem, _)| stem);
    let keep = |c: char| {
        if c.is_alphanumeric() || c == '$' {
            c
        } else {
            '_'
        }
    };
    stem.chars().map(keep).collect()
}
