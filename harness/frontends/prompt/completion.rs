//! What may stand in place of the word that is being typed.

use crate::commands::{name_of, names};
use crate::debugger::Session;
use crate::debugger::register_name::gpr_names;
use crate::symbols::{Module, Modules};
use std::fs;
use std::path::Path;

/// The most candidates: with more, nobody reads them.
pub const MOST: usize = 1000;

/// The words that a session knows.
///
/// ```
/// use poolhit::{Lab, Session, frontends::prompt::completion::{Words, complete}};
/// let session = Session::new(Lab::builder().build()?);
/// let words = Words::of(&session);
/// let (start, found) = complete(&words, "dc nt!PoolHitT", 14);
/// assert_eq!((start, found), (3, vec!["nt!PoolHitTag".to_string()]));
/// # Ok::<(), poolhit::guest::LabError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Words {
    modules: Modules,
    aliases: Vec<String>,
}

impl Words {
    /// A session's words, as they are now.
    pub fn of(session: &Session) -> Words {
        Words {
            modules: session.modules().clone(),
            aliases: session
                .aliases()
                .iter()
                .map(|(name, _)| name.to_string())
                .collect(),
        }
    }
}

/// The registers that have a name of their own, besides the general ones.
const REGISTERS: [&str; 10] = [
    "rip", "efl", "cr0", "cr2", "cr3", "cr4", "cr8", "gdtr", "idtr", "mxcsr",
];
const PSEUDO_REGISTERS: [&str; 19] = [
    "$ip",
    "$ea",
    "$ea2",
    "$frame",
    "$previp",
    "$ra",
    "$retreg",
    "$csp",
    "$thread",
    "$proc",
    "$teb",
    "$peb",
    "$tid",
    "$tpid",
    "$exp",
    "$p",
    "$pcr",
    "$bug_code",
    "$exr_code",
];

/// The commands whose argument is a file.
const WITH_FILE: [&str; 7] = [
    "$$>a<",
    "$$><",
    "$$<",
    "$><",
    "$<",
    ".logopen",
    ".logappend",
];

/// What may stand in place of the word that ends at `position`, a byte of the line: where the word starts,
/// and the candidates in order.
///
/// ```
/// # use poolhit::{Lab, Session, frontends::prompt::completion::{Words, complete}};
/// # let words = Words::of(&Session::new(Lab::builder().build()?));
/// assert_eq!(complete(&words, "k; !pooll", 9).1, Vec::<String>::new());
/// assert_eq!(complete(&words, "k; !poolf", 9), (3, vec!["!poolfind".to_string()]));
/// assert_eq!(complete(&words, "r @$retr", 8), (2, vec!["@$retreg".to_string()]));
/// # Ok::<(), poolhit::guest::LabError>(())
/// ```
pub fn complete(words: &Words, line: &str, position: usize) -> (usize, Vec<String>) {
    let Some(typed) = line.get(..position) else {
        return (0, Vec::new());
    };
    let command_at = command_start(typed);
    let command = typed[command_at..].trim_start();
    let command_at = typed.len() - command.len();
    if let Some(name) = WITH_FILE.iter().find(|name| command.starts_with(**name)) {
        let path = command[name.len()..].trim_start().trim_start_matches('"');
        return (typed.len() - path.len(), files(path));
    }
    let ends_a_word = |c: &(usize, char)| c.1.is_whitespace() || "()+-*/&|=<>\"',".contains(c.1);
    let word_at = command
        .char_indices()
        .rfind(ends_a_word)
        .map_or(command_at, |(at, c)| command_at + at + c.len_utf8());
    let word = &typed[word_at..];
    let mut found: Vec<String> = if word_at == command_at {
        let commands = names().map(str::to_string);
        commands.chain(words.aliases.iter().cloned()).collect()
    } else if command.starts_with(".hh ") {
        names().map(str::to_string).collect()
    } else if word.starts_with('@') {
        let general = gpr_names().map(|(_, name)| name);
        let registers = general.chain(REGISTERS).chain(PSEUDO_REGISTERS);
        registers.map(|name| format!("@{name}")).collect()
    } else if let Some(file) = word.strip_prefix('`') {
        source_files(words, file)
    } else if let Some((module, symbol)) = word.split_once('!') {
        let mut found = symbols(words, module, symbol);
        if is_display_type(command) {
            found.extend(types(words, Some(module), symbol));
        }
        found
    } else if is_display_type(command) && !word.is_empty() {
        let mut found = types(words, None, word);
        found.extend(words.modules.iter().map(|module| module.name().to_string()));
        found
    } else {
        let modules = words.modules.iter().map(|module| module.name().to_string());
        modules.chain(words.aliases.iter().cloned()).collect()
    };
    found.retain(|candidate| starts_with(candidate, word));
    found.sort();
    found.dedup();
    found.truncate(MOST);
    (word_at, found)
}

