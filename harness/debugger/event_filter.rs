//! What the debugger does about exceptions and modules that come and go ("Controlling Exceptions and
//! Events" in its manual).

use crate::symbols::wildcard::matches;

/// The most filters for exceptions that are none of the named ones: the project's own limit.
pub const NUMBERED_FILTERS: usize = 64;

/// Whether an event stops the guest.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BreakStatus {
    /// At once (`sxe`).
    Break,
    /// If nobody has handled it (`sxd`); a message until then.
    SecondChance,
    /// Not at all, but for a message (`sxn`).
    Output,
    /// Not at all (`sxi`).
    Ignore,
}

impl BreakStatus {
    /// The word that `sx` has for it.
    ///
    /// ```
    /// use poolhit::debugger::event_filter::BreakStatus;
    /// assert_eq!(BreakStatus::SecondChance.word(), "second-chance break");
    /// ```
    pub fn word(self) -> &'static str {
        match self {
            BreakStatus::Break => "break",
            BreakStatus::SecondChance => "second-chance break",
            BreakStatus::Output => "output",
            BreakStatus::Ignore => "ignore",
        }
    }
}

/// What a filter is for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Filtered {
    /// Exceptions with this code.
    Exception(u32),
    /// All exceptions that no other filter is for.
    OtherExceptions,
    /// Modules that are loaded: those that the pattern fits, if there is one.
    ModuleLoad(Option<String>),
    /// Modules that are unloaded, likewise.
    ModuleUnload(Option<String>),
}

/// One filter.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct EventFilter {
    /// The letters that name it; empty for an exception's number.
    pub name: &'static str,
    /// The letters that name its handling, where those are others.
    pub handling_name: &'static str,
    /// What the debugger calls the event.
    pub text: &'static str,
    /// What it is for.
    pub filtered: Filtered,
    /// Whether it stops the guest.
    pub status: BreakStatus,
    /// Whether it is taken for handled when the guest goes on; of exceptions alone.
    pub handled: bool,
    /// The commands at its first chance.
    pub command: String,
    /// The commands at its second.
    pub second_command: String,
    /// Somebody has set it: until then nobody looks for the event.
    pub is_set: bool,
}

type Row = (&'static str, &'static str, &'static str, u32, BreakStatus);

/// The exceptions that have names, in `sx`'s order and words, and with its defaults.
const EXCEPTIONS: [Row; 25] = {
    use BreakStatus::{Break, Ignore, SecondChance};
    [
        ("av", "", "Access violation", 0xc000_0005, Break),
        ("asrt", "", "Assertion failure", 0xc000_0420, Break),
        (
            "bpe",
            "bpec",
            "Break instruction exception",
            0x8000_0003,
            Break,
        ),
        ("eh", "", "C++ EH exception", 0xe06d_7363, SecondChance),
        ("cce", "cc", "Control-Break exception", 0x4001_0008, Break),
        ("cce", "cc", "Control-C exception", 0x4001_0005, Break),
        ("dm", "", "Data misaligned", 0x8000_0002, Break),
        (
            "dbce",
            "",
            "Debugger command exception",
            0x4001_0009,
            Ignore,
        ),
        ("gp", "", "Guard page violation", 0x8000_0001, Break),
        ("ii", "", "Illegal instruction", 0xc000_001d, SecondChance),
        ("ip", "", "In-page I/O error", 0xc000_0006, Break),
        ("dz", "", "Integer divide-by-zero", 0xc000_0094, Break),
        ("iov", "", "Integer overflow", 0xc000_0095, Break),
        ("ch", "hc", "Invalid handle", 0xc000_0008, Break),
        ("lsq", "", "Invalid lock sequence", 0xc000_001e, Break),
        ("isc", "", "Invalid system call", 0xc000_001c, Break),
        ("3c", "", "Port disconnected", 0xc000_0037, SecondChance),
        ("sse", "ssec", "Single step exception", 0x8000_0004, Break),
        (
            "sbo",
            "",
            "Security check failure or stack buffer overrun",
            0xc000_0409,
            Break,
        ),
        ("sov", "", "Stack overflow", 0xc000_00fd, Break),
        ("vs", "", "Verifier stop", 0xc000_0421, Break),
        ("vcpp", "", "Visual C++ exception", 0x406d_1388, Ignore),
        ("wkd", "", "Wake debugger", 0x8000_0007, Break),
        ("wob", "", "WOW64 breakpoint", 0x4000_001f, Break),
        ("wos", "", "WOW64 single step exception", 0x4000_001e, Break),
    ]
};
/// Those that are taken for handled unless somebody says otherwise: they are for debuggers.
const HANDLED: [&str; 7] = ["bpe", "cce", "dbce", "sse", "vcpp", "wob", "wos"];

/// All filters.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct EventFilters {
    list: Vec<EventFilter>,
}

