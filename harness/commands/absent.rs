//! Commands of WinDbg that this target cannot have, and what there is in their place: whoever types one is told
//! so, and not that it is a mistake.

use super::name_length;

/// The names, in ASCII order, and a sentence each.
static ABSENT: &[(&str, &str)] = &[
    (
        "!address",
        "Address ranges are not listed here: !pte shows a page, and lm the modules.",
    ),
    ("!dbgprint", "What the guest prints is shown as it comes."),
    (
        "!dpcs",
        "DPC queues are not listed here: dt nt!_KDPC shows one.",
    ),
    ("!fileobj", "dt nt!_FILE_OBJECT shows a file object."),
    (
        "!for_each_process",
        "!process 0 7 shows all processes; !list goes through their list with commands.",
    ),
    ("!for_each_thread", "!process 0 7 shows all threads."),
    (
        "!help",
        ".hh COMMAND shows a command's page, and .help all names.",
    ),
    (
        "!irpfind",
        "Requests are not searched for here: !irp shows one, and !thread those of a thread.",
    ),
    (
        "!locks",
        "The kernel keeps no list of its resources here: dt nt!_ERESOURCE shows one.",
    ),
    (
        "!stacks",
        "The scheduler's queues are not listed here: !process 0 7 shows all threads and what they wait for.",
    ),
    (
        "!sym",
        "How symbols are looked for is not shown here: .sympath says where.",
    ),
    (
        "!timer",
        "Timers are not listed here: dt nt!_KTIMER shows one.",
    ),
    ("!token", "There are no tokens here: no access is checked."),
    (
        "!validatelist",
        "dl and dlb follow a list forwards and backwards.",
    ),
    (
        "!verifier",
        "There is no Driver Verifier here: poolhit leaks finds what a driver leaves.",
    ),
    (
        "!vm",
        "No paging statistics are kept here: !poolused counts the pool.",
    ),
    (
        "!vprot",
        "Protection is not kept by ranges here: !pte shows a page's.",
    ),
    (
        "#",
        "Instructions are not searched by their text here: u lists them, and s -b finds bytes.",
    ),
    (
        ".chain",
        "There are no extension libraries here: the commands with ! are built in.",
    ),
    (
        ".crash",
        "The guest is not crashed on demand here: a driver's mistake does it.",
    ),
    (".dump", "No dump files are written here."),
    (
        ".ecxr",
        "There is no exception of a dump file here: .exr -1 shows the one that has stopped the guest.",
    ),
    (
        ".expr",
        "There is one kind of expressions here, MASM's: ? evaluates them.",
    ),
    (
        ".fnent",
        "A function's entry is not shown here: uf shows what belongs to it.",
    ),
    (
        ".load",
        "There are no extension libraries here: the commands with ! are built in.",
    ),
    (
        ".open",
        "No source files are read here: .lines -e has k say which line it is.",
    ),
    (
        ".reboot",
        "The guest cannot be started again: leave with q, and start anew.",
    ),
    (
        ".restart",
        "The guest cannot be started again: leave with q, and start anew.",
    ),
    (".shell", "No programs of the host are started here."),
    (
        ".srcpath",
        "No source files are read here: .lines -e has k say which line it is.",
    ),
    (
        ".symfix",
        "Symbol servers are not asked here: .sympath takes folders with PDBs.",
    ),
    (
        ".symopt",
        "There are no symbol options to set here: .sympath says where PDBs are looked for.",
    ),
    (
        ".unload",
        "There are no extension libraries here: the commands with ! are built in.",
    ),
    (
        "??",
        "There are no C++ expressions here: ? takes MASM expressions, and dt shows types.",
    ),
    (
        "a",
        "There is no assembler here: eb writes an instruction's bytes.",
    ),
    (
        "dg",
        "Segment selectors are not shown here: rM 100 shows the descriptor tables.",
    ),
    (
        "dx",
        "There is no data model here: dt shows types and ? values.",
    ),
    (
        "ib",
        "The guest's ports cannot be read here: ba i stops where a port is used.",
    ),
    (
        "kx",
        "There is no k with data model expressions here: kv shows all there is to a frame.",
    ),
    (
        "l+",
        "No source files are read here: .lines -e has k say which line it is.",
    ),
    (
        "l-",
        "No source files are read here: .lines -e has k say which line it is.",
    ),
    (
        "ls",
        "No source files are read here: .lines -e has k say which line it is.",
    ),
    (
        "lsa",
        "No source files are read here: .lines -e has k say which line it is.",
    ),
    (
        "ob",
        "The guest's ports cannot be written here: ba i stops where a port is used.",
    ),
    (
        "qd",
        "There is no target to leave running here: q ends the session.",
    ),
    (
        "uu",
        "u says where memory cannot be read: there is no other form here.",
    ),
    (
        "wt",
        "Calls are not traced to their end here: tct goes from call to return.",
    ),
    (
        "|",
        "There is one system here, and no other to list or to go to.",
    ),
];

/// What there is to say of the absent command that a text starts with.
///
/// ```
/// use poolhit::commands::absent_command;
/// assert!(absent_command("| 1s").unwrap().contains("system"));
/// assert!(absent_command("?? sizeof(int)").is_some());
/// assert!(absent_command("? 1").is_none());
/// ```
pub fn absent_command(command: &str) -> Option<&'static str> {
    let name = match command.starts_with("??") {
        true => "??",
        false if command.starts_with("l+") || command.starts_with("l-") => &command[..2],
        false => &command[..name_length(command)],
    };
    let found = ABSENT
        .iter()
        .find(|(absent, _)| absent.eq_ignore_ascii_case(name));
    found.map(|(_, sentence)| *sentence)
}

/// All of them, as a part of the commands' reference.
pub(super) fn reference() -> String {
    let mut text = String::from("\n## Commands of WinDbg that are not here\n\n");
    for (name, sentence) in ABSENT {
        text.push_str(&format!("- `{name}`: {sentence}\n"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::{ExecuteError, names};
    use crate::debugger::Session;
    use crate::guest::Lab;

    #[test]
    fn what_is_absent_is_told_and_no_command() {
        let mut session = Session::new(Lab::builder().build().unwrap());
        assert!(ABSENT.is_sorted());
        for (name, sentence) in ABSENT {
            assert!(!names().any(|one| one == *name), "{name}");
            assert!(sentence.ends_with('.'), "{name}");
            let error = session.execute(&format!("{name} 1")).unwrap_err();
            assert!(matches!(error, ExecuteError::Absent(_)), "{name}: {error}");
            assert_eq!(error.to_string(), *sentence);
        }
    }
}
