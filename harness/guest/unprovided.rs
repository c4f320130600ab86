//! Imports of the kernel's side that nobody in the guest provides: what becomes of them, and who
//! used one.

use super::import_call::Call;
use super::layout::{UNPROVIDED, UNPROVIDED_SIZE};
use crate::address::Va;
use crate::image::binding::{MissingImport, names_image};
use crate::image::imports::{Import, ImportName};
use crate::machine::paging::PAGE_SIZE;
use std::error::Error;
use std::fmt;
use std::sync::Arc;

/// What becomes of a driver that imports what nobody provides.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum UnprovidedPolicy {
    /// It is loaded, and the guest stops where it uses such an import.
    #[default]
    StopAtCall,
    /// It is not loaded: the lab cannot be built.
    RefuseAtLoad,
}

/// What a closure that stands for a function gives: its value (RAX), or why the guest is to stop.
pub type ProvidedResult = Result<u64, Box<dyn Error + Send + Sync>>;

/// A closure that stands for a function.
pub(super) type Provider = dyn Fn(&mut Call<'_>) -> ProvidedResult + Send + Sync;

/// What a lab does when the guest calls a function.
#[derive(Clone)]
pub(super) enum Answer {
    Constant(u64),
    Provider(Arc<Provider>),
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Answer::Constant(value) => write!(f, "Constant({value:#x})"),
            Answer::Provider(_) => f.write_str("Provider"),
        }
    }
}

/// What a lab provides itself, and what it does about the rest.
#[derive(Clone, Debug, Default)]
pub(super) struct Provisions {
    pub policy: UnprovidedPolicy,
    /// By `DLL!Function` or `Function`; the last one of a name counts.
    answers: Vec<(String, Answer)>,
}

/// The part of [`Provisions`] that can be compared.
pub(super) type ProvisionsKey = (UnprovidedPolicy, Vec<(String, u64)>);

impl Provisions {
    pub fn add(&mut self, name: &str, answer: Answer) {
        self.answers.push((name.to_owned(), answer));
    }

    /// What the lab answers a call of a function.
    fn answer(&self, dll: &str, function: &ImportName) -> Option<&Answer> {
        let is = |name: &str| {
            let (wanted_dll, wanted) = match name.split_once('!') {
                Some((dll, function)) => (Some(dll), function),
                None => (None, name),
            };
            wanted_dll.is_none_or(|wanted| names_image(wanted, dll))
                && match function {
                    ImportName::Name { name, .. } => name == wanted,
                    ImportName::Ordinal(_) => function.to_string() == wanted,
                }
        };
        let mut answers = self.answers.iter().rev();
        answers.find(|(name, _)| is(name)).map(|(_, answer)| answer)
    }

    /// What tells these from others; `None` if there are closures, which cannot be compared.
    pub fn key(&self) -> Option<ProvisionsKey> {
        let answers = self.answers.iter().map(|(name, answer)| match answer {
            Answer::Constant(value) => Some((name.clone(), *value)),
            Answer::Provider(_) => None,
        });
        Some((self.policy, answers.collect::<Option<_>>()?))
    }
}

/// An import that is bound to an address where there is no memory.
#[derive(Debug)]
pub(super) struct BoundImport {
    importer: Arc<str>,
    pub dll: Arc<str>,
    pub function: ImportName,
    pub answer: Option<Answer>,
}

/// The imports that no image provides. Each is bound to a page of its own in a part of the address
/// space that is never mapped, so that whatever the guest does with one faults, and the address
/// tells which it is.
#[derive(Debug, Default)]
pub(super) struct BoundImports(Vec<BoundImport>);

impl BoundImports {
    /// Decides what an import of a kernel-mode image is bound to; `found` is what the images say.
    ///
    /// # Errors
    /// It is to be refused.
    pub fn bind(
        &mut self,
        provisions: &Provisions,
        importer: &Arc<str>,
        import: &Import,
        found: Result<Va, MissingImport>,
    ) -> Result<Va, MissingImport> {
        let answer = provisions.answer(&import.dll, &import.function);
        match found {
            Ok(address) if answer.is_none() => return Ok(address),
            Err(missing)
                if answer.is_none() && provisions.policy == UnprovidedPolicy::RefuseAtLoad =>
            {
                return Err(missing);
            }
            _ => {}
        }
        let offset = self.0.len() as u64 * PAGE_SIZE;
        // Two images, each with as many imports as an image may have, fit.
        debug_assert!(offset < UNPROVIDED_SIZE);
        self.0.push(BoundImport {
            importer: Arc::clone(importer),
            dll: Arc::clone(&import.dll),
            function: import.function.clone(),
            answer: answer.cloned(),
        });
        Ok(UNPROVIDED.wrapping_add(offset))
    }

    /// The import that an address belongs to, and the distance from what it is bound to.
    pub fn at(&self, address: Va) -> Option<(&BoundImport, u64)> {
        let offset = address.0.checked_sub(UNPROVIDED.0)?;
        let import = self.0.get(usize::try_from(offset / PAGE_SIZE).ok()?)?;
        Some((import, offset % PAGE_SIZE))
    }
}