/// The commands that take commands in double quotes.
const WITH_COMMANDS: [&str; 21] = [
    "ba", "bm", "bp", "bu", "p", "pa", "pc", "pct", "ph", "pt", "sxd", "sxe", "sxi", "sxn", "t",
    "ta", "tb", "tc", "tct", "th", "tt",
];

/// Where the command starts that is being typed: behind the last one, the start of a block, or the quote in front
/// of the commands that a breakpoint, a step or an event is to execute.
fn command_start(typed: &str) -> usize {
    let start = typed.rfind([';', '{', '}']).map_or(0, |at| at + 1);
    let command = &typed[start..];
    let name = name_of(command.trim_start());
    let quote = match name {
        Some(name) if WITH_COMMANDS.contains(&name) => '"',
        Some("j") => '\'',
        _ => return start,
    };
    let escaped = |at: usize| command[..at].ends_with('\\');
    let places = command.match_indices(quote).map(|(at, _)| at);
    let places: Vec<usize> = places.filter(|at| !escaped(*at)).collect();
    match places.last() {
        Some(at) if places.len() % 2 == 1 => {
            let inside = start + at + 1;
            // The quotes of the commands in there have a backslash in front.
            inside + command_start(&typed[inside..].replace(r#"\""#, r#" ""#))
        }
        _ => start,
    }
}

/// Whether the command is `dt`, whose words are types.
fn is_display_type(command: &str) -> bool {
    let behind = command.get(2..).unwrap_or_default();
    command
        .get(..2)
        .is_some_and(|name| name.eq_ignore_ascii_case("dt"))
        && behind.starts_with(char::is_whitespace)
}

/// The types that start so, of a module or of all.
fn types(words: &Words, module: Option<&str>, prefix: &str) -> Vec<String> {
    let mut found = Vec::new();
    for one in words.modules.iter() {
        let named = module.is_none_or(|name| name.eq_ignore_ascii_case(one.name()));
        if !named || prefix.contains(['*', '?', '[', '#']) {
            continue;
        }
        let pattern = format!("{prefix}*");
        let fitting = one.types().matching(&pattern);
        let names = fitting.map(|ty| ty.name().trim_end().to_string());
        // Names with spaces in them cannot be typed.
        let names = names.filter(|name| !name.contains(char::is_whitespace));
        found.extend(names.take(MOST).map(|name| match module {
            Some(module) => format!("{module}!{name}"),
            None => name,
        }));
    }
    found
}

/// The names of source files behind a back-tick, of a module or of all.
fn source_files(words: &Words, typed: &str) -> Vec<String> {
    let module = typed.split_once('!').map(|(module, _)| module);
    let named = |one: &&Module| module.is_none_or(|name| name.eq_ignore_ascii_case(one.name()));
    let before = module.map_or(String::new(), |module| format!("{module}!"));
    let files = words.modules.iter().filter(named);
    let files = files.flat_map(|one| one.lines().files());
    let names = files.filter_map(|path| Some(path.rsplit(['/', '\\']).next()?.to_owned()));
    names.map(|name| format!("`{before}{name}:")).collect()
}

/// Whether a text starts with another, in either case.
fn starts_with(text: &str, prefix: &str) -> bool {
    text.get(..prefix.len())
        .is_some_and(|start| start.eq_ignore_ascii_case(prefix))
}

/// The symbols of a module that start so.
fn symbols(words: &Words, module: &str, prefix: &str) -> Vec<String> {
    let Some(found) = words.modules.by_name(module) else {
        return Vec::new();
    };
    let symbols = found.symbols().iter().map(|symbol| symbol.name.as_ref());
    // Names with spaces in them can only be typed in quotes.
    let plain = symbols.filter(|name: &&str| !name.contains(char::is_whitespace));
    let found = plain.filter(|name| starts_with(name, prefix));
    found.map(|name| format!("{module}!{name}")).collect()
}

/// The files whose paths start so; folders end in a slash.
fn files(path: &str) -> Vec<String> {
    let (folder, prefix) = match path.rfind('/') {
        Some(slash) => path.split_at(slash + 1),
        None => ("", path),
    };
    let place = if folder.is_empty() { "." } else { folder };
    let Ok(entries) = fs::read_dir(Path::new(place)) else {
        return Vec::new();
    };
    let mut found = Vec::new();
    for entry in entries.flatten().take(MOST * 10) {
        let Ok(name) = entry.file_name().into_string() else {
            continue;
        };
        let hidden = name.starts_with('.') && !prefix.starts_with('.');
        if name.starts_with(prefix) && !hidden {
            let end = if entry.path().is_dir() { "/" } else { "" };
            found.push(format!("{folder}{name}{end}"));
        }
    }
    found.sort();
    found.truncate(MOST);
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guest::Lab;
    use proptest::prelude::*;

    fn session() -> Session {
        let mut session = Session::new(Lab::builder().memory(16 << 20).build().unwrap());
        session.aliases_mut().set("MyTag", "x").unwrap();
        session
    }

    #[track_caller]
    fn check(line: &str, start: usize, expected: &[&str]) {
        let words = Words::of(&session());
        let (at, found) = complete(&words, line, line.len());
        assert_eq!(
            (at, found),
            (start, expected.iter().map(|one| one.to_string()).collect())
        );
    }

    #[test]
    fn words_are_completed_by_their_place() {
        check("vert", 0, &["vertarget"]);
        check("k;  .forea", 4, &[".foreach"]);
        check(".if (1) { .effm", 10, &[".effmach"]);
        check("MyT", 0, &["MyTag"]);
        check("dc MyT", 3, &["MyTag"]);
        check("u myf", 2, &["myfault"]);
        check("u (NT!ntclos", 3, &["NT!NtClose"]);
        check("? poi(@$re", 6, &["@$retreg"]);
        check(
            "? @rsp+@r1",
            7,
            &["@r10", "@r11", "@r12", "@r13", "@r14", "@r15"],
        );
        check("u nobody!x", 2, &[]);
        check("bp `LOOK", 3, &["`lookaside.c:"]);
        check("bp `nt!looka", 3, &["`nt!lookaside.c:"]);
        check("bp `myfault!looka", 3, &[]);
        check(".hh !poolv", 4, &["!poolval"]);
        check("dt nt!_EPRO", 3, &["nt!_EPROCESS"]);
        check("dt -r1 _driver_o", 7, &["_DRIVER_OBJECT"]);
        check("k; DT NT!_KTHR", 6, &["NT!_KTHREAD"]);
        check("dt myf", 3, &["myfault"]);
        check("dc nt!_EPRO", 3, &[]);
        check("dt nt!PoolHitT", 3, &["nt!PoolHitTag"]);
        // in blocks and in the commands of breakpoints
        check(".if (1) { k } .elsi", 14, &[".elsif"]);
        check("bp nt!NtClose \"vertar", 15, &["vertarget"]);
        check("bp nt!NtClose \"k; dt nt!_EPRO", 21, &["nt!_EPROCESS"]);
        check("bp nt!NtClose \".if (1) { dc myf", 28, &["myfault"]);
        check("sxe -c \"!poolf", 8, &["!poolfind"]);
        check("bp nt \"bp nt \\\"vertar", 15, &["vertarget"]);
        check("j (1) 'vertar", 7, &["vertarget"]);
        check("bp nt \"k\" vertar", 10, &[]);
        check(".echo \"vertar", 7, &[]);
        // A space may be more than one byte long.
        check("u\u{3000}myf", 4, &["myfault"]);
    }

    #[test]
    fn files_are_completed_where_a_command_takes_one() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("script one.txt"), "").unwrap();
        fs::create_dir(folder.path().join("scripts")).unwrap();
        fs::write(folder.path().join(".hidden"), "").unwrap();
        let path = folder.path().display();
        for command in ["$$><", ".logopen ", "$$>a<\""] {
            let one = format!("{path}/script one.txt");
            let folder = format!("{path}/scripts/");
            let line = format!("{command}{path}/scr");
            check(&line, command.len(), &[&one, &folder]);
        }
        check(".logopen /no/such/folder/x", 9, &[]);
    }

    proptest! {
        #[test]
        fn any_line_is_completed(line in r"([!@$;{( ]|nt|\PC){0,20}", position in 0_usize..30) {
            thread_local! {
                static WORDS: Words = Words::of(&session());
            }
            let (start, _) = WORDS.with(|words| complete(words, &line, position));
            prop_assert!(start <= line.len() && line.is_char_boundary(start));
        }
    }
}
