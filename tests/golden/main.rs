//! The golden session: what a debugger printed on a real machine while it found out who leaks,
//! against what this one prints, through the library, through the program, and with every image
//! at other addresses.

mod compare;
mod moved;
mod play;
mod script;
mod shift;

use play::{judge, play};
use poolhit::{Lab, Session};
use script::{BREAK_IN_KEY, golden, steps};
use std::process::Command;

/// Losing lines of the text would weaken every test here.
#[test]
fn the_text_is_all_there() {
    let steps = golden();
    let lines = steps.iter().map(|step| step.lines.len()).sum::<usize>();
    let keys = steps.iter().filter(|step| step.break_in).count();
    assert_eq!((steps.len(), lines, keys), (16, 36, 1));
}

#[test]
fn the_session_prints_the_golden_lines() {
    let mut session = Session::new(Lab::builder().build().unwrap());
    assert_eq!(session.processor_number(), 1);
    let steps = golden();
    let printed = play(&mut session, &steps);
    judge(&steps, &printed).unwrap();
}

/// A debugger that prints one line otherwise does not pass.
#[test]
fn every_line_counts() {
    let golden = golden();
    let printed: Vec<String> = golden.iter().map(|step| step.lines.join("\n")).collect();
    judge(&golden, &printed).unwrap();
    for step in 0..golden.len() {
        for line in 0..golden[step].lines.len() {
            let mut other = golden.clone();
            other[step].lines[line].push('!');
            judge(&other, &printed).unwrap_err();
        }
    }
}

#[test]
fn the_demonstration_is_the_golden_session() {
    let output = Command::new(env!("CARGO_BIN_EXE_poolhit"))
        .arg("demo")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "");
    let shown = String::from_utf8(output.stdout).unwrap();
    assert_eq!(shown.matches(BREAK_IN_KEY).count(), 1);

    let shown = steps(&shown).unwrap();
    let golden = golden();
    let asked = |steps: &[script::Step]| -> Vec<_> {
        steps
            .iter()
            .map(|step| (step.command.clone(), step.break_in))
            .collect()
    };
    assert_eq!(asked(&shown), asked(&golden));
    let printed: Vec<String> = shown
        .iter()
        .map(|step| step.lines.iter().map(|line| format!("{line}\n")).collect())
        .collect();
    judge(&golden, &printed).unwrap();

    let mut session = Session::new(Lab::builder().build().unwrap());
    assert_eq!(printed, play(&mut session, &golden));
}
