//! Requests that are on their way: sent to a driver, and not complete. They are read from the lists of
//! their threads (`_ETHREAD.IrpList`), in Windows 7 x64's layouts (listings of `dt nt!_ETHREAD`, `_IRP`,
//! `_IO_STACK_LOCATION`, `_FILE_OBJECT` of that system's debuggers, which the guest's sources assert).
//!
//! Nothing in guest memory is trusted: lists end at what is no entry, in themselves, or at a limit that all
//! of them have together.

mod device_use;
mod lists;
mod unloaded;

pub use device_use::DeviceUse;
pub(in crate::guest) use device_use::listed;
pub use lists::OUTSTANDING_LIMIT;
pub use unloaded::UnloadedDriver;

use super::lab::Lab;
use super::objects::{DriverObject, Irp, NamedObject, major_function_name};
use super::pool::PoolKind;
use crate::address::Va;
use crate::memory::{MemoryFault, ReadMemory};
use crate::symbols::Modules;
use crate::tag::Tag;
pub(in crate::guest) use lists::Lists;
use std::fmt;

/// The tag of the packets that `IoAllocateIrp` makes.
pub(crate) const PACKET_TAG: Tag = Tag::from_bytes(*b"Irp ");
/// The most pages of the pool that are searched for packets: 256 MiB.
const POOL_PAGES: usize = 0x10000;
/// `IRP_CLOSE_OPERATION` in `_IRP.Flags` (wdm.h).
const CLOSE_OPERATION: u32 = 0x400;
/// `_FILE_OBJECT.Type`, `Flags`, and of these `FO_CLEANUP_COMPLETE`.
const FILE_TYPE: u16 = 5;
const FILE_FLAGS: u64 = 0x50;
const CLEANUP_COMPLETE: u32 = 0x4000;

/// A request that a driver has, and has not completed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OutstandingRequest {
    /// Its `_IRP`.
    pub address: Va,
    /// `IRP_MJ_*` of the location in use.
    pub major: u8,
    /// `IRP_MN_*`.
    pub minor: u8,
    /// The control code, for the major functions that have one.
    pub ioctl: Option<u32>,
    /// The device that has it.
    pub device: Va,
    /// The device's path in the object directories; empty for one without a name.
    pub device_name: String,
    /// The file that this device's driver is loaded from; the driver object's name, if it is none.
    pub driver: String,
    /// The driver's routine for the major function.
    pub dispatch: Va,
    /// The driver has marked it pending (`IoMarkIrpPending`).
    pub is_pending: bool,
    /// It is to be cancelled.
    pub cancelled: bool,
    /// The driver has set a routine that is called then.
    pub has_cancel_routine: bool,
    /// The file that a program has made the request to; NULL for what drivers make.
    pub file: Va,
    /// The last handle to that file is closed (`FO_CLEANUP_COMPLETE`).
    pub is_file_closed: bool,
    /// It is the I/O manager's `IRP_MJ_CLEANUP` or `IRP_MJ_CLOSE`, for whose end somebody waits.
    pub is_file_end: bool,
    /// Whose request it is; NULL if that thread has ended.
    pub thread: Va,
}

impl OutstandingRequest {
    /// What is asked for: the control code, or the major function.
    ///
    /// ```
    /// use poolhit::guest::OutstandingRequest;
    /// # use poolhit::address::Va;
    /// # let mut request = OutstandingRequest {
    /// #     address: Va(0), major: 14, minor: 0, ioctl: Some(0x222004), device: Va(0),
    /// #     device_name: String::new(), driver: String::new(), dispatch: Va(0), is_pending: false,
    /// #     cancelled: false, has_cancel_routine: false, file: Va(0), is_file_closed: false,
    /// #     is_file_end: false, thread: Va(0) };
    /// assert_eq!(request.function(), "ioctl 0x00222004");
    /// request.ioctl = None;
    /// request.major = 3;
    /// assert_eq!(request.function(), "IRP_MJ_READ");
    /// ```
    pub fn function(&self) -> String {
        match self.ioctl {
            Some(code) => format!("ioctl {code:#010x}"),
            None => match major_function_name(self.major) {
                Some(name) => name.into(),
                None => format!("major function {:#x}", self.major),
            },
        }
    }
}

/// As in `ioctl 0x00222004 pending in my.sys (\Device\My, IRP fffffa80`00034010)`.
impl fmt::Display for OutstandingRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match self.is_pending {
            true => "pending in",
            false => "not completed by",
        };
        write!(f, "{} {state} {} (", self.function(), shown(&self.driver))?;
        match self.device_name.is_empty() {
            true => write!(f, "device {}", self.device)?,
            false => f.write_str(&shown(&self.device_name))?,
        }
        write!(f, ", IRP {}", self.address)?;
        if self.is_pending && !self.has_cancel_routine {
            f.write_str(", without a cancel routine")?;
        }
        f.write_str(")")
    }
}

/// A name of the guest's or of a file in an error's text: nothing in it ends a line or steers a terminal.
pub(in crate::guest) fn shown(name: &str) -> String {
    let clean = |c: char| if c.is_control() { '\u{fffd}' } else { c };
    name.chars().map(clean).collect()
}

