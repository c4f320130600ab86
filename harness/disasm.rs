//! Machine code as WinDbg prints it.
//!
//! One instruction is one line: the address, the bytes, the mnemonic and its operands, in the
//! columns and in the MASM notation of WinDbg's `u` command on x64. Decoding and most of the
//! notation are iced-x86's; this module adds what WinDbg does differently (see
//! [`Disassembler::decode`]).
//!
//! ```
//! use poolhit::address::Va;
//! use poolhit::disasm::Disassembler;
//!
//! let symbol = |va| (va == Va(0xfffff800_015027ea)).then(|| "nt!ExpAllocateBigPool+0x13a".into());
//! let line = Disassembler::new().decode(
//!     Va(0xfffff800_014798f7),
//!     &[0xe9, 0xee, 0x8e, 0x08, 0x00],
//!     &symbol,
//! );
//! assert_eq!(
//!     line.to_string(),
//!     "fffff800`014798f7 e9ee8e0800      \
//!      jmp     nt!ExpAllocateBigPool+0x13a (fffff800`015027ea)"
//! );
//! ```

use crate::address::Va;
use iced_x86::{
    Code, Decoder, DecoderOptions, Formatter, MasmFormatter, MemorySizeOptions, Mnemonic, OpKind,
    Register,
};
use std::fmt::{self, Write};

mod control_flow;
mod effective;
#[cfg(test)]
mod tests;

pub use control_flow::{ControlFlow, JumpTable, control_flow, jump_table};
pub use effective::{
    MemoryOperand, Segment, effective_addresses, memory_operand, operand_registers,
};

/// The longest instruction of the x64 architecture, in bytes (Intel SDM volume 2, 2.3.11).
pub const MAX_INSTRUCTION_LENGTH: usize = 15;

/// The columns of bytes, counted from the first: the mnemonic starts behind them. More bytes push
/// it on.
const BYTES_WIDTH: usize = 16;
/// The columns of a mnemonic. What long bytes take from it, it loses of its padding.
const MNEMONIC_WIDTH: usize = 8;

/// One line of disassembly. [`fmt::Display`] prints it as WinDbg does, without a line end.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Instruction {
    /// The address of the first byte.
    pub address: Va,
    bytes: [u8; MAX_INSTRUCTION_LENGTH],
    length: u8,
    mnemonic: String,
    operands: String,
}

impl Instruction {
    /// The line for an address whose memory cannot be read.
    ///
    /// ```
    /// use poolhit::address::Va;
    /// use poolhit::disasm::Instruction;
    /// let line = Instruction::unreadable(Va(0xfffff800_01454000));
    /// assert_eq!(line.to_string(), "fffff800`01454000 ??              ???");
    /// ```
    pub fn unreadable(address: Va) -> Instruction {
        Instruction::invalid(address, &[])
    }

    fn invalid(address: Va, code: &[u8]) -> Instruction {
        Instruction::with_text(address, code, "???".into(), String::new())
    }

    fn with_text(address: Va, code: &[u8], mnemonic: String, operands: String) -> Instruction {
        let length = code.len().min(MAX_INSTRUCTION_LENGTH);
        let mut bytes = [0; MAX_INSTRUCTION_LENGTH];
        bytes[..length].copy_from_slice(&code[..length]);
        Instruction {
            address,
            bytes,
            length: length as u8,
            mnemonic,
            operands,
        }
    }

    /// The instruction's bytes: 1 to 15 of them, or none where memory could not be read. Bytes
    /// that are no instruction come one a line.
    ///
    /// ```
    /// use poolhit::{address::Va, disasm::Disassembler};
    /// let nop = Disassembler::new().decode(Va(0), &[0x90, 0xcc], &|_| None);
    /// assert_eq!(nop.bytes(), [0x90]);
    /// ```
    pub fn bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.length)]
    }

    /// The address of the line that follows: behind the instruction, or one byte further where
    /// memory could not be read.
    ///
    /// ```
    /// use poolhit::{address::Va, disasm::Instruction};
    /// assert_eq!(Instruction::unreadable(Va(0x1000)).next_address(), Va(0x1001));
    /// ```
    pub fn next_address(&self) -> Va {
        self.address.wrapping_add(u64::from(self.length.max(1)))
    }

    /// The mnemonic with its prefixes (`lock bts`), or `???`.
    ///
    /// ```
    /// use poolhit::{address::Va, disasm::Disassembler};
    /// let line = Disassembler::new().decode(Va(0), &[0xf3, 0x48, 0xab], &|_| None);
    /// assert_eq!(line.mnemonic(), "rep stos");
    /// ```
    pub fn mnemonic(&self) -> &str {
        &self.mnemonic
    }

    /// The operands, separated by commas; empty if there are none.
    ///
    /// ```
    /// use poolhit::{address::Va, disasm::Disassembler};
    /// let line = Disassembler::new().decode(Va(0), &[0x33, 0xc0], &|_| None);
    /// assert_eq!(line.operands(), "eax,eax");
    /// ```
    pub fn operands(&self) -> &str {
        &self.operands
    }
}

