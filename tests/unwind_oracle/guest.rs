//! The built-in guest under the oracle's eyes.

use crate::oracle::shadow::Ways;
use crate::oracle::watch::{Counts, Exempt, Oracle, Watch};
use iced_x86::{Decoder, DecoderOptions, Instruction, Mnemonic, Register};
use poolhit::Lab;
use poolhit::address::Va;
use poolhit::guest::{CallError, Called, LabBuilder};
use poolhit::image::function_table::ImageBytes;
use poolhit::machine::Exit;
use poolhit::machine::debug_port::BREAK_IN;
use poolhit::memory::{ReadMemory, WriteMemory};
use poolhit::stack::modules::UnwindModules;
use poolhit::symbols::Modules;
use std::ops::Range;

const CLOCK_VECTOR: u8 = 0xd1;

/// The loaded images, as the unwinder asks for them.
pub struct Loaded {
    pub modules: Modules,
    /// Where functions return to that the test has called.
    pub landing: Va,
}

impl Loaded {
    pub fn of(lab: &Lab) -> Loaded {
        Loaded {
            modules: lab.modules(),
            landing: lab.machine().return_landing(),
        }
    }
}

impl UnwindModules for Loaded {
    fn find(&self, address: Va) -> Option<(Va, &dyn ImageBytes)> {
        let module = self.modules.containing(address)?;
        Some((module.base(), &**module.image()?))
    }

    fn is_outside(&self, address: Va) -> bool {
        address == self.landing
    }
}

/// A guest that is watched from the kernel's first instruction on.
pub struct Guest {
    pub lab: Lab,
    pub watch: Watch,
}

impl Guest {
    /// Boots to the first prompt.
    pub fn boot(visits: Option<u32>) -> Guest {
        Guest::boot_with(Lab::builder(), visits)
    }

    pub fn boot_with(builder: LabBuilder, visits: Option<u32>) -> Guest {
        // Another one, which knows where everything is going to lie.
        let known = builder.clone().build().unwrap();
        let mut oracle = Oracle::new(ways(&known), Box::new(Loaded::of(&known)));
        oracle.exempt = exempt(&known);
        oracle.visits = visits;
        let watch = Watch::new(oracle);
        let lab = builder.build_traced(Box::new(watch.clone())).unwrap();
        Guest { lab, watch }
    }

    /// Sets `nt!PoolHitTag`.
    pub fn set_tag(&mut self, tag: &[u8; 4]) {
        let address = self.lab.kernel_symbol("PoolHitTag").unwrap();
        self.lab.machine_mut().write(address, tag).unwrap();
    }

    /// Goes on to the next stop, behind the break instruction that the guest stands at.
    pub fn go(&mut self) -> Exit {
        self.pass_break_instruction();
        self.run(u64::MAX)
    }

    pub fn pass_break_instruction(&mut self) {
        let machine = self.lab.machine_mut();
        let mut registers = machine.registers();
        if machine.read_u8(registers.rip()) == Ok(0xcc) {
            registers.rip += 1;
            machine.set_registers(&registers).unwrap();
        }
    }

    /// Runs to a stop or until so much work is done. Page faults of ring 0 go to the kernel.
    pub fn run(&mut self, limit: u64) -> Exit {
        loop {
            let machine = self.lab.machine_mut();
            let exit = machine.run(limit).unwrap();
            match &exit {
                Exit::Fault(fault) if machine.privilege_level() == 0 => {
                    self.watch
                        .oracle()
                        .interrupt(&machine.registers(), &*machine);
                    machine.deliver_fault(fault).unwrap();
                }
                _ => return exit,
            }
        }
    }

    /// The addresses of the instructions of a run.
    pub fn code_of_run(&mut self, work: u64) -> Vec<Va> {
        self.pass_break_instruction();
        let limit = self.lab.machine().work() + work;
        assert_eq!(self.run(limit), Exit::Limit);
        self.watch.oracle().code()
    }

    /// Delivers the clock interrupt, if the guest takes it; with someone who wants to break in.
    pub fn clock(&mut self, breaks_in: bool) -> bool {
        let machine = self.lab.machine_mut();
        let registers = machine.registers();
        if machine.interrupt(CLOCK_VECTOR).is_err() {
            return false;
        }
        self.watch.oracle().interrupt(&registers, machine);
        if breaks_in {
            machine.send_to_debug_port(BREAK_IN);
        }
        true
    }

