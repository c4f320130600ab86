//! The pseudo-registers ("Pseudo-Register Syntax"), as far as this target has them.
//!
//! | name | value |
//! |---|---|
//! | `$ip`, `$scopeip` | the instruction pointer |
//! | `$eventip`, `$previp` | the same at the last event, and at the one before: stops, and each step |
//! | `$ea`, `$ea2` | the effective addresses of the instruction that was executed last, if that was a step |
//! | `$frame` | the number of the frame that `.frame` has chosen |
//! | `$ra` | the address that the current function returns to, by the unwinder |
//! | `$retreg`, `$retreg64`, `$csp` | RAX, RAX, RSP |
//! | `$thread`, `$proc`, `$teb`, `$peb` | `_ETHREAD`, `_EPROCESS`, `_TEB` and `_PEB` |
//! | `$tid`, `$tpid` | the current thread's number, and its process' |
//! | `$exentry` | the entry point of the current process' program |
//! | `$ptrsize`, `$pagesize` | 8 and 1000 |
//! | `$pcr` | the processor's control region |
//! | `$exp`, `$p` | the last expression's value, the last value that a display showed |
//! | `$bp0` … | breakpoints' addresses; 0 if there is none of the number |
//! | `$bug_code`, `$bug_param1` to `4` | the bug check, after one |
//! | `$exr_code`, `$exr_chance`, `$exr_numparams`, `$exr_param0` to `14` | the exception that stopped the guest |
//! | `$t0` to `$t19` | the user's own |
//!
//! An instruction without an effective address makes `$ea` an error, as the manual says. So does any way to
//! go on but a step: which instruction was the last is not known then.
//!
//! Not there are `$relip`, `$dbgtime`, `$callret`, and what the manual leaves without a word.

use super::exception::EXCEPTION_PARAMETERS;
use super::expression::entry_point;
use super::session::Session;
use super::state::USER_REGISTERS;
use super::stop::StopReason;
use crate::address::Va;
use crate::memory::ReadMemory;
use crate::registers::Gpr;

/// Offsets in Windows 7 x64's structures, which the tests compare with the kernel's PDB.
mod offset {
    /// `_KPCR.Prcb.CurrentThread`.
    pub const CURRENT_THREAD: u64 = 0x188;
    /// `_KTHREAD.Teb`.
    pub const TEB: u64 = 0xb8;
    /// `_KTHREAD.ApcState.Process`: the process whose memory the thread has.
    pub const PROCESS: u64 = 0x70;
    /// `_ETHREAD.Cid`.
    pub const CLIENT_ID: u64 = 0x3b0;
    /// `_EPROCESS.Peb`.
    pub const PEB: u64 = 0x338;
    /// `_PEB.ImageBaseAddress`.
    pub const IMAGE_BASE: u64 = 0x10;
}

/// The number of a user-defined pseudo-register.
pub(super) fn user_register(name: &str) -> Option<usize> {
    let digits = name
        .strip_prefix(['$'])
        .and_then(|name| name.strip_prefix(['t', 'T']))?;
    let plain = digits == "0" || !digits.starts_with(['0', '+']);
    digits
        .parse()
        .ok()
        .filter(|number| plain && *number < USER_REGISTERS)
}

