//! Looking for symbols by pattern, as the debugger's `x` does.

use super::module::Module;
use super::modules::Modules;
use super::symbol::{Symbol, SymbolKind};
use super::types::Type;
use super::wildcard::Pattern;
use crate::address::Va;

/// How long the names of parameters are, in bytes, before the rest is left out.
const PARAMETERS_LENGTH: usize = 0x4000;

/// A symbol that fits a pattern.
#[derive(Clone, Copy, Debug)]
pub struct Found<'a> {
    /// Its module.
    pub module: &'a Module,
    /// The symbol.
    pub symbol: &'a Symbol,
    /// Its address.
    pub address: Va,
}

impl<'a> Found<'a> {
    /// `module!symbol`.
    ///
    /// ```
    /// let lab = poolhit::Lab::builder().build()?;
    /// let modules = lab.modules();
    /// let found = modules.examine("nt!poolhit*");
    /// assert_eq!(found[0].name(), "nt!PoolHitTag");
    /// # Ok::<(), poolhit::guest::LabError>(())
    /// ```
    pub fn name(&self) -> String {
        format!("{}!{}", self.module.name(), self.symbol.display_name())
    }

    /// The type of the variable at its address, if one of its name is known.
    ///
    /// ```
    /// let lab = poolhit::Lab::builder().build()?;
    /// let modules = lab.modules();
    /// assert_eq!(modules.examine("nt!PoolHitTag")[0].ty().unwrap().name(), "Uint4B");
    /// # Ok::<(), poolhit::guest::LabError>(())
    /// ```
    pub fn ty(&self) -> Option<Type<'a>> {
        let variable = self.module.types().variable(&self.symbol.name)?;
        (variable.rva == self.symbol.rva).then_some(variable.ty)
    }

    /// A function's parameters as `x` and `ln` have them: their types, if the PDB tells them.
    ///
    /// The forms are those of `x notepad!*main*` on the manual's page "x (Examine Symbols)", and for a driver
    /// `HelloWorldDriver!DriverEntry (struct _DRIVER_OBJECT *, struct _UNICODE_STRING *)` and
    /// `HelloWorldDriver!__security_init_cookie (void)` in "Practical Reverse Engineering" (2014). For `...`, which
    /// also stands for what is behind the first 16 KiB of names, no published output was found.
    ///
    /// ```
    /// let lab = poolhit::Lab::builder().build()?;
    /// let modules = lab.modules();
    /// let of = |name: &str| modules.examine(name)[0].parameters_text();
    /// assert_eq!(of("nt!NtClose"), "(void *)");
    /// assert_eq!(of("nt!PsGetCurrentProcess"), "(void)");
    /// assert_eq!(of("nt!DbgPrint"), "(char *, ...)");
    /// assert_eq!(of("ntdll!ZwClose"), "(<no parameter info>)");
    /// # Ok::<(), poolhit::guest::LabError>(())
    /// ```
    pub fn parameters_text(&self) -> String {
        let procedure = self.module.types().procedure(self.symbol.rva);
        let Some(procedure) = procedure.filter(|one| one.start() == self.symbol.rva) else {
            return "(<no parameter info>)".to_owned();
        };
        let Some(types) = procedure.parameters() else {
            return "(<no parameter info>)".to_owned();
        };
        if types.is_empty() {
            return "(void)".to_owned();
        }
        let mut text = "(".to_owned();
        for (number, ty) in types.into_iter().enumerate() {
            if number > 0 {
                text.push_str(", ");
            }
            match ty.filter(|_| text.len() < PARAMETERS_LENGTH) {
                Some(ty) => text.push_str(&ty.declared_name()),
                None => {
                    text.push_str("...");
                    break;
                }
            }
        }
        text.push(')');
        text
    }

    /// Whether it is a function: what a PDB says is a procedure, and what lies where code may run.
    ///
    /// ```
    /// let lab = poolhit::Lab::builder().build()?;
    /// let modules = lab.modules();
    /// assert!(modules.examine("nt!NtClose")[0].is_function());
    /// assert!(!modules.examine("nt!PoolHitTag")[0].is_function());
    /// # Ok::<(), poolhit::guest::LabError>(())
    /// ```
    pub fn is_function(&self) -> bool {
        match self.symbol.kind {
            SymbolKind::Procedure => true,
            SymbolKind::Data => false,
            SymbolKind::Export | SymbolKind::Public => {
                let image = self.module.image();
                let section = image.and_then(|image| image.section_at(self.symbol.rva));
                self.ty().is_none() && section.is_some_and(|section| section.executable)
            }
        }
    }

    /// The size in bytes: a function's length, or its variable's; 0 if it is not known.
    ///
    /// ```
    /// let lab = poolhit::Lab::builder().build()?;
    /// let modules = lab.modules();
    /// assert_eq!(modules.examine("nt!PoolHitTag")[0].size(), 4);
    /// # Ok::<(), poolhit::guest::LabError>(())
    /// ```
    pub fn size(&self) -> u64 {
        match self.ty().and_then(|ty| ty.size().ok()) {
            Some(size) => size,
            None => self.symbol.length.into(),
        }
    }
}

impl Modules {
    /// The symbols that fit `module!symbol`, both patterns, module by module in the order of their
    /// addresses. A leading underscore of the symbol's pattern stands for any number of them
    /// ("x (Examine Symbols)"). Without a `!` nothing fits.
    ///
    /// ```
    /// let lab = poolhit::Lab::builder().build()?;
    /// let modules = lab.modules();
    /// let names: Vec<_> = modules.examine("*!zwdevice*").iter().map(|one| one.name()).collect();
    /// assert!(names.contains(&"ntdll!ZwDeviceIoControlFile".to_string()));
    /// assert!(modules.examine("NtClose").is_empty());
    /// # Ok::<(), poolhit::guest::LabError>(())
    /// ```
    pub fn examine(&self, pattern: &str) -> Vec<Found<'_>> {
        let Some((module, symbol)) = pattern.split_once('!') else {
            return Vec::new();
        };
        let modules = Pattern::new(module);
        let symbol = match symbol.strip_prefix('_') {
            Some(rest) => Pattern::new(&format!("_#{}", rest.trim_start_matches('_'))),
            None => Pattern::new(symbol),
        };
        let mut found = Vec::new();
        for module in self.iter().filter(|module| modules.matches(module.name())) {
            let fitting = module
                .symbols()
                .iter()
                .filter(|one| symbol.matches(&one.display_name()));
            found.extend(fitting.map(|symbol| Found {
                module,
                symbol,
                address: module.base() + symbol.rva,
            }));
        }
        found
    }
}
