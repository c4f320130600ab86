//! The symbolic links to the driver's devices, by which programs open them.

use super::lab::Lab;
use super::objects::NamedObject;

/// The directory of the links that all programs see.
const LINKS: &str = r"\GLOBAL??\";

impl Lab {
    /// The paths by which a program opens the driver's devices, `\\.\Name` each: the symbolic links whose
    /// target is a device of its. Memory that makes no sense has none.
    ///
    /// ```
    /// let lab = poolhit::Lab::builder().build()?;
    /// assert_eq!(lab.driver_links(), [r"\\.\Myfault"]);
    /// # Ok::<(), poolhit::guest::LabError>(())
    /// ```
    pub fn driver_links(&self) -> Vec<String> {
        let named = self.named_objects();
        let is_own = |device: &&NamedObject| {
            let driver = self.driver_of_device(device.object);
            driver.is_some_and(|driver| driver.image.0 == self.bases().driver)
        };
        let devices = named.iter().filter(|named| named.type_name == "Device");
        let devices: Vec<&NamedObject> = devices.filter(is_own).collect();
        let link = |named: &NamedObject| {
            let target = self.link_target(named.object)?;
            let same = |device: &&NamedObject| device.path.eq_ignore_ascii_case(&target);
            devices.iter().copied().find(same)?;
            Some(format!(r"\\.\{}", named.path.strip_prefix(LINKS)?))
        };
        named.iter().filter_map(link).collect()
    }
}
