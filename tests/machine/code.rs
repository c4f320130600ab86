//! Machine code put together by hand, at the address where it is to run.

use poolhit::address::Va;
use poolhit::registers::Gpr;

/// A piece of code. Each method appends; jumps and calls know where they stand.
#[derive(Clone, Debug)]
pub struct Code {
    start: Va,
    bytes: Vec<u8>,
}

/// A jump whose target comes later.
#[must_use]
pub struct Hole(usize);

impl Code {
    pub fn at(start: Va) -> Code {
        let bytes = Vec::new();
        Code { start, bytes }
    }

    pub fn start(&self) -> Va {
        self.start
    }

    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Where the next instruction will be.
    pub fn here(&self) -> Va {
        self.start.wrapping_add(self.bytes.len() as u64)
    }

    pub fn put(&mut self, bytes: &[u8]) -> &mut Code {
        self.bytes.extend(bytes);
        self
    }

    /// `mov register, value` with all 64 bits.
    pub fn load(&mut self, register: Gpr, value: u64) -> &mut Code {
        let number = register as u8;
        self.put(&[0x48 | number >> 3, 0xb8 | number & 7])
            .put(&value.to_le_bytes())
    }

    /// `mov [address], register` through `mov r11, address`.
    pub fn store(&mut self, address: Va, register: Gpr) -> &mut Code {
        let number = register as u8;
        self.load(Gpr::R11, address.0).put(&[
            0x49 | (number >> 3) << 2,
            0x89,
            0x03 | (number & 7) << 3,
        ])
    }

    /// `mov register, [address]` through `mov r11, address`.
    pub fn fetch(&mut self, register: Gpr, address: Va) -> &mut Code {
        let number = register as u8;
        self.load(Gpr::R11, address.0).put(&[
            0x49 | (number >> 3) << 2,
            0x8b,
            0x03 | (number & 7) << 3,
        ])
    }

    fn relative(&mut self, opcode: &[u8], target: Va) -> &mut Code {
        self.put(opcode);
        let next = self.here().wrapping_add(4);
        self.put(&((target - next) as u32).to_le_bytes())
    }

    pub fn jump(&mut self, target: Va) -> &mut Code {
        self.relative(&[0xe9], target)
    }

    pub fn call(&mut self, target: Va) -> &mut Code {
        self.relative(&[0xe8], target)
    }

    /// `jnz target`.
    pub fn jump_if_not_zero(&mut self, target: Va) -> &mut Code {
        self.relative(&[0x0f, 0x85], target)
    }

    /// A jump forward, to where [`land`](Code::land) is called.
    pub fn jump_ahead(&mut self) -> Hole {
        self.put(&[0xe9, 0, 0, 0, 0]);
        Hole(self.bytes.len())
    }

    pub fn land(&mut self, hole: Hole) -> &mut Code {
        let distance = (self.bytes.len() - hole.0) as u32;
        self.bytes[hole.0 - 4..hole.0].copy_from_slice(&distance.to_le_bytes());
        self
    }

    /// `wrmsr` of a constant.
    pub fn set_msr(&mut self, number: u32, value: u64) -> &mut Code {
        self.load(Gpr::Rcx, number.into())
            .load(Gpr::Rax, value & 0xffff_ffff)
            .load(Gpr::Rdx, value >> 32)
            .put(&[0x0f, 0x30])
    }

    pub fn int3(&mut self) -> &mut Code {
        self.put(&[0xcc])
    }

    pub fn syscall(&mut self) -> &mut Code {
        self.put(&[0x0f, 0x05])
    }

    pub fn sysretq(&mut self) -> &mut Code {
        self.put(&[0x48, 0x0f, 0x07])
    }

    pub fn swapgs(&mut self) -> &mut Code {
        self.put(&[0x0f, 0x01, 0xf8])
    }

    pub fn iretq(&mut self) -> &mut Code {
        self.put(&[0x48, 0xcf])
    }

    pub fn hlt(&mut self) -> &mut Code {
        self.put(&[0xf4])
    }
}