impl Default for EventFilters {
    fn default() -> EventFilters {
        let filter = |name, handling_name, text, filtered, status| EventFilter {
            name,
            handling_name,
            text,
            filtered,
            status,
            handled: HANDLED.contains(&name),
            command: String::new(),
            second_command: String::new(),
            is_set: false,
        };
        let (load, unload) = (Filtered::ModuleLoad(None), Filtered::ModuleUnload(None));
        let mut list = vec![
            filter("ld", "", "Load module", load, BreakStatus::Output),
            filter("ud", "", "Unload module", unload, BreakStatus::Ignore),
        ];
        list.extend(EXCEPTIONS.map(|(name, handling, text, code, status)| {
            filter(name, handling, text, Filtered::Exception(code), status)
        }));
        list.push(filter(
            "*",
            "",
            "Other exception",
            Filtered::OtherExceptions,
            BreakStatus::SecondChance,
        ));
        EventFilters { list }
    }
}

impl EventFilters {
    /// All of them, in `sx`'s order: modules, exceptions, numbered ones, and the rest.
    ///
    /// ```
    /// use poolhit::debugger::event_filter::EventFilters;
    /// assert_eq!(EventFilters::default().iter().next().unwrap().name, "ld");
    /// ```
    pub fn iter(&self) -> impl Iterator<Item = &EventFilter> {
        self.list.iter()
    }

    /// Whether somebody has set one.
    ///
    /// ```
    /// use poolhit::debugger::event_filter::EventFilters;
    /// assert!(!EventFilters::default().are_set());
    /// ```
    pub fn are_set(&self) -> bool {
        self.list.iter().any(|one| one.is_set)
    }

    /// The filters with these letters for a name, or for their handling's, to change them; `cce`
    /// names two.
    ///
    /// ```
    /// use poolhit::debugger::event_filter::{BreakStatus, EventFilters};
    /// let mut filters = EventFilters::default();
    /// for filter in filters.named("AV") {
    ///     filter.status = BreakStatus::Output;
    /// }
    /// assert!(filters.are_set() && filters.named("nothing").is_empty());
    /// ```
    pub fn named(&mut self, name: &str) -> Vec<&mut EventFilter> {
        let is = |known: &str| !known.is_empty() && known.eq_ignore_ascii_case(name);
        let found = self.list.iter_mut();
        let mut found: Vec<_> = found
            .filter(|one| is(one.name) || is(one.handling_name))
            .collect();
        for filter in &mut found {
            filter.is_set = true;
        }
        found
    }

    /// The filter for an exception's code, to change it: one of its own if there is none.
    /// `None` if there are [`NUMBERED_FILTERS`] already.
    ///
    /// ```
    /// use poolhit::debugger::event_filter::EventFilters;
    /// let mut filters = EventFilters::default();
    /// assert_eq!(filters.numbered(0xc0000005).unwrap().name, "av");
    /// assert_eq!(filters.numbered(0xc0000022).unwrap().text, "Other exception");
    /// ```
    pub fn numbered(&mut self, code: u32) -> Option<&mut EventFilter> {
        let wanted = Filtered::Exception(code);
        let found = self.list.iter().position(|one| one.filtered == wanted);
        let last = self.list.len() - 1;
        let at = match found {
            Some(at) => at,
            None if last >= EXCEPTIONS.len() + 2 + NUMBERED_FILTERS => return None,
            None => {
                let filter = EventFilter {
                    name: "",
                    filtered: wanted,
                    ..self.list[last].clone()
                };
                self.list.insert(last, filter);
                last
            }
        };
        let filter = self.list.get_mut(at)?;
        filter.is_set = true;
        Some(filter)
    }

    /// The filter that an exception is for.
    ///
    /// ```
    /// use poolhit::debugger::event_filter::EventFilters;
    /// let filters = EventFilters::default();
    /// assert_eq!(filters.of_exception(0xc0000094).name, "dz");
    /// assert_eq!(filters.of_exception(0xdead).name, "*");
    /// ```
    pub fn of_exception(&self, code: u32) -> &EventFilter {
        let own = self
            .list
            .iter()
            .find(|one| one.filtered == Filtered::Exception(code));
        // the last one is for all others
        own.unwrap_or(&self.list[self.list.len() - 1])
    }

    /// The filter that a module's coming or going is for, if its pattern fits the name.
    ///
    /// ```
    /// use poolhit::debugger::event_filter::EventFilters;
    /// let filters = EventFilters::default();
    /// assert_eq!(filters.of_module("myfault.sys", false).unwrap().name, "ud");
    /// ```
    pub fn of_module(&self, file: &str, loaded: bool) -> Option<&EventFilter> {
        let stem = file.rsplit_once('.').map_or(file, |(stem, _)| stem);
        let fits = |pattern: &Option<String>| {
            let pattern = pattern.as_deref();
            pattern.is_none_or(|pattern| matches(pattern, file) || matches(pattern, stem))
        };
        self.list.iter().find(|one| match &one.filtered {
            Filtered::ModuleLoad(pattern) => loaded && fits(pattern),
            Filtered::ModuleUnload(pattern) => !loaded && fits(pattern),
            _ => false,
        })
    }
}