impl Lab {
    /// The requests that are on the lists of the guest's threads and not complete, each thread's newest
    /// first; at most [`OUTSTANDING_LIMIT`]. Memory that makes no sense has none.
    ///
    /// ```
    /// use poolhit::{Lab, guest::{ImageFile, Request}};
    /// use poolhit_fixtures::prebuilt::IOTEST;
    /// let driver = ImageFile::parse(IOTEST.name, IOTEST.bytes, None)?;
    /// let mut lab = Lab::builder().driver(driver).requester().build()?;
    /// let open = Request::Open { name: r"\\.\IoTest", access: 0, overlapped: true };
    /// let handle = lab.request(&open)?.handle.unwrap();
    /// assert_eq!(lab.outstanding_requests(), []);
    /// // the driver keeps it until another request comes
    /// let keep = [3_u32, 0, 0, 0].map(u32::to_le_bytes).concat();
    /// lab.request(&Request::ioctl(handle, 0x222004, &keep, 0))?;
    /// let [request] = &lab.outstanding_requests()[..] else { panic!() };
    /// assert_eq!((request.ioctl, request.is_pending), (Some(0x222004), true));
    /// assert_eq!((&*request.driver, &*request.device_name), ("iotest.sys", r"\Device\IoTest"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn outstanding_requests(&self) -> Vec<OutstandingRequest> {
        let addresses = Lists::of(self).all_irps();
        self.requests_at(addresses)
    }

    /// The requests of these packets: of those that are with a driver.
    pub(crate) fn requests_at(
        &self,
        addresses: impl IntoIterator<Item = Va>,
    ) -> Vec<OutstandingRequest> {
        let packets = addresses.into_iter().filter_map(|at| self.irp(at).ok());
        let sent = packets.filter(|packet| packet.location().is_some());
        let packets: Vec<Irp> = sent.take(OUTSTANDING_LIMIT).collect();
        if packets.is_empty() {
            return Vec::new();
        }
        let named = self.named_objects();
        let modules = self.modules();
        let requests = packets.iter();
        requests
            .filter_map(|packet| self.outstanding(packet, &named, &modules))
            .collect()
    }

    /// The requests of the thread with this `_ETHREAD`: in front the one that ends a file, if there is one,
    /// for which the thread waits, and then those on its list, the newest first.
    pub(super) fn requests_of_thread(&self, thread: Va) -> Vec<OutstandingRequest> {
        let mut found = self.requests_at(self.packets_in_pool());
        found.retain(|request| request.is_file_end && request.thread == thread);
        found.extend(self.requests_at(Lists::of(self).irps(thread)));
        found
    }

    /// The packets in the pool, by the headers of its blocks: those too that are on no list.
    fn packets_in_pool(&self) -> Vec<Va> {
        let mut found = Vec::new();
        let Ok(pool) = self.pool() else {
            return found;
        };
        for base in pool.mapped_pages(PoolKind::NonPaged).take(POOL_PAGES) {
            let Ok(page) = pool.page(base) else { continue };
            if page.starts_with_block() {
                let packets = page.headers().filter(|block| {
                    block.is_allocated() && block.header.tag.unprotected() == PACKET_TAG
                });
                found.extend(packets.map(|block| block.contents()));
            }
        }
        found.truncate(OUTSTANDING_LIMIT);
        found
    }

    /// The thread that runs, if it does so in user mode: nothing of what it has asked for is being done on
    /// its own stack.
    pub(crate) fn thread_in_user_mode(&self) -> Option<Va> {
        const CURRENT_THREAD: u64 = 0x188;
        let region = self.processor_control_region();
        let thread = self.machine().read_va(region.wrapping_add(CURRENT_THREAD));
        (self.machine().privilege_level() == 3)
            .then_some(thread.ok()?)
            .filter(|thread| thread.is_kernel())
    }

    fn outstanding(
        &self,
        packet: &Irp,
        named: &[NamedObject],
        modules: &Modules,
    ) -> Option<OutstandingRequest> {
        let location = packet.location()?;
        let driver = self.driver_of_device(location.device);
        let routines = driver.as_ref().map(|driver| &driver.major_functions);
        let dispatch = routines.and_then(|routines| routines.get(usize::from(location.major)));
        Some(OutstandingRequest {
            address: packet.address,
            major: location.major,
            minor: location.minor,
            ioctl: location.control_code(),
            device: location.device,
            device_name: device_path(named, location.device),
            driver: file_name(driver.as_ref(), modules),
            dispatch: dispatch.copied().unwrap_or_default(),
            is_pending: location.is_pending(),
            cancelled: packet.cancelled,
            has_cancel_routine: packet.cancel_routine != Va(0),
            file: packet.original_file,
            is_file_closed: self.is_closed(packet.original_file).unwrap_or(false),
            is_file_end: packet.flags & CLOSE_OPERATION != 0,
            thread: packet.thread,
        })
    }

    /// Whether the last handle to this file is closed.
    fn is_closed(&self, file: Va) -> Result<bool, MemoryFault> {
        let memory = self.machine();
        let flags = memory.read_u32(file.wrapping_add(FILE_FLAGS))?;
        Ok(memory.read_u16(file)? == FILE_TYPE && flags & CLEANUP_COMPLETE != 0)
    }
}

/// The path of a device; empty if it has no name.
fn device_path(named: &[NamedObject], device: Va) -> String {
    let found = named.iter().find(|named| named.object == device);
    found.map(|named| named.path.clone()).unwrap_or_default()
}

/// The file of a driver's image; the driver object's own name, if that is not loaded.
fn file_name(driver: Option<&DriverObject>, modules: &Modules) -> String {
    const UNKNOWN: &str = "an unknown driver";
    let Some(driver) = driver else {
        return UNKNOWN.into();
    };
    match modules.containing(driver.image.0) {
        Some(module) => module.image_name().to_owned(),
        None if driver.name.is_empty() => UNKNOWN.into(),
        None => driver.name.clone(),
    }
}