impl fmt::Display for Instruction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ", self.address)?;
        let mut column = 0;
        for byte in self.bytes() {
            write!(f, "{byte:02x}")?;
            column += 2;
        }
        if self.bytes().is_empty() {
            f.write_str("??")?;
            column += 2;
        }
        // Eight bytes fill their columns and still get a space, so everything moves by one.
        let bytes_width = if column < BYTES_WIDTH {
            BYTES_WIDTH
        } else {
            BYTES_WIDTH + 1
        };
        let space = bytes_width.saturating_sub(column).max(1);
        write!(f, "{:space$}{}", "", self.mnemonic)?;
        column += space + self.mnemonic.len();
        if !self.operands.is_empty() {
            let space = (bytes_width + MNEMONIC_WIDTH).saturating_sub(column).max(1);
            write!(f, "{:space$}{}", "", self.operands)?;
        }
        Ok(())
    }
}

/// Turns machine code into [`Instruction`]s. Keep one for many instructions: setting it up costs
/// more than decoding.
pub struct Disassembler {
    formatter: MasmFormatter,
}

impl Default for Disassembler {
    fn default() -> Self {
        Disassembler::new()
    }
}

impl Disassembler {
    /// A disassembler of 64-bit code.
    ///
    /// ```
    /// use poolhit::{address::Va, disasm::Disassembler};
    /// let line = Disassembler::new().decode(Va(0), &[0xcc], &|_| None);
    /// assert_eq!((line.mnemonic(), line.operands()), ("int", "3"));
    /// ```
    pub fn new() -> Disassembler {
        let mut formatter = MasmFormatter::new();
        let options = formatter.options_mut();
        options.set_memory_size_options(MemorySizeOptions::Always);
        options.set_show_branch_size(false);
        options.set_rip_relative_addresses(false);
        Disassembler { formatter }
    }

    /// Decodes the instruction at the start of `code`, which lies at `address`.
    ///
    /// Give it [`MAX_INSTRUCTION_LENGTH`] bytes where they can be read. Bytes that are no
    /// instruction, or only its beginning, become a line of one byte and `???`; no bytes at all
    /// become [`Instruction::unreadable`].
    ///
    /// `symbols` names an address as WinDbg would print it (`nt!PoolHitTag`,
    /// `myfault+0x2000`). It is asked for the target of a near branch and for memory at a fixed
    /// address, which WinDbg prints as the name with the address in parentheses behind it.
    ///
    /// WinDbg also differs from other disassemblers in these: string instructions show their
    /// memory operands, `mul`, `div` and `idiv` their accumulator, `imul` all three operands, the
    /// accumulator comes first in `xchg`, and `prefetch` has no operand size.
    ///
    /// ```
    /// use poolhit::{address::Va, disasm::Disassembler};
    /// let mut disassembler = Disassembler::new();
    /// let code = [0x65, 0x48, 0x8b, 0x04, 0x25, 0x88, 0x01, 0x00, 0x00, 0xc3];
    /// let line = disassembler.decode(Va(0xfffff802_41abe0e0), &code, &|_| None);
    /// assert_eq!(
    ///     line.to_string(),
    ///     "fffff802`41abe0e0 65488b042588010000 mov   rax,qword ptr gs:[188h]"
    /// );
    /// ```
    pub fn decode(
        &mut self,
        address: Va,
        code: &[u8],
        symbols: &dyn Fn(Va) -> Option<String>,
    ) -> Instruction {
        if code.is_empty() {
            return Instruction::unreadable(address);
        }
        let code = &code[..code.len().min(MAX_INSTRUCTION_LENGTH)];
        let decoded = Decoder::with_ip(64, code, address.0, DecoderOptions::NONE).decode();
        if decoded.is_invalid() {
            return Instruction::invalid(address, &code[..1]);
        }
        let mut mnemonic = String::new();
        self.formatter.format_mnemonic(&decoded, &mut mnemonic);
        let operands = if decoded.is_string_instruction() {
            // The formatter leaves operands out where it can, and says their size in the
            // mnemonic's last letter instead.
            if self.formatter.operand_count(&decoded) == 0 {
                mnemonic.pop();
            }
            string_operands(&decoded)
        } else {
            self.operands(&decoded, symbols)
        };
        Instruction::with_text(address, &code[..decoded.len()], mnemonic, operands)
    }

