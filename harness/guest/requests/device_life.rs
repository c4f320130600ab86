//! The life of a Plug and Play device from outside: the bus that finds it, and the system's power.

use super::super::lab::Lab;
use super::{DriverCallError, NtStatus, RequestError};

/// A device of the driver's on the guest's own bus, which has no hardware: the number that it got from
/// [`Lab::add_device`], counted up from 1.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct BusDevice(pub u32);

/// What is done to a device (`IRP_MJ_PNP`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DeviceAction {
    /// `IRP_MN_START_DEVICE`, for a device that is stopped.
    Start,
    /// `IRP_MN_QUERY_STOP_DEVICE`, and `IRP_MN_STOP_DEVICE` or, if it was refused,
    /// `IRP_MN_CANCEL_STOP_DEVICE`.
    Stop,
    /// `IRP_MN_QUERY_REMOVE_DEVICE`, and `IRP_MN_REMOVE_DEVICE` or `IRP_MN_CANCEL_REMOVE_DEVICE`. A device
    /// that somebody has open is not removed (`STATUS_DEVICE_BUSY`). With the last device goes the driver.
    Remove,
    /// `IRP_MN_SURPRISE_REMOVAL`; `IRP_MN_REMOVE_DEVICE` comes when nobody has it open any more.
    SurpriseRemove,
}

/// The system's power states (`SYSTEM_POWER_STATE` of wdm.h).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SystemPower {
    /// S0: all devices work.
    Working = 1,
    /// S1.
    Sleeping1,
    /// S2.
    Sleeping2,
    /// S3.
    Sleeping3,
    /// S4.
    Hibernate,
    /// S5.
    Shutdown,
}

impl Lab {
    /// Has the bus find a new device for the driver: its `AddDevice` routine is called, and the device is
    /// started.
    ///
    /// # Errors
    /// The driver has no `AddDevice` routine (`STATUS_INVALID_DEVICE_REQUEST`), it or the start fails, or
    /// something stops the guest on the way.
    ///
    /// ```
    /// let mut lab = poolhit::Lab::builder().requester().build()?;
    /// let error = lab.add_device().unwrap_err();
    /// assert!(error.to_string().contains("0xc0000010"), "{error}");
    /// # Ok::<(), poolhit::guest::LabError>(())
    /// ```
    pub fn add_device(&mut self) -> Result<BusDevice, DriverCallError> {
        let service = self.driver_service();
        let number = self.kernel_number()?;
        self.machine.tell_starting();
        let added = self.call_with_string("IopAddDevice", &service, &[number.0], "adding a device");
        self.machine.tell_started();
        added?;
        Ok(BusDevice(self.read_kernel_number()?))
    }

    /// Does something to a device.
    ///
    /// # Errors
    /// A driver refuses, the device is in no state for it, or something stops the guest on the way.
    ///
    /// ```
    /// use poolhit::guest::{BusDevice, DeviceAction};
    /// let mut lab = poolhit::Lab::builder().requester().build()?;
    /// let error = lab.device(BusDevice(1), DeviceAction::Remove).unwrap_err();
    /// assert!(error.to_string().contains("0xc000000e"), "{error}"); // STATUS_NO_SUCH_DEVICE
    /// # Ok::<(), poolhit::guest::LabError>(())
    /// ```
    pub fn device(
        &mut self,
        device: BusDevice,
        action: DeviceAction,
    ) -> Result<(), DriverCallError> {
        let (number, what) = match action {
            DeviceAction::Start => (1, "starting the device"),
            DeviceAction::Stop => (2, "stopping the device"),
            DeviceAction::Remove => (3, "removing the device"),
            DeviceAction::SurpriseRemove => (4, "taking the device away"),
        };
        self.control_device(device, number, 0, what)
    }

    /// Takes a device to a power state, 0 to 3 for D0 to D3: `IRP_MN_QUERY_POWER` and, if nobody refuses,
    /// `IRP_MN_SET_POWER`.
    ///
    /// # Errors
    /// A driver refuses, there is no such state, or something stops the guest on the way.
    ///
    /// ```
    /// use poolhit::guest::BusDevice;
    /// let mut lab = poolhit::Lab::builder().requester().build()?;
    /// assert!(lab.set_device_power(BusDevice(1), 3).is_err()); // there is none
    /// # Ok::<(), poolhit::guest::LabError>(())
    /// ```
    pub fn set_device_power(
        &mut self,
        device: BusDevice,
        state: u32,
    ) -> Result<(), DriverCallError> {
        // DEVICE_POWER_STATE counts D0 as 1
        let state = state.saturating_add(1).into();
        self.control_device(device, 5, state, "changing the device's power")
    }

    /// Takes all devices to a power state of the system's.
    ///
    /// # Errors
    /// A driver refuses, or something stops the guest on the way.
    ///
    /// ```
    /// use poolhit::guest::SystemPower;
    /// let mut lab = poolhit::Lab::builder().requester().build()?;
    /// lab.set_system_power(SystemPower::Sleeping3)?;
    /// lab.set_system_power(SystemPower::Working)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn set_system_power(&mut self, state: SystemPower) -> Result<(), DriverCallError> {
        self.call_for_status("PoSetSystemState", state as u64, "changing the power")
    }

    /// Tells the drivers that the system goes down, as `nt!NtShutdownSystem` does: `IRP_MJ_SHUTDOWN` to
    /// devices that are registered for it, and the power state S5. The guest runs on.
    ///
    /// # Errors
    /// Something stops the guest on the way.
    ///
    /// ```
    /// let mut lab = poolhit::Lab::builder().requester().build()?;
    /// lab.shutdown()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn shutdown(&mut self) -> Result<(), DriverCallError> {
        const SHUTDOWN_NO_REBOOT: u64 = 0;
        self.call_for_status("NtShutdownSystem", SHUTDOWN_NO_REBOOT, "shutting down")
    }

    fn control_device(
        &mut self,
        device: BusDevice,
        action: u64,
        state: u64,
        what: &'static str,
    ) -> Result<(), DriverCallError> {
        let service = self.driver_service();
        let arguments = [device.0.into(), action, state];
        self.call_with_string("IopControlDevice", &service, &arguments, what)
            .map(drop)
    }

    fn call_for_status(
        &mut self,
        function: &str,
        argument: u64,
        what: &'static str,
    ) -> Result<(), DriverCallError> {
        let function = self
            .kernel_function(function)
            .ok_or(RequestError::NotRequester)?;
        let status = NtStatus(self.call_in_system_thread(function, &[argument])? as u32);
        match status.is_success() {
            true => Ok(()),
            false => Err(DriverCallError::Failed { what, status }),
        }
    }
}
