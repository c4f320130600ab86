use crate::driver::*;
#[test]
fn all() {
    use Act::*;
    let lab = lab();
    let code = lab.kernel_symbol("NtClose").unwrap().0;
    let data = lab.kernel_symbol("PoolHitTag").unwrap().0;
    drop(lab);
    for way in WAYS {
        for (what, address, value) in [
            (Recurse, 0, 0),
            (DeepFrame, 0, 0),
            (MoveStack, 0, 0),
            (Jump, 0, 0),
            (Jump, 0x1234_5678, 0),
            (Jump, 0x8000_0000_0000_0000, 0),
            (Jump, 0xfffffa80_0eee_0000, 0),
            (Jump, data, 0),
            (Jump, code + 1, 0),
            (Write, 0, 0),
            (Write, 0x8000_0000_0000_0000, 0),
            (Write, code, 0),
            (WriteDispatch, code, 0),
            (WriteDispatch, 0, 0),
            (WriteUnprotected, code, 0xcccc),
            (Write, 0xfffff7ff_fff00000, 0),
            (Write, 0xfffff7ff_fff01000, 0),
            (Write, 0xfffff7ff_fff02000, 0),
            (WriteDispatch, 0xfffff7ff_fff02000, 0),
            (Clear, 0xfffff880_009f1000, 0x80),
            (Set, 0xfffff880_009f1000, 0x80),
            (Clear, 0xfffff880_009f1070, 0x10),
            (Clear, 0xfffff880_009f1100, 0x68),
            (Set, 0xfffff880_009f1100, 0x68),
            (Clear, 0xfffff880_009e9000, 0x5000),
            (Set, 0xfffff880_009e9000, 0x5000),
            (Clear, 0xfffff6fb_7dbed000, 0x1000),
            (Set, 0xfffff6fb_7dbed000, 0x1000),
            (Clear, 0xfffff6fb_7dbed000 + 0x1f0 * 8, 8),
            (FillStack, 4, 0),
            (FillStack, 4, 0x4141_4141_4141_4141),
            (FillAndFault, 4, 0x4141_4141_4141_4141),
            (FillAndRaise, 4, 0x4141_4141_4141_4141),
            (FillAndFault, 0x10, code),
            (FillAndRaise, 0x10, code),
            (FillStack, 0x1000, 0),
            (WaitDispatch, 0, 0),
            (LockTwice, 0, 0),
            (LoadCr3, 0, 0x1234_5000),
            (LoadCr3, 0, 0),
            (NoInterrupts, 0, 0),
            (BugCheck, 7, 0xe2),
            (LowerIrql, 0, 0),
            (RaiseIrql, 0, 0),
            (ReturnRaised, 0, 0),
            (Halt, 0, 0),
            (HaltCli, 0, 0),
            (Loop, 0, 0),
        ] {
            println!("=== {way:?} {what:?} {address:x} {value:x}");
            let _ = std::panic::catch_unwind(|| {
                let mut ended = ends(way, what, address, value);
                for _ in 0..3 {
                    println!(
                        "{:x?}\n{}",
                        ended.end,
                        ended.text.lines().take(12).collect::<Vec<_>>().join("\n")
                    );
                    if ended.end != End::Back {
                        break;
                    }
                    (ended.end, ended.text) = act_by(&mut ended.lab, way, Act::Read, 8, 0);
                }
            });
        }
    }
}
