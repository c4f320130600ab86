//! `!irql` and `!pcr`.

use poolhit::address::Va;
use poolhit::guest::objects::Processor;
use poolhit::report::processors::{write_level, write_region};

fn processor() -> Processor {
    Processor {
        address: Va(0xfffff803_5f5a4000),
        prcb: Va(0xfffff803_5f5a4180),
        number: 0,
        version: [1, 1],
        irql: 0,
        tables: [Va(0xfffff803_68e77fb0), Va(0xfffff803_68e76000), Va(0)],
        words: [0, 0xfffff803_5f5a4000, 0xfffff803_5f5a4870, 0xb6_d3086000],
        current_thread: Va(0xfffff803_64926a00),
        next_thread: Va(0xffffe40b_77c12040),
        idle_thread: Va(0xfffff803_64926a00),
    }
}

/// "Bug Check 0x133: DPC_WATCHDOG_VIOLATION" in the manual. Where that has zero below SelfPcr, a dump of a later
/// Windows, the region's own values stand here: those lines are not compared, and their places are.
#[test]
fn control_region() {
    let expected = "KPCR for Processor 0 at fffff8035f5a4000:
    Major 1 Minor 1
\tNtTib.ExceptionList: fffff80368e77fb0
\t    NtTib.StackBase: fffff80368e76000
\t   NtTib.StackLimit: 0000000000000000
\t NtTib.SubSystemTib: fffff8035f5a4000
\t      NtTib.Version: 000000005f5a4180
\t  NtTib.UserPointer: fffff8035f5a4870
\t      NtTib.SelfTib: 000000b6d3086000

\t            SelfPcr: 0000000000000000
\t               Prcb: fffff8035f5a4180
\t               Irql: 0000000000000000
\t                IRR: 0000000000000000
\t                IDR: 0000000000000000
\t      InterruptMode: 0000000000000000
\t                IDT: 0000000000000000
\t                GDT: 0000000000000000
\t                TSS: 0000000000000000

\t      CurrentThread: fffff80364926a00
\t         NextThread: ffffe40b77c12040
\t         IdleThread: fffff80364926a00
";
    let mut text = String::new();
    write_region(&mut text, &processor()).unwrap();
    let own = ["SelfPcr:", "IDT:", "GDT:", "TSS:"];
    let mut compared = 0;
    for (line, expected) in text.lines().zip(expected.lines()) {
        if own.iter().any(|name| expected.contains(name)) {
            let name = expected.split_once(':').unwrap().0;
            assert_eq!(line.split_once(':').unwrap().0, name);
        } else {
            assert_eq!(line, expected);
            compared += 1;
        }
    }
    assert_eq!(compared, 19);
}

/// "Bug Check 0xD1" and the labs of "Debug Universal Drivers" in the manual; "!irql" for x64, whose words in
/// brackets are those of the verbose mode: they are left out.
#[test]
fn levels() {
    for (irql, expected) in [
        (
            2,
            "Debugger saved IRQL for processor 0x0 -- 2 (DISPATCH_LEVEL)\n",
        ),
        (
            12,
            "Debugger saved IRQL for processor 0x0 -- 12 (SYNCH_LEVEL)\n",
        ),
    ] {
        let mut text = String::new();
        let one = Processor {
            irql,
            ..processor()
        };
        write_level(&mut text, &one).unwrap();
        assert_eq!(text, expected);
    }
}
