//! Random lines of commands.

use poolhit::commands::names;

/// A generator of numbers (xorshift64*, Vigna 2016), so that a seed says everything.
pub struct Random(u64);

impl Random {
    /// The numbers of a seed.
    pub fn new(seed: u64) -> Random {
        Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.next() >> 33) as usize % limit
    }

    fn one<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[self.below(of.len())]
    }
}

/// Bytes, most of them such as mean something somewhere.
pub fn noise(random: &mut Random) -> String {
    const PIECES: [&str; 40] = [
        " ",
        ";",
        "\"",
        "\\",
        "{",
        "}",
        "(",
        ")",
        "*",
        "$",
        "$$",
        "$u1",
        "${",
        "/",
        "'",
        "`",
        "!",
        "@",
        ".",
        "?",
        "+",
        "-",
        "\n",
        "\t",
        "\0",
        "é",
        "🦀",
        "\u{202e}",
        "l",
        "L?",
        "0x",
        "0n",
        "ffffffffffffffff",
        "nt!",
        "%s",
        "%99999d",
        "poi",
        "<",
        ">",
        ",",
    ];
    let length = random.below(24);
    (0..length)
        .map(|_| match random.below(3) {
            0 => char::from(b' ' + random.below(95) as u8).to_string(),
            _ => random.one(&PIECES).to_string(),
        })
        .collect()
}

/// An expression, of a depth.
fn expression(random: &mut Random, depth: usize) -> String {
    const LEAVES: [&str; 22] = [
        "0",
        "1",
        "7",
        "10",
        "100",
        "0n5",
        "fffff800`016530fc",
        "ffffffffffffffff",
        "nt",
        "nt!PoolHitTag",
        "myfault",
        "@rip",
        "@rsp",
        "rax",
        ".",
        "$t0",
        "@$t1",
        "nt!NtClose",
        "'2aeL'",
        "@$proc",
        "foo",
        "800000",
    ];
    if depth == 0 || random.below(3) == 0 {
        return random.one(&LEAVES).to_string();
    }
    let left = expression(random, depth - 1);
    match random.below(4) {
        0 => format!("({left})"),
        1 => format!(
            "{}({left})",
            random.one(&["poi", "dwo", "by", "-", "not", "hi", "$vvalid"])
        ),
        _ => {
            let sign = random.one(&["+", "-", "*", "/", "&", "|", "==", "<", ">>", " mod ", "!="]);
            format!("{left}{sign}{}", expression(random, depth - 1))
        }
    }
}

fn argument(random: &mut Random) -> String {
    match random.below(10) {
        0 => format!(
            "l{}",
            random.one(&["1", "4", "10", "?100", "-8", "0", "ffffffff"])
        ),
        1 => format!(
            "\"{}\"",
            random.one(&["k;g", "Leak", "%d %y\\n", "r rax", "", "a;b"])
        ),
        2 => format!(
            "/{}",
            random.one(&["c", "p", "1", "f", "x", "ma", "pS 1", "s", "w \"1\""])
        ),
        3 => format!("-{}", random.one(&["a", "d", "su", "[1]b", "r1", "v", "e"])),
        4 => random
            .one(&[
                "_LIST_ENTRY",
                "nt!_POOL*",
                "*",
                "Irp?",
                "Lea*",
                "nt!Ex*",
                "rax=",
                "=",
                ",",
            ])
            .to_string(),
        _ => expression(random, 2),
    }
}

/// The commands of a block.
fn block(random: &mut Random, depth: usize) -> String {
    let commands: Vec<String> = (0..=random.below(3))
        .map(|_| command(random, depth))
        .collect();
    commands.join("; ")
}

fn command(random: &mut Random, depth: usize) -> String {
    if depth > 0 && random.below(3) == 0 {
        let inside = block(random, depth - 1);
        let condition = expression(random, 1);
        return match random.below(12) {
            0 => format!(
                ".if ({condition}) {{ {inside} }} .else {{ {} }}",
                block(random, depth - 1)
            ),
            1 => format!(".while ({condition}) {{ {inside}; .break }}"),
            2 => format!(".while ({condition}) {{ {inside} }}"),
            3 => format!(".for (r $t0=0; @$t0<3; r $t0=@$t0+1) {{ {inside} }}"),
            4 => format!(".do {{ {inside} }} ({condition})"),
            5 => format!(".foreach (x {{ {inside} }}) {{ {} x }}", command(random, 0)),
            6 => format!(".foreach /s (x \"1 2 rip\") {{ {inside}; ? x }}"),
            7 => format!(".catch {{ {inside} }}"),
            8 => format!(".block {{ {inside} }}"),
            9 => format!("j ({condition}) '{inside}' ; 'r'"),
            10 => format!(
                "bp nt!ExAllocatePoolWithTag \"{}; gc\"",
                inside.replace(['"', '\\'], "")
            ),
            _ => format!("{inside}; z({condition})"),
        };
    }
    let all: Vec<&str> = names().collect();
    let mut text = match random.below(8) {
        0 => random
            .one(&[
                "as x", "aS /x y", "ad *", "al", "r $.u1=", "x", "y", "${x}", "kvn", "lmvm",
            ])
            .to_string(),
        _ => all[random.below(all.len())].to_string(),
    };
    for _ in 0..random.below(4) {
        text.push(' ');
        text.push_str(&argument(random));
    }
    text
}

/// One command with some arguments.
pub fn single(random: &mut Random) -> String {
    command(random, 0)
}

/// A line that the language has, or nearly.
pub fn grammatical(random: &mut Random) -> String {
    let line = block(random, 3);
    match random.below(10) {
        // with something wrong
        0 if !line.is_empty() => {
            let characters = random.below(line.chars().count());
            line.chars().take(characters).collect()
        }
        _ => line,
    }
}

/// Whether an error of a line cannot come after something it has done: it is one command, and none that lets
/// the guest go on, executes others, or has done some of its work when it finds what is wrong.
pub fn changes_nothing(line: &str) -> bool {
    let one = !line.contains([';', '{', '\n', '$']);
    let name = line
        .split_whitespace()
        .next()
        .unwrap_or_default()
        .to_ascii_lowercase();
    let goes = ["g", "t", "p", "j", "z"]
        .iter()
        .any(|start| name.starts_with(start));
    // aliases that other lines make
    let alias = matches!(name.as_str(), "x" | "y");
    one && !goes && !alias && !name.starts_with("!for")
}
