//! The commands' pages: what `.hh` shows, `docs/commands.md` holds, and [`reference`](super::reference) is in
//! this documentation. A page is the documentation of the module that executes its commands.

/// A page: some commands, and what there is to say about them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Page {
    /// The file with the commands' code, in `harness/commands`.
    pub file: &'static str,
    /// The commands' names.
    pub names: &'static [&'static str],
    source: &'static str,
}

macro_rules! page {
    ($file:literal, [$($name:literal),+]) => {
        Page {
            file: $file,
            names: &[$($name),+],
            source: include_str!($file),
        }
    };
}

/// All pages, by their files' names.
static PAGES: &[Page] = &[
    page!("aliases.rs", ["aS", "ad", "al", "as"]),
    page!("analyze.rs", ["!analyze"]),
    page!("break_on_access.rs", ["ba"]),
    page!("bug_check.rs", [".bugcheck"]),
    page!("catch.rs", [".catch", ".leave"]),
    page!("change_breakpoints.rs", ["bc", "bd", "be"]),
    page!("compare.rs", ["c"]),
    page!(
        "condition.rs",
        [".block", ".else", ".elseif", ".elsif", ".if", "j"]
    ),
    page!("context.rs", [".cxr", ".trap"]),
    page!(
        "display.rs",
        ["d", "dW", "db", "dc", "dd", "dp", "dq", "dw"]
    ),
    page!("display_list.rs", ["dl", "dlb"]),
    page!("display_number.rs", ["dD", "df", "dyb", "dyd"]),
    page!(
        "display_pointers.rs",
        [
            "dda", "ddp", "dds", "ddu", "dpa", "dpp", "dps", "dpu", "dqa", "dqp", "dqs", "dqu"
        ]
    ),
    page!("display_string.rs", ["dS", "da", "ds", "du"]),
    page!("display_type.rs", ["dt"]),
    page!("driver_objects.rs", ["!devobj", "!devstack", "!drvobj"]),
    page!("echo.rs", [".echo"]),
    page!("effective_machine.rs", [".effmach"]),
    page!(
        "enter.rs",
        [
            "e", "eD", "ea", "eb", "ed", "ef", "ep", "eq", "eu", "ew", "eza", "ezu"
        ]
    ),
    page!("environment.rs", ["!teb", "!peb"]),
    page!("error_code.rs", ["!error"]),
    page!("evaluate.rs", ["?"]),
    page!(
        "event_filters.rs",
        ["sx", "sxd", "sxe", "sxi", "sxn", "sxr"]
    ),
    page!("examine.rs", ["x"]),
    page!("exception_record.rs", [".exr"]),
    page!("fill.rs", ["f", "fp"]),
    page!("for_each.rs", [".foreach"]),
    page!("for_each_module.rs", ["!for_each_module"]),
    page!("formats.rs", [".formats"]),
    page!("frame.rs", [".frame"]),
    page!("go.rs", ["g", "ga", "gc", "gh", "gn"]),
    page!("go_up.rs", ["gu"]),
    page!("handles.rs", ["!handle"]),
    page!("help.rs", [".help", ".hh"]),
    page!("image_headers.rs", ["!dh", "!lmi"]),
    page!("implicit.rs", [".process", ".thread", "~"]),
    page!("interrupts.rs", ["!idt"]),
    page!("kernel_object.rs", ["!object"]),
    page!("last_event.rs", [".cls", ".lastevent"]),
    page!("lines.rs", [".lines"]),
    page!("list.rs", ["!list"]),
    page!("list_breakpoints.rs", ["bl"]),
    page!("list_modules.rs", ["lm"]),
    page!("local_variables.rs", ["dv"]),
    page!(
        "log_file.rs",
        [".logappend", ".logclose", ".logfile", ".logopen"]
    ),
    page!(
        "loops.rs",
        [".break", ".continue", ".do", ".for", ".while", "z"]
    ),
    page!("memory_files.rs", [".writemem", ".readmem"]),
    page!("model_specific.rs", ["rdmsr", "wrmsr"]),
    page!("move_memory.rs", ["m"]),
    page!("nearest.rs", ["ln"]),
    page!("page_table.rs", ["!pte", "!vtop"]),
    page!(
        "physical.rs",
        [
            "!da", "!db", "!dc", "!dd", "!dp", "!dq", "!du", "!dw", "!eb", "!ed"
        ]
    ),
    page!("pool.rs", ["!pool"]),
    page!("pool_find.rs", ["!poolfind"]),
    page!("pool_used.rs", ["!poolused"]),
    page!("pool_validate.rs", ["!poolval"]),
    page!("print_formatted.rs", [".printf"]),
    page!("processes.rs", ["!process"]),
    page!("processors.rs", ["!irql", "!pcr", "!prcb"]),
    page!("quit.rs", ["q"]),
    page!("radix.rs", ["n"]),
    page!("register_mask.rs", ["rm"]),
    page!("registers.rs", ["r"]),
    page!("renumber_breakpoints.rs", ["br"]),
    page!("request_packet.rs", ["!irp"]),
    page!("running.rs", ["!running", "!ready"]),
    page!("script_file.rs", ["$$<", "$$><", "$$>a<", "$<", "$><"]),
    page!("search.rs", ["s"]),
    page!("set_breakpoint.rs", ["bm", "bp", "bu"]),
    page!("set_stack_length.rs", [".kframes"]),
    page!("stack.rs", ["k"]),
    page!(
        "step.rs",
        [
            "p", "pa", "pc", "pct", "ph", "pt", "t", "ta", "tb", "tc", "tct", "th", "tt"
        ]
    ),
    page!("symbol_files.rs", [".reload", ".sympath"]),
    page!("threads.rs", ["!thread"]),
    page!("time.rs", [".time"]),
    page!("unassemble.rs", ["u", "ub"]),
    page!("unassemble_function.rs", ["uf"]),
    page!("version.rs", ["version", "vertarget"]),
];

