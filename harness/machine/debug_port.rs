//! The first serial port, as far as a kernel polls it for a debugger's break-in.

use std::collections::VecDeque;

/// The port's receive buffer register (8250 UART, COM1).
pub const DATA: u32 = 0x3f8;
/// The port's line status register.
pub const LINE_STATUS: u32 = 0x3fd;
/// The byte that asks the kernel to break in (`BREAKIN_PACKET_BYTE` of the KD protocol).
pub const BREAK_IN: u8 = 0x62;

const DATA_READY: u32 = 1;
const TRANSMITTER_EMPTY: u32 = 0x60;

/// Bytes on their way from the debugger to the guest.
#[derive(Clone, Debug, Default)]
pub struct DebugPort {
    waiting: VecDeque<u8>,
}

impl DebugPort {
    /// Sends the guest a byte.
    ///
    /// ```
    /// use poolhit::machine::debug_port::{BREAK_IN, DATA, DebugPort};
    /// let mut port = DebugPort::default();
    /// port.send(BREAK_IN);
    /// assert_eq!(port.input(DATA), 0x62);
    /// ```
    pub fn send(&mut self, byte: u8) {
        self.waiting.push_back(byte);
    }

    /// The bytes that the guest has not read yet.
    ///
    /// ```
    /// use poolhit::machine::debug_port::DebugPort;
    /// assert!(DebugPort::default().waiting().is_empty());
    /// ```
    pub fn waiting(&self) -> Vec<u8> {
        self.waiting.iter().copied().collect()
    }

    /// What an `in` from the port gives; ports that are not there float high.
    ///
    /// ```
    /// use poolhit::machine::debug_port::{DebugPort, LINE_STATUS};
    /// assert_eq!(DebugPort::default().input(LINE_STATUS) & 1, 0);
    /// ```
    pub fn input(&mut self, port: u32) -> u32 {
        match port {
            DATA => u32::from(self.waiting.pop_front().unwrap_or(0)),
            LINE_STATUS if self.waiting.is_empty() => TRANSMITTER_EMPTY,
            LINE_STATUS => TRANSMITTER_EMPTY | DATA_READY,
            _ => u32::MAX,
        }
    }
}