    fn operands(
        &mut self,
        decoded: &iced_x86::Instruction,
        symbols: &dyn Fn(Va) -> Option<String>,
    ) -> String {
        let count = self.formatter.operand_count(decoded);
        let mut operands: Vec<String> = (0..count)
            .map(|operand| self.operand(decoded, operand, symbols))
            .collect();
        match decoded.mnemonic() {
            Mnemonic::Mul | Mnemonic::Div | Mnemonic::Idiv => {
                operands.splice(0..0, accumulator(decoded).map(String::from));
            }
            Mnemonic::Imul if operands.len() == 2 && decoded.op_count() == 3 => {
                operands.insert(0, operands[0].clone());
            }
            _ => {}
        }
        if matches!(
            decoded.code(),
            Code::Xchg_r16_AX | Code::Xchg_r32_EAX | Code::Xchg_r64_RAX
        ) {
            operands.reverse();
        }
        operands.join(",")
    }

    fn operand(
        &mut self,
        decoded: &iced_x86::Instruction,
        operand: u32,
        symbols: &dyn Fn(Va) -> Option<String>,
    ) -> String {
        let mut text = String::new();
        if self
            .formatter
            .format_operand(decoded, &mut text, operand)
            .is_err()
        {
            return text;
        }
        let kind = match self.formatter.get_instruction_operand(decoded, operand) {
            Ok(Some(operand)) => decoded.op_kind(operand),
            _ => return text,
        };
        match kind {
            OpKind::NearBranch16 | OpKind::NearBranch32 | OpKind::NearBranch64 => {
                let target = Va(decoded.near_branch_target());
                match symbols(target) {
                    Some(symbol) => format!("{symbol} ({target})"),
                    None => target.to_string(),
                }
            }
            OpKind::Memory => {
                if has_no_size(decoded.mnemonic())
                    && let Some(bracket) = text.find('[')
                {
                    text.drain(..bracket);
                }
                if let Some(address) = fixed_address(decoded) {
                    name_memory(&mut text, decoded, address, symbols);
                }
                text
            }
            _ => text,
        }
    }
}

/// Replaces what is between the brackets of a memory operand at a fixed address.
fn name_memory(
    text: &mut String,
    decoded: &iced_x86::Instruction,
    address: Va,
    symbols: &dyn Fn(Va) -> Option<String>,
) {
    let (Some(open), Some(close)) = (text.find('['), text.rfind(']')) else {
        return;
    };
    let name = match symbols(address) {
        Some(symbol) => format!("{symbol} ({address})"),
        None if decoded.is_ip_rel_memory_operand() => address.to_string(),
        None => return,
    };
    text.replace_range(open + 1..close, &name);
}

/// The address of a memory operand that no register takes part in. FS and GS have a base.
fn fixed_address(decoded: &iced_x86::Instruction) -> Option<Va> {
    if matches!(decoded.memory_segment(), Register::FS | Register::GS) {
        return None;
    }
    if decoded.is_ip_rel_memory_operand() {
        return Some(Va(decoded.ip_rel_memory_address()));
    }
    let fixed = decoded.memory_base() == Register::None && decoded.memory_index() == Register::None;
    fixed.then(|| Va(decoded.memory_displacement64()))
}

fn has_no_size(mnemonic: Mnemonic) -> bool {
    matches!(
        mnemonic,
        Mnemonic::Prefetchw
            | Mnemonic::Prefetch
            | Mnemonic::Prefetchnta
            | Mnemonic::Prefetcht0
            | Mnemonic::Prefetcht1
            | Mnemonic::Prefetcht2
    )
}

/// The register that `mul`, `div` and `idiv` work on, if WinDbg shows it: not for bytes.
fn accumulator(decoded: &iced_x86::Instruction) -> Option<&'static str> {
    let size = match decoded.op0_kind() {
        OpKind::Register => decoded.op0_register().size(),
        _ => decoded.memory_size().size(),
    };
    match size {
        2 => Some("ax"),
        4 => Some("eax"),
        8 => Some("rax"),
        _ => None,
    }
}

fn string_operands(decoded: &iced_x86::Instruction) -> String {
    let size = match decoded.memory_size().size() {
        1 => "byte",
        2 => "word",
        4 => "dword",
        _ => "qword",
    };
    let mut text = String::new();
    for operand in 0..decoded.op_count() {
        let (index, segment) = match decoded.op_kind(operand) {
            OpKind::MemoryESRDI => ("rdi", false),
            OpKind::MemoryESEDI => ("edi", false),
            OpKind::MemorySegRSI => ("rsi", true),
            OpKind::MemorySegESI => ("esi", true),
            // `ins` and `outs` show their port; the accumulator of the others is not shown.
            OpKind::Register if decoded.op_register(operand) == Register::DX => ("dx", false),
            _ => continue,
        };
        if !text.is_empty() {
            text.push(',');
        }
        let prefix = match decoded.memory_segment() {
            Register::FS if segment => "fs:",
            Register::GS if segment => "gs:",
            _ => "",
        };
        // Writing to a string cannot fail.
        let _ = match index {
            "dx" => write!(text, "dx"),
            _ => write!(text, "{size} ptr {prefix}[{index}]"),
        };
    }
    text
}
