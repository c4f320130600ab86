//! What an act ended in, and what is to hold of it.

use crate::driver::{Act, End, WAYS, Way, act_by, lab_for, works_again};
use poolhit::address::Va;
use poolhit::guest::{BugCheck, SavedLab};
use poolhit::machine::Exit;
use poolhit::memory::ReadMemory;
use poolhit::{Lab, Session};

/// `STATUS_ACCESS_VIOLATION`, as bug checks have it.
pub const ACCESS_VIOLATION: u64 = 0xffff_ffff_c000_0005;

/// The lab at the end.
pub struct Ended {
    pub lab: Lab,
    pub way: Way,
    pub what: Act,
    pub end: End,
    /// The error's text.
    pub text: String,
    /// What the lab was before, and that state's hash.
    before: (SavedLab, u128),
}

/// Has the driver do it in a lab of its own.
#[track_caller]
pub fn ends(way: Way, what: Act, address: u64, value: u64) -> Ended {
    let mut lab = lab_for(way);
    let before = (lab.save().unwrap(), lab.machine().state_hash());
    let (end, text) = act_by(&mut lab, way, what, address, value);
    Ended {
        lab,
        way,
        what,
        end,
        text,
        before,
    }
}

/// The same in both ways.
#[track_caller]
pub fn ends_both_ways(what: Act, address: u64, value: u64) -> impl Iterator<Item = Ended> {
    WAYS.into_iter()
        .map(move |way| ends(way, what, address, value))
}

/// The bug check that a call ends in; and the lab goes on from the state before as if nothing had been.
#[track_caller]
pub fn bug_check(what: Act, address: u64, value: u64) -> BugCheck {
    let ended = ends(Way::Call, what, address, value);
    let check = ended.check();
    ended.works_again();
    check
}

impl Ended {
    #[track_caller]
    pub fn check(&self) -> BugCheck {
        let End::BugCheck(check) = self.end else {
            panic!(
                "{:?} {:?}: {:?}\n{}",
                self.way, self.what, self.end, self.text
            );
        };
        assert!(self.text.contains(&check.in_one_line()), "{}", self.text);
        assert!(check.name().is_some(), "{check:?}");
        check
    }

    /// The bug check with this code; the parameters.
    #[track_caller]
    pub fn parameters(&self, code: u32) -> [u64; 4] {
        let check = self.check();
        assert_eq!(check.code, code, "{:?}: {}", self.way, self.text);
        check.parameters
    }

    /// An exception that nobody handles, at this address, with these parameters of its own: in a call that
    /// is KMODE_EXCEPTION_NOT_HANDLED with them, in a system call SYSTEM_SERVICE_EXCEPTION with the
    /// `_CONTEXT` (Microsoft, "Bug Check 0x1E", "Bug Check 0x3B").
    #[track_caller]
    pub fn exception(&self, status: u64, address: u64, information: [u64; 2]) {
        let expected = [status, address];
        match self.way {
            Way::Call => {
                let [one, two, three, four] = self.parameters(0x1e);
                assert_eq!(([one, two], [three, four]), (expected, information));
            }
            Way::Request => {
                const CONTEXT_RIP: u64 = 0xf8;
                let [one, two, context, zero] = self.parameters(0x3b);
                assert_eq!(([one, two], zero), (expected, 0));
                let rip = self.lab.machine().read_u64(Va(context + CONTEXT_RIP));
                assert_eq!(rip, Ok(address));
            }
        }
    }

    /// The instruction of the driver's that the error is about, as the text's first place in the driver has
    /// it; a debugger's stack has it, too, and in a request what leads from the program to the driver.
    #[track_caller]
    pub fn instruction(&self) -> u64 {
        let text = &self.text;
        let start = self.lab.driver_function("HostileAct").unwrap().address();
        let mut places = text.lines().map(str::trim);
        let offset = places.find_map(|line| line.strip_prefix("hostile!HostileAct+0x"));
        let offset = offset.unwrap_or_else(|| panic!("the driver is not in\n{text}"));
        let offset = u64::from_str_radix(offset, 16).unwrap();
        assert!(offset < 0x3000, "{text}");
        start.0 + offset
    }

    /// The debugger's stack of so many frames at most.
    pub fn stack(&mut self, frames: usize) -> Vec<String> {
        let lab = self.lab.save().unwrap().lab().unwrap();
        let stack = Session::new(lab).stack(frames);
        let name = |module: &Option<String>, symbol: &Option<String>| {
            let of = |part: &Option<String>| part.clone().unwrap_or_default();
            format!("{}!{}", of(module), of(symbol))
        };
        let frames = stack.frames.iter();
        frames
            .map(|frame| name(&frame.module, &frame.symbol))
            .collect()
    }

    /// The debugger's stack leads through the driver, and in a request on to the program.
    #[track_caller]
    pub fn stack_is_whole(&mut self) {
        let names = self.stack(1000);
        let mut expected = vec!["hostile!HostileAct"];
        if self.way == Way::Request {
            expected.extend([
                "nt!IopXxxControlFile",
                "nt!NtDeviceIoControlFile",
                "nt!KiSystemServiceCopyEnd",
                "ntdll!ZwDeviceIoControlFile",
                "Requester!RequesterPrompt",
            ]);
        }
        let mut names_left = names.iter();
        for expected in expected {
            let found = names_left.any(|name| name == expected);
            assert!(found, "{:?}: no {expected} in {names:#?}", self.what);
        }
    }

    /// A stop that is no bug check.
    #[track_caller]
    pub fn exit(&self) -> Exit {
        let End::Stopped(exit) = self.end else {
            panic!(
                "{:?} {:?}: {:?}\n{}",
                self.way, self.what, self.end, self.text
            );
        };
        exit
    }

    /// Some stop: the error is typed and says where the guest is.
    #[track_caller]
    pub fn is_a_stop(&self) {
        match self.end {
            End::BugCheck(_) => assert!(self.text.contains("bug check 0x"), "{}", self.text),
            End::Refused => assert!(!self.text.is_empty()),
            End::Stopped(_) => assert!(self.text.contains("`"), "{}", self.text),
            End::Back => panic!("{:?} {:?} came back", self.way, self.what),
        }
        assert!(self.text.lines().count() < 64, "{}", self.text);
    }

    /// Has the driver do something more, if it has come back.
    #[track_caller]
    pub fn then(mut self, what: Act, address: u64, value: u64) -> Ended {
        if self.end == End::Back {
            (self.end, self.text) = act_by(&mut self.lab, self.way, what, address, value);
            self.what = what;
        }
        self
    }

    /// The lab, restored, is what it was, and so is the next.
    #[track_caller]
    pub fn works_again(self) {
        works_again(self.lab, &self.before.0, self.before.1);
    }
}
