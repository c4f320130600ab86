//! The golden session: what a debugger printed on a real machine while it found out who leaks,
//! against what this one prints, through the library, through the program, and with every image
//! at other addresses.

mod compare;
mod moved;
mod play;
mod shift;

use play::{golden, judge, lines, play, printed, transcript};
use poolhit::{Lab, Session};
use std::process::Command;

/// Losing lines of the text would weaken every test here.
#[test]
fn the_text_is_all_there() {
    let golden = golden();
    let steps = golden.steps();
    let lines = steps.iter().map(|step| lines(step).len()).sum::<usize>();
    let keys = steps.iter().filter(|step| step.breaks_in()).count();
    assert_eq!((steps.len(), lines, keys), (16, 36, 1));
}

#[test]
fn the_session_prints_the_golden_lines() {
    let mut session = Session::new(Lab::builder().build().unwrap());
    let golden = golden();
    let played = play(&mut session, &golden);
    judge(golden.steps(), &printed(&played)).unwrap();
    for (step, wanted) in played.steps.iter().zip(golden.steps()) {
        assert_eq!(step.prompt, wanted.prompt);
    }
}

/// A debugger that prints one line otherwise does not pass.
#[test]
fn every_line_counts() {
    let golden = golden();
    let text =
        |lines: &[String]| -> String { lines.iter().map(|line| format!("{line}\n")).collect() };
    let steps = golden.steps();
    let printed: Vec<String> = steps.iter().map(|step| text(&step.output)).collect();
    judge(steps, &printed).unwrap();
    for step in 0..steps.len() {
        for line in 0..steps[step].output.len() {
            let mut other = steps.to_vec();
            other[step].output[line].push('!');
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

    let mut session = Session::new(Lab::builder().build().unwrap());
    let golden = golden();
    assert_eq!(shown, play(&mut session, &golden).to_string());
    transcript(&shown)
        .check(&mut Session::new(Lab::builder().build().unwrap()))
        .unwrap();
}