    /// Calls a function of the kernel.
    pub fn call(&mut self, name: &str, arguments: &[u64]) -> Result<Called, CallError> {
        let landing = self.lab.machine().return_landing();
        let before = self.watch.oracle().shadow.call(landing);
        let called = self.lab.call_kernel(name, arguments);
        if called.is_ok() {
            self.watch.oracle().shadow = before;
        }
        called
    }

    /// Ends the watch: no boundary was different, and hardly any was exempt.
    #[track_caller]
    pub fn finish(self) -> Counts {
        let mut oracle = self.watch.oracle();
        let counts = oracle.finish();
        let [gate, entry, exit] = [0, 1, 2].map(|number| oracle.exempt[number].count);
        // What each system call has of them, at most.
        assert!(
            gate <= 3 * exit + 12 && entry <= 8 * exit + 8,
            "{:?}",
            oracle.exempt
        );
        println!("{counts:?}");
        for exempt in &oracle.exempt {
            println!("{}: exempt, since {}", exempt.count, exempt.reason);
        }
        counts
    }
}

/// From one symbol of the kernel's to the next.
fn function(lab: &Lab, name: &str, next: &str) -> Range<Va> {
    lab.kernel_symbol(name).unwrap()..lab.kernel_symbol(next).unwrap()
}

fn ways(lab: &Lab) -> Ways {
    let swap = lab.kernel_symbol("KiSwapContext").unwrap();
    let switch = find(lab, swap, |it| {
        it.mnemonic() == Mnemonic::Mov && it.op0_register() == Register::RSP
    });
    let handlers = [
        "KiClockInterrupt",
        "KiUnexpectedInterrupt",
        "KiDivideErrorFault",
        "KiInvalidOpcodeFault",
        "KiDoubleFaultAbort",
        "KiGeneralProtectionFault",
        "KiPageFault",
    ];
    Ways {
        handlers: handlers
            .iter()
            .map(|name| lab.kernel_symbol(name).unwrap())
            .collect(),
        abandoning: vec![
            function(lab, "KiUserThreadStart", "KiDivideErrorFault"),
            function(lab, "KiIdleLoop", "KiClockInterrupt"),
        ],
        timer: lab.kernel_symbol("KiClockInterrupt"),
        service: lab.kernel_symbol("KiServiceInternal"),
        switch: Some(Va(switch.ip())),
        restore: lab.kernel_symbol("RtlRestoreContext$go"),
        rewrite: lab.kernel_symbol("KeContextToKframes"),
    }
}

/// Where no unwind data can say what the caller is.
fn exempt(lab: &Lab) -> Vec<Exempt> {
    let gate = Va(lab.machine().return_landing().0 & !0xfff);
    let none = |code, reason| Exempt {
        code,
        reason,
        count: 0,
    };
    let entry = lab.kernel_symbol("KiSystemCall64").unwrap();
    let pushed = find(lab, entry, |it| {
        it.mnemonic() == Mnemonic::Push && it.op0_register() == Register::RCX
    });
    let exit = lab.kernel_symbol("KiSystemServiceExit").unwrap();
    let sysret = find(lab, exit, |it| it.mnemonic() == Mnemonic::Sysretq);
    vec![
        none(
            gate.wrapping_sub(0x1000)..gate.wrapping_add(0x1000),
            "the machine's own code there stands for one instruction, syscall",
        ),
        none(
            entry..Va(pushed.next_ip()),
            "syscall leaves no machine frame, and the kernel has not made it yet",
        ),
        none(
            Va(sysret.ip())..Va(sysret.next_ip()),
            "RIP is to come from RCX, which no unwind code can say",
        ),
    ]
}

/// The first instruction from an address on that is so.
fn find(lab: &Lab, from: Va, is_it: impl Fn(&Instruction) -> bool) -> Instruction {
    let mut code = [0; 0x200];
    lab.machine().read(from, &mut code).unwrap();
    let mut decoder = Decoder::with_ip(64, &code, from.0, DecoderOptions::NONE);
    decoder.iter().find(is_it).unwrap()
}
