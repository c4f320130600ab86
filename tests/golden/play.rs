//! Playing the golden session, and judging what is printed.

use crate::compare::starts_with;
use crate::script::Step;
use poolhit::Session;
use poolhit::frontends::demo::BREAK_IN_AFTER;

/// What each step prints.
pub fn play(session: &mut Session, steps: &[Step]) -> Vec<String> {
    steps
        .iter()
        .map(|step| {
            if step.break_in {
                session.break_in_after(BREAK_IN_AFTER);
            }
            session
                .execute(&step.command)
                .unwrap_or_else(|error| panic!("{}: {error}", step.command))
        })
        .collect()
}

/// Checks what each step printed.
pub fn judge(steps: &[Step], printed: &[String]) -> Result<(), String> {
    if steps.len() != printed.len() {
        return Err(format!(
            "{} commands printed {} times",
            steps.len(),
            printed.len()
        ));
    }
    for (step, printed) in steps.iter().zip(printed) {
        starts_with(printed, &step.lines)
            .map_err(|reason| format!("{}: {reason}", step.command))?;
    }
    Ok(())
}