impl Session {
    /// A pseudo-register's value, by its name in either case, with its dollar sign; `None` if there
    /// is none, or not now.
    ///
    /// ```
    /// use poolhit::{Lab, Session};
    /// let session = Session::new(Lab::builder().build()?);
    /// let returns_to = session.stack(1).frames[0].return_address;
    /// assert_eq!(session.pseudo_register("$ra"), Some(returns_to.0));
    /// assert_eq!(session.pseudo_register("$bug_code"), None);
    /// # Ok::<(), poolhit::guest::LabError>(())
    /// ```
    pub fn pseudo_register(&self, name: &str) -> Option<u64> {
        if let Some(number) = user_register(name) {
            return Some(self.state.user_registers[number]);
        }
        let name = name.to_ascii_lowercase();
        let registers = || self.registers();
        Some(match name.as_str() {
            "$ip" | "$scopeip" => registers().rip,
            "$eventip" => self
                .last_stop()
                .map_or(registers().rip, |stop| stop.address.0),
            "$previp" => self.control.previous_event?.0,
            "$ea" => self.control.effective.first()?.0,
            "$ea2" => self.control.effective.get(1)?.0,
            "$frame" => self.control.frame as u64,
            "$ra" => self.stack(1).frames.first()?.return_address.0,
            "$retreg" | "$retreg64" => registers().get(Gpr::Rax),
            "$csp" => self.stack_pointer(),
            "$thread" => self.current_thread()?.0,
            "$proc" => self.current_process()?.0,
            "$teb" => self.follow(self.current_thread()?, offset::TEB)?.0,
            "$peb" => self.follow(self.current_process()?, offset::PEB)?.0,
            "$tpid" => self.client_id(0)?,
            "$tid" => self.client_id(8)?,
            "$exentry" => {
                let peb = self.follow(self.current_process()?, offset::PEB)?;
                let base = self.follow(peb, offset::IMAGE_BASE)?;
                entry_point(self.lab().machine(), base).ok()?.0
            }
            "$ptrsize" => 8,
            "$pagesize" => 0x1000,
            "$pcr" => self.lab().processor_control_region().0,
            "$exp" => self.state.last_value,
            "$extret" => self.state.extension_result,
            "$p" => self.state.last_shown,
            "$bug_code" => self.lab().bug_check()?.code.into(),
            name => {
                if let Some(number) = name.strip_prefix("$bug_param") {
                    let place = number.parse::<usize>().ok()?.checked_sub(1)?;
                    return self.lab().bug_check()?.parameters.get(place).copied();
                }
                if let Some(field) = name.strip_prefix("$exr_") {
                    return self.exception_field(field);
                }
                let digits = name.strip_prefix("$bp")?;
                let number: usize = digits.parse().ok()?;
                let found = self.breakpoints().iter().find(|one| one.number == number);
                found.map_or(0, |breakpoint| breakpoint.address.0)
            }
        })
    }

    /// The current thread (`_ETHREAD`), as the processor's control region names it.
    ///
    /// ```
    /// use poolhit::{Lab, Session};
    /// let session = Session::new(Lab::builder().build()?);
    /// assert!(session.current_thread().unwrap().is_kernel());
    /// # Ok::<(), poolhit::guest::LabError>(())
    /// ```
    pub fn current_thread(&self) -> Option<Va> {
        let region = self.lab().processor_control_region();
        self.follow(region, offset::CURRENT_THREAD)
    }

