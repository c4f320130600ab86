//! The loaded modules of one address space.

use super::lines::SourceLine;
use super::location::Location;
use super::module::Module;
use crate::address::{CodeAddress, Va};

/// Why a module cannot be added.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ModuleError {
    /// Its memory is another one's too.
    #[error("{module} at {base} overlaps {other}, which is at {other_base} to {other_end}")]
    Overlap {
        /// The module to add.
        module: String,
        /// Its base.
        base: Va,
        /// The module that is there.
        other: String,
        /// That one's base.
        other_base: Va,
        /// The byte behind that one.
        other_end: Va,
    },
    /// It has no bytes, or reaches behind the end of the address space.
    #[error("{module} cannot be {size:#x} bytes at {base}")]
    BadExtent {
        /// The module to add.
        module: String,
        /// Its base.
        base: Va,
        /// Its size in bytes.
        size: u32,
    },
}

/// The loaded modules of one address space, none of which overlap.
///
/// ```
/// use poolhit::address::Va;
/// use poolhit::symbols::{Module, Modules};
/// let mut modules = Modules::default();
/// modules.add(Module::new("myfault.sys", Va(0xfffff880_0496d000), 0x8000))?;
/// let place = modules.nearest(Va(0xfffff880_0496e634)).unwrap();
/// assert_eq!(place.to_string(), "myfault+0x1634");
/// # Ok::<(), poolhit::symbols::modules::ModuleError>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Modules {
    /// By ascending base.
    modules: Vec<Module>,
}

impl Modules {
    /// Adds a module. If its name is taken, it gets its base for a suffix, as in WinDbg.
    ///
    /// # Errors
    /// It overlaps another module, is empty, or reaches behind the end of the address space.
    ///
    /// ```
    /// use poolhit::address::Va;
    /// use poolhit::symbols::{Module, Modules};
    /// let mut modules = Modules::default();
    /// modules.add(Module::new("a.sys", Va(0x10000), 0x1000)).unwrap();
    /// assert_eq!(modules.add(Module::new("a.dll", Va(0x20000), 0x1000)).unwrap().name(), "a_20000");
    /// assert!(modules.add(Module::new("b.sys", Va(0x10800), 0x1000)).is_err());
    /// ```
    pub fn add(&mut self, mut module: Module) -> Result<&Module, ModuleError> {
        let (base, size) = (module.base(), module.size());
        let last = size
            .checked_sub(1)
            .and_then(|last| base.0.checked_add(u64::from(last)));
        let Some(last) = last else {
            return Err(ModuleError::BadExtent {
                module: module.name().to_owned(),
                base,
                size,
            });
        };
        let place = self.modules.partition_point(|other| other.base().0 <= last);
        if let Some(other) = place.checked_sub(1).map(|i| &self.modules[i])
            && (other.base() >= base || other.rva(base).is_some())
        {
            return Err(ModuleError::Overlap {
                module: module.name().to_owned(),
                base,
                other: other.name().to_owned(),
                other_base: other.base(),
                other_end: other.end(),
            });
        }
        if self.by_name(module.name()).is_some() {
            module.rename(format!("{}_{:x}", module.name(), base.0));
        }
        self.modules.insert(place, module);
        Ok(&self.modules[place])
    }

    /// Removes the module at exactly `base`, as when a driver is unloaded.
    ///
    /// ```
    /// use poolhit::address::Va;
    /// use poolhit::symbols::{Module, Modules};
    /// let mut modules = Modules::default();
    /// modules.add(Module::new("a.sys", Va(0x10000), 0x1000)).unwrap();
    /// assert!(modules.remove(Va(0x10008)).is_none());
    /// assert_eq!(modules.remove(Va(0x10000)).unwrap().name(), "a");
    /// assert!(modules.is_empty());
    /// ```
    pub fn remove(&mut self, base: Va) -> Option<Module> {
        let place = self
            .modules
            .binary_search_by_key(&base, Module::base)
            .ok()?;
        Some(self.modules.remove(place))
    }

    /// All modules by ascending base.
    ///
    /// ```
    /// # use poolhit::{address::Va, symbols::{Module, Modules}};
    /// let mut modules = Modules::default();
    /// modules.add(Module::new("b.sys", Va(0x20000), 0x1000)).unwrap();
    /// modules.add(Module::new("a.sys", Va(0x10000), 0x1000)).unwrap();
    /// assert!(modules.iter().map(Module::name).eq(["a", "b"]));
    /// ```
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &Module> + ExactSizeIterator {
        self.modules.iter()
    }

    /// How many there are.
    ///
    /// ```
    /// # use poolhit::{address::Va, symbols::{Module, Modules}};
    /// let mut modules = Modules::default();
    /// modules.add(Module::new("b.sys", Va(0x20000), 0x1000)).unwrap();
    /// modules.add(Module::new("a.sys", Va(0x10000), 0x1000)).unwrap();
    /// assert_eq!(modules.len(), 2);
    /// ```
    pub fn len(&self) -> usize {
        self.modules.len()
    }

    /// Whether there are none.
    ///
    /// ```
    /// # use poolhit::{address::Va, symbols::{Module, Modules}};
    /// let mut modules = Modules::default();
    /// modules.add(Module::new("b.sys", Va(0x20000), 0x1000)).unwrap();
    /// modules.add(Module::new("a.sys", Va(0x10000), 0x1000)).unwrap();
    /// assert!(!modules.is_empty());
    /// ```
    pub fn is_empty(&self) -> bool {
        self.modules.is_empty()
    }

