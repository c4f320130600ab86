//! The first serial port: a kernel polls it for a debugger's break-in, and sends through it what
//! drivers print.

use super::Machine;
use std::collections::VecDeque;

/// The port's receive buffer, and its transmitter holding register (8250 UART, COM1).
pub const DATA: u32 = 0x3f8;
/// The port's line status register.
pub const LINE_STATUS: u32 = 0x3fd;
/// The byte that asks the kernel to break in (`BREAKIN_PACKET_BYTE` of the KD protocol).
pub const BREAK_IN: u8 = 0x62;
/// The most bytes that are kept of what the guest has sent: the last ones.
pub const KEPT: usize = 1 << 18;

const DATA_READY: u32 = 1;
const TRANSMITTER_EMPTY: u32 = 0x60;

/// Bytes on their way from the debugger to the guest, and what the guest has sent.
#[derive(Clone, Debug, Default)]
pub struct DebugPort {
    waiting: VecDeque<u8>,
    sent: VecDeque<u8>,
    total: u64,
}

/// A part of what the guest has sent.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Sent {
    /// The number of the first byte, counted from the machine's start.
    pub start: u64,
    /// The bytes.
    pub bytes: Vec<u8>,
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

    /// What an `out` of a byte does: the data register sends it; the others set what nobody needs.
    ///
    /// ```
    /// use poolhit::machine::debug_port::{DATA, DebugPort};
    /// let mut port = DebugPort::default();
    /// port.output(DATA, b'x');
    /// assert_eq!((port.total(), port.sent_since(0).bytes), (1, b"x".to_vec()));
    /// ```
    pub fn output(&mut self, port: u32, byte: u8) {
        if port != DATA {
            return;
        }
        if self.sent.len() == KEPT {
            self.sent.pop_front();
        }
        self.sent.push_back(byte);
        self.total += 1;
    }

    /// How many bytes the guest has sent since the machine's start.
    ///
    /// ```
    /// assert_eq!(poolhit::machine::debug_port::DebugPort::default().total(), 0);
    /// ```
    pub fn total(&self) -> u64 {
        self.total
    }

    /// What the guest has sent from the byte with this number on, as far as it is kept: the part
    /// starts later if it is not.
    ///
    /// ```
    /// use poolhit::machine::debug_port::{DATA, DebugPort, KEPT};
    /// let mut port = DebugPort::default();
    /// (0..KEPT + 2).for_each(|_| port.output(DATA, b'x'));
    /// assert_eq!(port.sent_since(1).start, 2);
    /// assert_eq!(port.sent_since(KEPT as u64).bytes, b"xx");
    /// assert_eq!(port.sent_since(u64::MAX).bytes, b"");
    /// ```
    pub fn sent_since(&self, position: u64) -> Sent {
        let first = self.total - self.sent.len() as u64;
        let start = position.clamp(first, self.total);
        let skipped = (start - first) as usize;
        Sent {
            start,
            bytes: self.sent.iter().skip(skipped).copied().collect(),
        }
    }
}

impl Machine {
    /// Sends the guest a byte through the serial port that its debugger support polls.
    pub fn send_to_debug_port(&mut self, byte: u8) {
        self.engine.port().send(byte);
    }

    /// What the guest has sent through that port from the byte with this number on, as far as it is
    /// [kept](KEPT).
    ///
    /// ```
    /// let lab = poolhit::Lab::builder().build()?;
    /// assert_eq!(lab.machine().sent_since(0).bytes, b"");
    /// # Ok::<(), poolhit::guest::LabError>(())
    /// ```
    pub fn sent_since(&self, position: u64) -> Sent {
        self.engine.sent().sent_since(position)
    }

    /// How many bytes the guest has sent through that port since the machine was made.
    ///
    /// ```
    /// assert_eq!(poolhit::Lab::builder().build()?.machine().sent_bytes(), 0);
    /// # Ok::<(), poolhit::guest::LabError>(())
    /// ```
    pub fn sent_bytes(&self) -> u64 {
        self.engine.sent().total()
    }
}