    /// The process (`_EPROCESS`) whose memory the current thread has.
    ///
    /// ```
    /// use poolhit::{Lab, Session};
    /// let session = Session::new(Lab::builder().build()?);
    /// let name = session.current_process().unwrap().wrapping_add(0x2e0);
    /// let text = session.lab().machine();
    /// # use poolhit::memory::ReadMemory;
    /// let mut image = [0; 14];
    /// text.read(name, &mut image)?;
    /// assert!(image.starts_with(b"NotMyfault.exe"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn current_process(&self) -> Option<Va> {
        self.follow(self.current_thread()?, offset::PROCESS)
    }

    /// `_ETHREAD.Cid`: the process' number at 0, the thread's at 8.
    fn client_id(&self, place: u64) -> Option<u64> {
        let id = self
            .current_thread()?
            .wrapping_add(offset::CLIENT_ID + place);
        self.lab().machine().read_u64(id).ok()
    }

    /// A pointer that is not NULL.
    fn follow(&self, from: Va, offset: u64) -> Option<Va> {
        let machine = self.lab().machine();
        let found = machine.read_va(from.wrapping_add(offset)).ok()?;
        (found.0 != 0).then_some(found)
    }

    /// The exception record of the last stop.
    fn exception_field(&self, field: &str) -> Option<u64> {
        let record = self.last_exception()?;
        let chance = match self.last_stop()?.reason {
            StopReason::Exception { first_chance, .. } => first_chance,
            StopReason::Fault(_) => false,
            _ => true,
        };
        Some(match field {
            "code" => record.code.into(),
            "chance" if chance => 1,
            "chance" => 2,
            "numparams" => record.parameters.len() as u64,
            field => {
                let place: usize = field.strip_prefix("param")?.parse().ok()?;
                let known = record.parameters.get(place).copied();
                (place < EXCEPTION_PARAMETERS).then_some(known.unwrap_or(0))?
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guest::Lab;
    use crate::symbols::types::Shape;

    /// The constants above are those of the types that `dt` shows.
    #[test]
    fn offsets_are_those_of_the_kernels_types() {
        let lab = Lab::builder().build().unwrap();
        let modules = lab.modules();
        let types = modules.by_name("nt").unwrap().types();
        for (name, path, expected) in [
            (
                "_KPCR",
                &["Prcb", "CurrentThread"][..],
                offset::CURRENT_THREAD,
            ),
            ("_KTHREAD", &["Teb"], offset::TEB),
            ("_KTHREAD", &["ApcProcess"], offset::PROCESS),
            ("_ETHREAD", &["Cid"], offset::CLIENT_ID),
            ("_EPROCESS", &["Peb"], offset::PEB),
        ] {
            let mut ty = types.find(name).unwrap().unwrap();
            let mut at = 0;
            for member in path {
                let Shape::Structure(structure) = ty.shape().unwrap() else {
                    panic!("{name} is no structure");
                };
                let field = structure.field(member).unwrap().unwrap();
                at += field.offset;
                ty = field.ty;
            }
            assert_eq!(at, expected, "{name} {path:?}");
        }
    }

    #[test]
    fn user_registers_have_numbers() {
        for (name, expected) in [
            ("$t0", Some(0)),
            ("$T19", Some(19)),
            ("$t20", None),
            ("$t01", None),
            ("$t", None),
            ("$t+1", None),
            ("t0", None),
            ("$tid", None),
        ] {
            assert_eq!(user_register(name), expected, "{name}");
        }
    }

    #[test]
    fn steps_have_effective_addresses() {
        let mut session = Session::new(Lab::builder().build().unwrap());
        assert_eq!(session.value_of("$ea"), None);
        // mov rax, [rsp + 8]; movsb; nop
        let code = "eb nt!ExAllocatePoolWithTag 48 8b 44 24 08 a4 90";
        session
            .execute(&format!("{code}; g nt!ExAllocatePoolWithTag"))
            .unwrap();
        let stack = session.value_of("rsp").unwrap();
        session.execute("r rsi=@rsp, rdi=@rsp+10; t").unwrap();
        assert_eq!(session.value_of("$ea"), Some(stack + 8));
        assert_eq!(session.value_of("$ea2"), None);
        session.execute("t").unwrap();
        assert_eq!(session.value_of("$ea"), Some(stack + 0x10));
        assert_eq!(session.value_of("$EA2"), Some(stack));
        session.execute("p").unwrap();
        assert_eq!(session.value_of("$ea"), None);
        let error = session.execute("? @$ea").unwrap_err();
        assert_eq!(error.to_string(), "Bad register error at '@$ea'");
    }

    #[test]
    fn events_and_frames_are_remembered() {
        let mut session = Session::new(Lab::builder().build().unwrap());
        let first = session.value_of("rip").unwrap();
        assert_eq!(session.value_of("$previp"), None);
        session.execute("g nt!NtClose").unwrap();
        assert_eq!(session.value_of("$previp"), Some(first));
        let second = session.value_of("rip").unwrap();
        session.execute("t 2").unwrap();
        let previous = session.value_of("$previp").unwrap();
        assert_eq!(Va(previous), session.instruction(Va(second)).next_address());
        assert_eq!(session.value_of("$frame"), Some(0));
        session.execute(".frame 2").unwrap();
        assert_eq!(session.value_of("$frame"), Some(2));
        session.execute("t").unwrap();
        assert_eq!(session.value_of("$frame"), Some(0));
    }

    #[test]
    fn what_is_known_of_a_stop() {
        let mut session = Session::new(Lab::builder().build().unwrap());
        assert_eq!(session.value_of("$exr_code"), None);
        session.execute("ed nt!PoolHitTag 3261654c; g").unwrap();
        assert_eq!(session.value_of("$exr_code"), Some(0x8000_0003));
        assert_eq!(session.value_of("$exr_param0"), Some(0));
        assert_eq!(session.value_of("$exr_param15"), None);
        assert_eq!(session.value_of("$eventip"), session.value_of("rip"));
        let process = session.value_of("$proc").unwrap();
        let peb = session.value_of("$peb").unwrap();
        let read = |at| session.lab().machine().read_u64(Va(at)).unwrap();
        assert_eq!(read(process + offset::PEB), peb);
        assert_eq!(read(session.value_of("$teb").unwrap() + 0x60), peb);
        let program = session.modules().by_name("NotMyfault").unwrap();
        let entry = program.base() + program.image().unwrap().entry_point();
        assert_eq!(session.value_of("$exentry"), Some(entry.0));
        assert_eq!(read(process + 0x180), session.value_of("$tpid").unwrap());
    }
}