/// How the guest used an import that nobody provides.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum UseKind {
    /// It called it. The instruction pointer is where the function would be, and the return address
    /// on the stack.
    Call,
    /// It read or wrote it: an import of data, such as `NtBuildNumber`. The instruction pointer is at
    /// the instruction that did.
    Access {
        /// The distance from the import's address, in bytes.
        offset: u64,
    },
    /// It called it, and the closure that the lab provides for it refused.
    Refused {
        /// What the closure said.
        reason: String,
    },
}

/// An import that nobody provides has been used.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct UnprovidedUse {
    /// The image that imports it: a driver's file name.
    pub importer: String,
    /// The image it was to come from, as the importing image spells it.
    pub module: String,
    /// The function, or the variable.
    pub function: ImportName,
    /// Who used it: the return address of a call, or the instruction that reads or writes. `None` if
    /// the stack cannot be read.
    pub caller: Option<Va>,
    /// How.
    pub kind: UseKind,
}

impl UnprovidedUse {
    pub(super) fn new(import: &BoundImport, caller: Option<Va>, kind: UseKind) -> UnprovidedUse {
        UnprovidedUse {
            importer: import.importer.to_string(),
            module: import.dll.to_string(),
            function: import.function.clone(),
            caller,
            kind,
        }
    }
}

impl fmt::Display for UnprovidedUse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = format_args!("{}!{}", self.module, self.function);
        let importer = &self.importer;
        match &self.kind {
            UseKind::Call => write!(f, "{name} is called, which nothing provides")?,
            UseKind::Access { offset: 0 } => {
                write!(f, "{name} is read or written, which nothing provides")?;
            }
            UseKind::Access { offset } => {
                write!(
                    f,
                    "{name}+{offset:#x} is read or written, which nothing provides"
                )?;
            }
            UseKind::Refused { reason } => {
                write!(f, "{name} is called, and the lab's own refuses: {reason}")?;
            }
        }
        write!(f, " ({importer} imports it)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::binding::MissingReason;

    fn import(dll: &str, function: ImportName) -> Import {
        Import {
            dll: dll.into(),
            function,
            slot: crate::address::Rva(0),
        }
    }

    fn named(name: &str) -> ImportName {
        let name = name.to_string();
        ImportName::Name { hint: 0, name }
    }

    fn missing(import: &Import) -> MissingImport {
        MissingImport {
            dll: import.dll.to_string(),
            function: import.function.clone(),
            forwarded_to: None,
            reason: MissingReason::NoExport,
        }
    }

    #[test]
    fn answers_are_found_by_name_with_and_without_the_image() {
        let mut provisions = Provisions::default();
        provisions.add("Both", Answer::Constant(1));
        provisions.add("hal!Both", Answer::Constant(2));
        provisions.add("NDIS.SYS!#7", Answer::Constant(3));
        let value = |dll: &str, function: ImportName| {
            let found = provisions.answer(dll, &function);
            found.map(|answer| match answer {
                Answer::Constant(value) => *value,
                Answer::Provider(_) => 0,
            })
        };
        assert_eq!(value("ntoskrnl.exe", named("Both")), Some(1));
        assert_eq!(value("HAL.dll", named("Both")), Some(2));
        assert_eq!(value("ndis.sys", ImportName::Ordinal(7)), Some(3));
        assert_eq!(value("ndis.sys", named("both")), None, "case counts");
        assert_eq!(value("hal.dll", ImportName::Ordinal(7)), None);
    }

    #[test]
    fn each_missing_import_has_a_page_of_its_own() {
        let mut bound = BoundImports::default();
        let provisions = Provisions::default();
        let importer: Arc<str> = "a.sys".into();
        let imports = ["One", "Two"].map(|name| import("b.sys", named(name)));
        let places = imports.each_ref().map(|import| {
            let found = Err(missing(import));
            bound.bind(&provisions, &importer, import, found).unwrap()
        });
        assert_eq!(places, [UNPROVIDED, UNPROVIDED.wrapping_add(0x1000)]);
        let (found, offset) = bound.at(places[1].wrapping_add(0xfff)).unwrap();
        assert_eq!((&found.function, offset), (&imports[1].function, 0xfff));
        assert!(bound.at(places[1].wrapping_add(0x1000)).is_none());
        assert!(bound.at(places[0].wrapping_sub(1)).is_none());
        // What an image provides is bound to that.
        let found = bound.bind(&provisions, &importer, &imports[0], Ok(Va(8)));
        assert_eq!(found, Ok(Va(8)));
    }

    #[test]
    fn what_the_lab_provides_comes_first_and_the_rest_may_be_refused() {
        let mut provisions = Provisions {
            policy: UnprovidedPolicy::RefuseAtLoad,
            ..Provisions::default()
        };
        provisions.add("One", Answer::Constant(1));
        let importer: Arc<str> = "a.sys".into();
        let [one, two] = ["One", "Two"].map(|name| import("b.sys", named(name)));
        let mut bound = BoundImports::default();
        let refused = bound.bind(&provisions, &importer, &two, Err(missing(&two)));
        assert_eq!(refused, Err(missing(&two)));
        let place = bound.bind(&provisions, &importer, &one, Ok(Va(8)));
        assert_eq!(place, Ok(UNPROVIDED));
        assert_eq!(provisions.key().unwrap().1, [("One".to_string(), 1)]);
        provisions.add("Two", Answer::Provider(Arc::new(|_| Ok(0))));
        assert_eq!(provisions.key(), None);
    }
}