/// What starts an example, and what ends it.
const EXAMPLE: &str = "```text\nkd> ";
const END: &str = "\n```";

impl Page {
    /// The page's text, in Markdown.
    ///
    /// ```
    /// let page = poolhit::commands::pages::page("k").unwrap();
    /// assert!(page.text().starts_with("`k"));
    /// ```
    pub fn text(&self) -> String {
        let lines = self.source.lines();
        let lines = lines.map_while(|line| line.strip_prefix("//!"));
        let lines = lines.map(|line| line.strip_prefix(' ').unwrap_or(line));
        lines.collect::<Vec<_>>().join("\n")
    }

    /// The page's example, as a transcript.
    ///
    /// ```
    /// let page = poolhit::commands::pages::page("?").unwrap();
    /// assert!(page.example().unwrap().starts_with("kd> ? "));
    /// ```
    pub fn example(&self) -> Option<String> {
        let text = self.text();
        let start = text.find(EXAMPLE)? + "```text\n".len();
        let length = text[start..].find(END)?;
        Some(format!("{}\n", &text[start..start + length]))
    }

    /// The page's text for a terminal: examples indented, without Markdown's fences.
    ///
    /// ```
    /// let page = poolhit::commands::pages::page("?").unwrap();
    /// assert!(page.plain_text().contains("\n    kd> ? "));
    /// ```
    pub fn plain_text(&self) -> String {
        let mut plain = String::new();
        let mut inside = false;
        for line in self.text().lines() {
            if line.starts_with("```") {
                inside = !inside;
                continue;
            }
            if inside {
                plain.push_str("    ");
            }
            plain.push_str(line);
            plain.push('\n');
        }
        plain
    }
}

/// All pages, by their files' names.
///
/// ```
/// use poolhit::commands::{names, pages::pages};
/// assert!(names().all(|name| pages().any(|page| page.names.contains(&name))));
/// ```
pub fn pages() -> impl Iterator<Item = &'static Page> {
    PAGES.iter()
}

/// The page of a command, by its name.
///
/// ```
/// use poolhit::commands::pages::page;
/// assert_eq!(page(".if"), page("j"));
/// assert!(page("no such command").is_none());
/// ```
pub fn page(name: &str) -> Option<&'static Page> {
    pages().find(|page| page.names.contains(&name))
}

/// The reference of all commands, in Markdown: the text of `docs/commands.md`.
///
/// ```
/// assert!(poolhit::commands::pages::reference().contains("## `!analyze`\n"));
/// ```
pub fn reference() -> String {
    let mut text = String::from(
        "# The debugger's commands\n\nEach page is the documentation of the module with the commands' code, \
         in `harness/commands`; `.hh COMMAND` shows it at the prompt.\n",
    );
    let mut pages: Vec<&Page> = pages().collect();
    pages.sort_by_key(|page| page.names);
    for page in pages {
        let names: Vec<String> = page.names.iter().map(|name| format!("`{name}`")).collect();
        text.push_str(&format!("\n## {}\n\n{}\n", names.join(", "), page.text()));
    }
    text + &super::absent::reference()
}
