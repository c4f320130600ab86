//! Calling a function of the guest's kernel from outside, as a test does that wants to put one
//! request to the pool after another.

use super::bug_check::{BugCheck, Hexadecimal};
use super::lab::Lab;
use super::places::below;
use super::unprovided::UnprovidedUse;
use crate::address::Va;
use crate::machine::{EngineError, Exit};
use crate::memory::{MemoryFault, WriteMemory};
use crate::registers::{Gpr, Registers};
use std::fmt;

/// The most work that a call may take, in bytes of code retired.
pub const CALL_WORK: u64 = 64 << 20;

/// The most arguments that a call takes.
const MOST_ARGUMENTS: usize = 32;

/// A function of a lab's kernel or driver, looked up: for that lab, and for others in which the same
/// image lies at the same place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KernelFunction(Va);

impl KernelFunction {
    /// Its address.
    ///
    /// ```
    /// let lab = poolhit::Lab::builder().build()?;
    /// let free = lab.kernel_function("ExFreePoolWithTag").unwrap();
    /// assert!(free.address().is_kernel());
    /// # Ok::<(), poolhit::guest::LabError>(())
    /// ```
    pub fn address(&self) -> Va {
        self.0
    }
}

/// What a call gave.
#[derive(Clone, PartialEq, Eq)]
pub struct Called {
    /// The function's value (RAX).
    pub value: u64,
    /// The break instructions that were passed on the way: the pool's hits, in order.
    pub hits: Vec<Va>,
}

/// With the value in hexadecimal: it is an address more often than not.
///
/// ```
/// use poolhit::{address::Va, guest::Called};
/// let called = Called { value: 0xfffffa80_00034010, hits: vec![Va(0xfffff800_014798f6)] };
/// assert_eq!(
///     format!("{called:?}"),
///     "Called { value: 0xfffffa8000034010, hits: [Va(fffff800`014798f6)] }"
/// );
/// ```
impl fmt::Debug for Called {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Called")
            .field("value", &Hexadecimal(self.value))
            .field("hits", &self.hits)
            .finish()
    }
}

