//! What a session prints.

use poolhit::address::Va;
use poolhit::frontends::{self, DebugOptions};
use std::process::Command;

/// A session that shows memory, code, registers and stacks, and depends on no address.
const SCRIPT: &str = "\
lm
ed nt!PoolHitTag 3261654c
g
r
k
bp nt+298f6 \"k;? @rsp;g\"
eb nt+298f6 90
eb nt!ExFreePoolWithTag+27 90
g
<Ctrl+Break>
k
dq @rsp
u
g
dd nt!PoolHitTag
bc *
ed nt!PoolHitTag ffffff0f
g
dq nt!PoolTrackTable l2
db poi(nt!PoolTrackTable) l400
r
nonsense";

struct Variant {
    kernel: Option<u64>,
    driver: Option<u64>,
    break_in_after: u64,
}

const VARIANTS: [Variant; 3] = [
    Variant {
        kernel: None,
        driver: None,
        break_in_after: 20_000,
    },
    Variant {
        kernel: None,
        driver: None,
        break_in_after: 77_777,
    },
    Variant {
        kernel: Some(0xfffff800_0a5b3000),
        driver: Some(0xfffff880_1f00d000),
        break_in_after: 20_000,
    },
];

impl Variant {
    fn in_this_process(&self) -> String {
        let options = DebugOptions {
            commands: Some(SCRIPT.to_string()),
            kernel_base: self.kernel.map(Va),
            driver_base: self.driver.map(Va),
            break_in_after: Some(self.break_in_after),
            ..DebugOptions::default()
        };
        let mut out = Vec::new();
        let failed = frontends::debug(&options, false, &mut out).unwrap();
        assert_eq!(failed, 1, "only nonsense fails");
        String::from_utf8(out).unwrap()
    }

    /// `environment` moves the new process' stack.
    fn in_a_process(&self, environment: &str) -> String {
        let mut command = Command::new(env!("CARGO_BIN_EXE_poolhit"));
        command.env("POOLHIT_TEST_PADDING", environment);
        command.args(["debug", "-c", SCRIPT]);
        command.arg(format!("--break-after={}", self.break_in_after));
        for (option, base) in [("--nt-base", self.kernel), ("--driver-base", self.driver)] {
            if let Some(base) = base {
                command.arg(format!("{option}={base:x}"));
            }
        }
        let output = command.output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        assert!(output.stderr.is_empty(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    }
}

#[test]
fn repeat_within_and_between_processes() {
    let mut transcripts = Vec::new();
    for variant in &VARIANTS {
        let transcript = variant.in_this_process();
        assert_eq!(transcript, variant.in_this_process());
        assert_eq!(transcript, variant.in_a_process(""));
        assert_eq!(transcript, variant.in_a_process(&"x".repeat(5000)));
        transcripts.push(transcript);
    }
    transcripts.sort();
    transcripts.dedup();
    assert_eq!(transcripts.len(), VARIANTS.len(), "a variant has no effect");
}
