//! A PCI bus with nothing on it but the host bridge, as the processor sees it through configuration
//! mechanism #1 (*PCI Local Bus Specification* 3.0, 3.2.2.3.2).

/// The port of the address register.
pub const ADDRESS: u32 = 0xcf8;
/// The first of the four ports of the data register.
pub const DATA: u32 = 0xcfc;

const ENABLE: u32 = 1 << 31;
/// What reads where nobody answers.
const NOBODY: u32 = u32::MAX;
/// The configuration space of Intel's 82441FX, the host bridge that emulators have: vendor and device,
/// command (memory, bus master) and status, revision and class. All other registers are zero.
const HOST_BRIDGE: [u32; 3] = [0x1237_8086, 0x0000_0006, 0x0600_0002];

/// The bus.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct PciBus {
    address: u32,
}

impl PciBus {
    /// Whether a port is the bus'.
    ///
    /// ```
    /// use poolhit::machine::pci::{ADDRESS, DATA, PciBus};
    /// assert!(PciBus::has_port(ADDRESS) && PciBus::has_port(DATA + 3) && !PciBus::has_port(0x3f8));
    /// ```
    pub fn has_port(port: u32) -> bool {
        (ADDRESS..DATA + 4).contains(&port)
    }

    /// What an `in` of `size` bytes gives.
    ///
    /// ```
    /// use poolhit::machine::pci::{ADDRESS, DATA, PciBus};
    /// let mut bus = PciBus::default();
    /// bus.output(ADDRESS, 4, 0x8000_0000);
    /// assert_eq!(bus.input(DATA, 4), 0x1237_8086);
    /// assert_eq!(bus.input(DATA + 2, 2), 0x1237);
    /// bus.output(ADDRESS, 4, 0x8000_0800);
    /// assert_eq!(bus.input(DATA, 2), 0xffff);
    /// ```
    pub fn input(&self, port: u32, size: usize) -> u32 {
        let word = match port {
            ADDRESS if size == 4 => self.address,
            DATA.. => self.register() >> (8 * (port - DATA)),
            _ => NOBODY,
        };
        match size {
            1 => word & 0xff,
            2 => word & 0xffff,
            _ => word,
        }
    }

    /// What an `out` does: the address register takes whole words; the bridge has nothing that can be
    /// changed.
    ///
    /// ```
    /// use poolhit::machine::pci::{ADDRESS, DATA, PciBus};
    /// let mut bus = PciBus::default();
    /// bus.output(ADDRESS, 4, 0x8000_0008);
    /// bus.output(DATA, 4, 0);
    /// assert_eq!(bus.input(DATA, 4), 0x0600_0002);
    /// ```
    pub fn output(&mut self, port: u32, size: usize, value: u32) {
        if port == ADDRESS && size == 4 {
            self.address = value & !3;
        }
    }

    fn register(&self) -> u32 {
        // Bus, device and function are all zero.
        if self.address & ENABLE == 0 || self.address & 0x00ff_ff00 != 0 {
            return NOBODY;
        }
        let number = (self.address as usize & 0xff) / 4;
        HOST_BRIDGE.get(number).copied().unwrap_or(0)
    }

    /// The address register: the bus' whole state.
    pub(super) fn state(&self) -> u64 {
        self.address.into()
    }
}
