//! Commands of WinDbg that this target cannot have, and what there is in their place: whoever types one is told
//! so, and not that it is a mistake.

use super::name_length;

/// The names, in ASCII order, and a sentence each.
static ABSENT: &[(&str, &str)] = &[
    (
        "!sym",
        "How symbols are looked for is not shown here: .sympath says where.",
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
        ".load",
        "There are no extension libraries here: the commands with ! are built in.",
    ),
    (
        ".process",
        "No other process's context can be set here: !process shows the processes.",
    ),
    (
        ".reboot",
        "The guest cannot be started again: leave with q, and start anew.",
    ),
    (
        ".restart",
        "The guest cannot be started again: leave with q, and start anew.",
    ),
    (
        ".symfix",
        "Symbol servers are not asked here: .sympath takes folders with PDBs.",
    ),
    (
        ".thread",
        "No other thread's context can be set here: !thread shows the threads.",
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
        "dv",
        "Local variables are not known here: k shows the stack, and dps @rsp what is on it.",
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
        "ob",
        "The guest's ports cannot be written here: ba i stops where a port is used.",
    ),
    (
        "qd",
        "There is no target to leave running here: q ends the session.",
    ),
    (
        "wt",
        "Calls are not traced to their end here: tct goes from call to return.",
    ),
    (
        "|",
        "There is one system here, and no other to list or to go to.",
    ),
    (
        "~",
        "There is one processor to look at here, and no other to list or to go to.",
    ),
];

/// What there is to say of the absent command that a text starts with.
///
/// ```
/// use poolhit::commands::absent_command;
/// assert!(absent_command("~0s").unwrap().contains("processor"));
/// assert!(absent_command("?? sizeof(int)").is_some());
/// assert!(absent_command("? 1").is_none());
/// ```
pub fn absent_command(command: &str) -> Option<&'static str> {
    let name = match command.starts_with("??") {
        true => "??",
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
