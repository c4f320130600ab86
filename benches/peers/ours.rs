//! This project's side of the comparison that `benches/peers/run` makes.
//!
//! `peers hits|anew|bare ROUNDS SAMPLES` or `peers pool ROUNDS SAMPLES DRIVER`: prints
//! for each sample how many events were timed, and the nanoseconds they took.

#[path = "../fixture/bare.rs"]
mod bare;
#[path = "../fixture/looping.rs"]
mod looping;

use bare::Bare;
use looping::{captured, looping, timed};

use poolhit::Lab;
use poolhit::address::Va;
use poolhit::guest::ImageFile;
use poolhit::hits::Keep;
use poolhit::machine::Exit;
use poolhit::memory::{ReadMemory, WriteMemory};
use poolhit::registers::{Gpr, Registers};
use std::error::Error;
use std::time::Duration;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args()
        .skip(1)
        .filter(|argument| argument != "--bench")
        .collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["hits", rounds, samples] => hits(rounds.parse()?, samples.parse()?),
        ["anew", rounds, samples] => anew(rounds.parse()?, samples.parse()?),
        ["bare", rounds, samples] => bare(rounds.parse()?, samples.parse()?),
        ["pool", rounds, samples, driver] => pool(rounds.parse()?, samples.parse()?, driver)?,
        _ => {
            return Err(
                "peers hits|anew|bare|pool ROUNDS SAMPLES [DRIVER]; see benches/peers/run".into(),
            );
        }
    }
    Ok(())
}

/// Golden hits, each captured with its stack of eleven frames, interned and recorded.
fn hits(rounds: u64, samples: u64) {
    let (mut session, _) = looping();
    session.record_hits(Keep::Last(1 << 12));
    captured(&mut session, rounds);
    for _ in 0..samples {
        println!("{rounds} {}", captured(&mut session, rounds).as_nanos());
    }
}

/// The same with what is known of the stack forgotten before each hit, so that it is walked anew.
/// That takes a run for each, whose start and end are timed too.
fn anew(rounds: u64, samples: u64) {
    let (mut session, _) = looping();
    session.record_hits(Keep::Last(1 << 12));
    for _ in 0..samples {
        let mut time = Duration::ZERO;
        for _ in 0..rounds {
            let recorder = session.recorded_hits_mut().expect("it records");
            recorder.forget_rules();
            // `captured` insists on one hit less than its count.
            time += captured(&mut session, 2);
        }
        println!("{rounds} {}", time.as_nanos());
    }
}

/// The engine's interrupts, with a hook that does nothing.
fn bare(rounds: u64, samples: u64) {
    let mut engine = Bare::new();
    for _ in 0..samples {
        engine.set_rounds(rounds);
        println!("{rounds} {}", timed(|| engine.run()).as_nanos());
    }
}

/// Pool calls of the driver's `DriverEntry`, two a round; and for each sample one with no rounds.
fn pool(rounds: u64, samples: u64, file: &str) -> Result<(), Box<dyn Error>> {
    let driver = ImageFile::parse("poolloop.sys", std::fs::read(file)?, None)?;
    let variable = |name: &str| match driver.symbols.by_name(name) {
        Some(symbol) => Ok(symbol.rva),
        None => Err(format!("{file} exports no {name}")),
    };
    let (count, made) = (variable("PoolLoopCount")?, variable("PoolLoopMade")?);
    let entry = driver.image.entry_point();
    let mut lab = Lab::builder().driver(driver).build()?;
    let base = lab.bases().driver;
    let at_prompt = lab.machine().registers();
    for rounds in std::iter::repeat_n([rounds, 0], samples as usize).flatten() {
        lab.machine_mut()
            .write(base + count, &rounds.to_le_bytes())?;
        let before = lab.machine().read_u64(base + made)?;
        enter(&mut lab, base + entry, &at_prompt)?;
        let mut ended = None;
        let time = timed(|| ended = Some(lab.run(u64::MAX)));
        let landing = lab.machine().return_landing();
        match ended {
            Some(Ok(Exit::Halt)) if lab.machine().registers().rip() == landing.wrapping_add(1) => {}
            other => return Err(format!("DriverEntry did not come to its end: {other:?}").into()),
        }
        assert_eq!(lab.machine().read_u64(base + made)? - before, rounds);
        println!("{} {}", 2 * rounds, time.as_nanos());
    }
    Ok(())
}

/// Puts the processor at the beginning of a `DriverEntry`, whose caller halts: on the stack of the
/// thread that is at the prompt, without arguments.
fn enter(lab: &mut Lab, entry: Va, at_prompt: &Registers) -> Result<(), Box<dyn Error>> {
    // Behind a call the stack is eight bytes off a multiple of sixteen.
    let top = (at_prompt.rsp().0 & !0xf).wrapping_sub(0x108);
    let landing = lab.machine().return_landing();
    lab.machine_mut().write(Va(top), &landing.0.to_le_bytes())?;
    let mut registers = at_prompt.clone();
    registers.set(Gpr::Rsp, top);
    registers.set(Gpr::Rcx, 0);
    registers.set(Gpr::Rdx, 0);
    registers.rip = entry.0;
    lab.machine_mut().set_registers(&registers)?;
    Ok(())
}