/// Why a call did not come to its end.
///
/// ```
/// use poolhit::guest::{BugCheck, CallError};
/// let check = BugCheck { code: 0xc2, parameters: [7, 0x109b, 0, 0xfffffa80_00034010] };
/// let stack = vec!["nt!KeBugCheckEx+0x75".to_string(), "driver+0x1006".to_string()];
/// assert_eq!(
///     CallError::BugCheck { check, stack }.to_string(),
///     "the kernel stopped: bug check 0x000000c2 BAD_POOL_CALLER \
///      (0x7, 0x109b, 0x0, 0xfffffa8000034010)\n    nt!KeBugCheckEx+0x75\n    driver+0x1006"
/// );
/// ```
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// There is no such function.
    #[error("the kernel has no function {0}")]
    NoFunction(String),
    /// The kernel has stopped before, and calls nothing any more.
    #[error("the kernel has stopped before, with {0}: restore a saved lab, or build another")]
    Crashed(BugCheck),
    /// There are more arguments than can be given.
    #[error("{given} arguments: a call has at most {MOST_ARGUMENTS}")]
    TooManyArguments {
        /// The number given.
        given: usize,
    },
    /// The guest is not in ring 0.
    #[error("the guest is in user mode; a function of the kernel can be called only in ring 0")]
    UserMode,
    /// The arguments found no place on the stack.
    #[error(transparent)]
    Memory(#[from] MemoryFault),
    /// The kernel stopped with a bug check.
    #[error("the kernel stopped: {}{}", .check.in_one_line(), below(.stack))]
    BugCheck {
        /// Why.
        check: BugCheck,
        /// Where the frames of the stack are, from the innermost on, in the debugger's words. Of a deep
        /// stack the middle is left out, and a line says how many frames that are.
        stack: Vec<String>,
    },
    /// It used an import that nobody provides.
    #[error("the call stopped before its end: {0}")]
    Unprovided(Box<UnprovidedUse>),
    /// Something else stopped it.
    #[error("the call stopped before its end: {exit}; the guest is at {at}{}", below(.stack))]
    Stopped {
        /// What stopped it.
        exit: Exit,
        /// Where the guest is.
        at: Va,
        /// Where the frames of its stack are, in the same way.
        stack: Vec<String>,
    },
    /// The engine refuses.
    #[error(transparent)]
    Engine(#[from] EngineError),
}

impl Lab {
    /// Calls a function of the kernel by name, with up to 32 arguments in Microsoft's x64 calling
    /// convention, on the current thread's stack; then everything but memory and the work done is
    /// as it was. Break instructions on the way are passed, and listed, but for those that a
    /// [probe](crate::machine::probe) has passed.
    ///
    /// # Errors
    /// There is no such function, or the call does not come to its end. The lab is then at the
    /// stop: a debugger can look at it, or a snapshot can be restored.
    ///
    /// ```
    /// let mut lab = poolhit::Lab::builder().build()?;
    /// let tag = lab.kernel_symbol("PoolHitTag").unwrap();
    /// use poolhit::memory::WriteMemory;
    /// lab.machine_mut().write(tag, b"Test")?;
    /// let called = lab.call_kernel("ExAllocatePoolWithTag", &[1, 0x2000, 0x74736554])?;
    /// assert_eq!(called.hits, [poolhit::address::Va(0xfffff800_014798f6)]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn call_kernel(&mut self, name: &str, arguments: &[u64]) -> Result<Called, CallError> {
        let function = self
            .kernel_function(name)
            .ok_or_else(|| CallError::NoFunction(name.to_string()))?;
        self.call(function, arguments)
    }

    /// A function of the kernel, by its exact name but for case: looked up once, called often.
    ///
    /// ```
    /// let lab = poolhit::Lab::builder().build()?;
    /// let allocate = lab.kernel_function("ExAllocatePoolWithTag").unwrap();
    /// assert_eq!(Some(allocate.address()), lab.kernel_symbol("ExAllocatePoolWithTag"));
    /// # Ok::<(), poolhit::guest::LabError>(())
    /// ```
    pub fn kernel_function(&self, name: &str) -> Option<KernelFunction> {
        self.kernel_symbol(name).map(KernelFunction)
    }

    /// A function of the driver, by its exact name but for case: one that it exports, or that its
    /// PDB names.
    ///
    /// ```
    /// let mut lab = poolhit::Lab::builder().build()?;
    /// let entry = lab.driver_function("DriverEntry");
    /// assert_eq!(entry, None); // the built-in driver has no symbols
    /// # Ok::<(), poolhit::guest::LabError>(())
    /// ```
    pub fn driver_function(&self, name: &str) -> Option<KernelFunction> {
        let symbol = self.images().driver.symbols.by_name(name)?;
        Some(KernelFunction(self.bases().driver + symbol.rva))
    }

    /// The same as [`call_kernel`](Lab::call_kernel) for a function that has been looked up. As
    /// long as nothing hits, it allocates no memory of the host's.
    ///
    /// # Errors
    /// As with [`call_kernel`](Lab::call_kernel), but there is such a function.
    ///
    /// ```
    /// let mut lab = poolhit::Lab::builder().build()?;
    /// let [allocate, free] = ["ExAllocatePoolWithTag", "ExFreePoolWithTag"]
    ///     .map(|name| lab.kernel_function(name).unwrap());
    /// let saved = lab.save()?;
    /// for size in [0x10, 0x100, 0x2000] {
    ///     lab.restore(&saved)?;
    ///     let block = lab.call(allocate, &[0, size, 0x74736554])?.value;
    ///     assert_eq!(lab.call(free, &[block, 0x74736554])?.hits, []);
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn call(
        &mut self,
        function: KernelFunction,
        arguments: &[u64],
    ) -> Result<Called, CallError> {
        if self.machine().privilege_level() != 0 {
            return Err(CallError::UserMode);
        }
        if arguments.len() > MOST_ARGUMENTS {
            let given = arguments.len();
            return Err(CallError::TooManyArguments { given });
        }
        if let Some(check) = self.bug_check() {
            return Err(CallError::Crashed(check));
        }
        let before = self.machine().registers();
        let top = self.enter(function.0, arguments, &before)?;
        let called = self.run_call(top)?;
        self.machine_mut().set_registers(&before)?;
        Ok(called)
    }

    fn has_returned(&self, landing: Va, top: Va) -> bool {
        let registers = self.machine().registers();
        registers.rip() == landing.wrapping_add(1) && registers.rsp() == top
    }

    /// The frame of a call: the return address, room for four arguments, the others; and a zero
    /// above it all, where a walk of the stack ends. Gives the stack pointer behind the return.
    fn enter(
        &mut self,
        function: Va,
        arguments: &[u64],
        before: &Registers,
    ) -> Result<Va, CallError> {
        const WORD: usize = 8;
        let mut frame = [0; (MOST_ARGUMENTS + 2) * WORD];
        let length = (arguments.len().max(4) + 2) * WORD;
        let landing = self.machine().return_landing().0;
        let words = std::iter::once(&landing).chain(arguments);
        for (place, word) in frame.as_chunks_mut().0.iter_mut().zip(words) {
            *place = word.to_le_bytes();
        }
        // Below the red zone that nobody uses, and aligned as behind a call.
        let top =
            (before.rsp().0 & !0xf).wrapping_sub(0x100 + (length as u64).next_multiple_of(16));
        let mut registers = before.clone();
        registers.set(Gpr::Rsp, top.wrapping_sub(8));
        registers.rip = function.0;
        for (register, value) in [Gpr::Rcx, Gpr::Rdx, Gpr::R8, Gpr::R9]
            .into_iter()
            .zip(arguments)
        {
            registers.set(register, *value);
        }
        self.machine_mut()
            .write(registers.rsp(), &frame[..length])?;
        self.machine_mut().set_registers(&registers)?;
        Ok(Va(top))
    }

    fn run_call(&mut self, top: Va) -> Result<Called, CallError> {
        let limit = self.machine().work().saturating_add(CALL_WORK);
        let landing = self.machine().return_landing();
        let mut hits = Vec::new();
        loop {
            match self.run(limit)? {
                // Not with another stack pointer: a jump leads there, too.
                Exit::Halt if self.has_returned(landing, top) => {
                    let value = self.machine().registers().get(Gpr::Rax);
                    return Ok(Called { value, hits });
                }
                Exit::HardcodedBreakpoint { address } if self.can_tell_bug_check() => {
                    if let Some(check) = self.bug_check() {
                        let stack = self.places();
                        return Err(CallError::BugCheck { check, stack });
                    }
                    hits.push(address);
                    let mut registers = self.machine().registers();
                    registers.rip = registers.rip.wrapping_add(1);
                    self.machine_mut().set_registers(&registers)?;
                }
                exit => {
                    return Err(match self.unprovided_use(&exit) {
                        Some(used) => CallError::Unprovided(Box::new(used)),
                        None => {
                            let at = self.machine().instruction_pointer();
                            let stack = self.places();
                            CallError::Stopped { exit, at, stack }
                        }
                    });
                }
            }
        }
    }
}