    /// The module of that name (before the `!`, in any case).
    ///
    /// ```
    /// # use poolhit::{address::Va, symbols::{Module, Modules}};
    /// let mut modules = Modules::default();
    /// modules.add(Module::new("b.sys", Va(0x20000), 0x1000)).unwrap();
    /// modules.add(Module::new("a.sys", Va(0x10000), 0x1000)).unwrap();
    /// assert_eq!(modules.by_name("B").unwrap().base(), Va(0x20000));
    /// ```
    pub fn by_name(&self, name: &str) -> Option<&Module> {
        self.modules
            .iter()
            .find(|module| module.name().eq_ignore_ascii_case(name))
    }

    /// The module that `address` is in. Takes O(log n) and does not allocate.
    ///
    /// ```
    /// # use poolhit::{address::Va, symbols::{Module, Modules}};
    /// let mut modules = Modules::default();
    /// modules.add(Module::new("b.sys", Va(0x20000), 0x1000)).unwrap();
    /// modules.add(Module::new("a.sys", Va(0x10000), 0x1000)).unwrap();
    /// assert_eq!(modules.containing(Va(0x10fff)).unwrap().name(), "a");
    /// assert!(modules.containing(Va(0x11000)).is_none());
    /// ```
    pub fn containing(&self, address: Va) -> Option<&Module> {
        let after = self
            .modules
            .partition_point(|module| module.base() <= address);
        self.modules[..after]
            .last()
            .filter(|module| module.rva(address).is_some())
    }

    /// What `address` is called: its module, the nearest symbol before it in that module, and the
    /// distance. `None` outside all modules. Takes O(log n) and does not allocate.
    ///
    /// For a return address this is the instruction behind the call, as WinDbg prints it in
    /// stacks.
    ///
    /// ```
    /// # use poolhit::{address::Va, symbols::{Module, Modules}};
    /// let mut modules = Modules::default();
    /// modules.add(Module::new("b.sys", Va(0x20000), 0x1000)).unwrap();
    /// modules.add(Module::new("a.sys", Va(0x10000), 0x1000)).unwrap();
    /// assert_eq!(modules.nearest(Va(0x20010)).unwrap().to_string(), "b+0x10");
    /// assert!(modules.nearest(Va(0x30000)).is_none());
    /// ```
    pub fn nearest(&self, address: Va) -> Option<Location<'_>> {
        let module = self.containing(address)?;
        let rva = module.rva(address)?;
        Some(match module.symbols().nearest(rva) {
            Some((symbol, offset)) => Location {
                module,
                symbol: Some(symbol),
                offset,
            },
            None => Location {
                module,
                symbol: None,
                offset: rva.0,
            },
        })
    }
    /// The source line that a stack frame's code comes from: for a return address, that of the call.
    /// `None` outside all modules, and where the module's PDB has no line.
    ///
    /// The first look-up in a module reads all its lines; others take O(log n).
    ///
    /// ```
    /// use poolhit::address::{CodeAddress, Va};
    /// use poolhit::symbols::{Module, Modules};
    /// # use poolhit::{image::{PeImage, pdb::PdbFile}};
    /// # use poolhit_fixtures::prebuilt::{LEAKY, LEAKY_PDB};
    /// # let image = PeImage::parse("leaky.sys", LEAKY.bytes)?.into();
    /// # let pdb = PdbFile::parse(LEAKY_PDB.bytes)?;
    /// let mut modules = Modules::default();
    /// let entry = modules.add(Module::from_image(image, Va(0x10000), Some(&pdb))?)?;
    /// let entry = entry.base() + entry.symbols().by_name("DriverEntry").unwrap().rva;
    /// let line = modules.line_of(CodeAddress::InstructionPointer(entry)).unwrap();
    /// assert!(line.file.ends_with("leaky.c"));
    /// // it is the first function of its section: no call is in front of it
    /// assert_eq!(modules.line_of(CodeAddress::ReturnAddress(entry)), None);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn line_of(&self, code: CodeAddress) -> Option<SourceLine> {
        let address = code.for_lookup();
        let module = self.containing(address)?;
        module.lines().find(module.rva(address)?)
    }

    /// Where the code of a source line starts: in the module of that name, or in the first by base that has such a
    /// file and code at the line or behind it. See [`LineTable::starts_of`](super::LineTable::starts_of).
    ///
    /// ```
    /// let modules = poolhit::Lab::builder().build()?.modules();
    /// assert!(modules.addresses_of_line(None, "no such file.c", Some(1)).is_empty());
    /// # Ok::<(), poolhit::guest::LabError>(())
    /// ```
    pub fn addresses_of_line(
        &self,
        module: Option<&str>,
        file: &str,
        line: Option<u32>,
    ) -> Vec<Va> {
        let named = |one: &&Module| module.is_none_or(|name| name.eq_ignore_ascii_case(one.name()));
        let addresses = self.iter().filter(named).map(|one| {
            let starts = one.lines().starts_of(file, line);
            starts.into_iter().map(|rva| one.base() + rva).collect()
        });
        let mut found = addresses.filter(|found: &Vec<Va>| !found.is_empty());
        found.next().unwrap_or_default()
    }
}
