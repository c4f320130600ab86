//! What the guest's registry holds from the start, beside what every system has: the boot loader hands it
//! over, as Windows' hands over the SYSTEM hive.

use super::lab_builder::LabBuilder;
use std::fmt;

/// The most that the loader hands over, in bytes.
pub const REGISTRY_LIMIT: usize = 1 << 20;
/// The longest path of a key, in UTF-16 units.
const LONGEST_PATH: usize = 0x4000;
/// The longest name of a value, in UTF-16 units (WDK, "registry element size limits").
const LONGEST_NAME: usize = 16383;
/// The longest name of one key in a path.
const LONGEST_KEY: usize = 256;

/// A value of the registry, of one of the types that drivers read (WDK, `ZwSetValueKey`).
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum RegistryValue {
    /// `REG_DWORD`.
    Dword(u32),
    /// `REG_QWORD`.
    Qword(u64),
    /// `REG_SZ`; it gets its terminating zero.
    String(String),
    /// `REG_EXPAND_SZ`, likewise.
    ExpandString(String),
    /// `REG_MULTI_SZ`: each string and the whole get a zero.
    MultiString(Vec<String>),
    /// `REG_BINARY`.
    Binary(Vec<u8>),
}

/// What cannot be handed over to the guest's registry.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum RegistryError {
    /// The path does not name a key below one of the roots.
    #[error("{path}: a key's path starts with \\Registry\\Machine\\ or \\Registry\\User\\")]
    NotInRegistry {
        /// The path.
        path: String,
    },
    /// A path or a name in it is empty or too long.
    #[error(
        "{path}: a path has at most {LONGEST_PATH} UTF-16 units, each key in it 1 to {LONGEST_KEY}"
    )]
    Path {
        /// The path.
        path: String,
    },
    /// The value's name is too long.
    #[error("{path}: a value's name has {units} UTF-16 units; {LONGEST_NAME} are the most")]
    Name {
        /// The key's path.
        path: String,
        /// The length of the name.
        units: usize,
    },
    /// All together is too much.
    #[error("the registry values take more than {REGISTRY_LIMIT} bytes")]
    TooMuch,
}

impl RegistryValue {
    /// The type's number and the bytes that the registry holds (winnt.h).
    fn encode(&self) -> (u32, Vec<u8>) {
        let text = |strings: &[&String]| {
            let units = strings
                .iter()
                .flat_map(|string| string.encode_utf16().chain([0]));
            units.flat_map(u16::to_le_bytes).collect::<Vec<u8>>()
        };
        match self {
            RegistryValue::String(string) => (1, text(&[string])),
            RegistryValue::ExpandString(string) => (2, text(&[string])),
            RegistryValue::Binary(bytes) => (3, bytes.clone()),
            RegistryValue::Dword(value) => (4, value.to_le_bytes().to_vec()),
            RegistryValue::MultiString(strings) => {
                let mut bytes = text(&strings.iter().collect::<Vec<_>>());
                bytes.extend([0, 0]);
                (7, bytes)
            }
            RegistryValue::Qword(value) => (11, value.to_le_bytes().to_vec()),
        }
    }
}

/// Keys and values in the form in which they are handed over: `_CMP_RECORD` of the guest's
/// `cm_init.c`, one behind the other.
#[derive(Clone, PartialEq, Eq, Default)]
pub(super) struct RegistryRecords {
    bytes: Vec<u8>,
    error: Option<RegistryError>,
}

impl fmt::Debug for RegistryRecords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RegistryRecords")
            .field("length", &self.bytes.len())
            .field("error", &self.error)
            .finish()
    }
}

impl RegistryRecords {
    /// Adds a value, or a key alone.
    pub fn add(&mut self, path: &str, value: Option<(&str, RegistryValue)>) {
        if let Err(error) = self.try_add(path, value) {
            self.error.get_or_insert(error);
        }
    }

    fn try_add(
        &mut self,
        path: &str,
        value: Option<(&str, RegistryValue)>,
    ) -> Result<(), RegistryError> {
        const NO_VALUE: u32 = u32::MAX;
        const HEADER: usize = 16;
        check_path(path)?;
        let units = |text: &str| text.encode_utf16().flat_map(u16::to_le_bytes).collect();
        let path_bytes: Vec<u8> = units(path);
        let (name, (kind, data)) = match &value {
            Some((name, value)) => (*name, value.encode()),
            None => ("", (NO_VALUE, Vec::new())),
        };
        let name: Vec<u8> = units(name);
        if name.len() / 2 > LONGEST_NAME {
            let (path, units) = (path.to_string(), name.len() / 2);
            return Err(RegistryError::Name { path, units });
        }
        let size = HEADER + path_bytes.len() + name.len() + data.len();
        let padded = size.next_multiple_of(16);
        if self.bytes.len() + padded > REGISTRY_LIMIT {
            return Err(RegistryError::TooMuch);
        }
        for word in [padded as u32, kind, data.len() as u32] {
            self.bytes.extend(word.to_le_bytes());
        }
        for word in [path_bytes.len() as u16, name.len() as u16] {
            self.bytes.extend(word.to_le_bytes());
        }
        for part in [path_bytes, name, data] {
            self.bytes.extend(part);
        }
        self.bytes.resize(self.bytes.len() + padded - size, 0);
        Ok(())
    }

    /// The records, if all could be made.
    pub fn bytes(&self) -> Result<&[u8], RegistryError> {
        match &self.error {
            Some(error) => Err(error.clone()),
            None => Ok(&self.bytes),
        }
    }
}

fn check_path(path: &str) -> Result<(), RegistryError> {
    let roots = ["\\registry\\machine\\", "\\registry\\user\\"];
    let lower = path.to_ascii_lowercase();
    if !roots.iter().any(|root| lower.starts_with(root)) {
        let path = path.to_string();
        return Err(RegistryError::NotInRegistry { path });
    }
    let length = |text: &str| text.encode_utf16().count();
    let is_name = |name: &str| (1..=LONGEST_KEY).contains(&length(name));
    if length(path) > LONGEST_PATH || !path[1..].split('\\').all(is_name) {
        let path = path.to_string();
        return Err(RegistryError::Path { path });
    }
    Ok(())
}

impl LabBuilder {
    /// Puts a value into the guest's registry, which it has from the start. `path` is the key's, from
    /// `\Registry\Machine\` or `\Registry\User\` on; keys that are not there are made. An empty name
    /// is the key's default value. The driver's own service is the key that its `DriverEntry` gets as
    /// the registry path: `\Registry\Machine\System\CurrentControlSet\Services\` and the file's name
    /// without its extension.
    ///
    /// What cannot be put there is an error when the lab is built.
    ///
    /// ```
    /// use poolhit::{Lab, guest::RegistryValue};
    /// let key = r"\Registry\Machine\System\CurrentControlSet\Services\myfault\Parameters";
    /// let lab = Lab::builder()
    ///     .registry_value(key, "Depth", RegistryValue::Dword(3))
    ///     .registry_value(key, "Name", RegistryValue::String("leak".into()))
    ///     .build()?;
    ///
    /// let elsewhere = Lab::builder().registry_value("HKLM", "Depth", RegistryValue::Dword(3));
    /// let error = elsewhere.build().unwrap_err();
    /// assert!(error.to_string().starts_with("HKLM: a key's path starts with"), "{error}");
    /// # Ok::<(), poolhit::guest::LabError>(())
    /// ```
    pub fn registry_value(mut self, path: &str, name: &str, value: RegistryValue) -> LabBuilder {
        self.registry.add(path, Some((name, value)));
        self
    }

    /// Makes a key of the guest's registry, without values. See
    /// [`registry_value`](LabBuilder::registry_value).
    ///
    /// ```
    /// use poolhit::Lab;
    /// Lab::builder().registry_key(r"\Registry\Machine\Software\Maker\Product").build()?;
    /// # Ok::<(), poolhit::guest::LabError>(())
    /// ```
    pub fn registry_key(mut self, path: &str) -> LabBuilder {
        self.registry.add(path, None);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_as_the_kernel_reads_it() {
        let mut records = RegistryRecords::default();
        let value = RegistryValue::Dword(0x0102_0304);
        records.add("\\Registry\\Machine\\A", Some(("N", value)));
        let bytes = records.bytes().unwrap();
        assert_eq!(bytes.len(), 64);
        let header = [64, 0, 0, 0, 4, 0, 0, 0, 4, 0, 0, 0, 38, 0, 2, 0];
        assert_eq!(bytes[..16], header);
        assert_eq!(bytes[54..60], [b'N', 0, 4, 3, 2, 1]);
    }

    #[test]
    fn values_have_their_zeros() {
        let multi = RegistryValue::MultiString(vec!["a".into(), "b".into()]);
        let expected = [b'a', 0, 0, 0, b'b', 0, 0, 0, 0, 0].to_vec();
        assert_eq!(multi.encode(), (7, expected));
        let text = RegistryValue::String("a".into());
        assert_eq!(text.encode(), (1, vec![b'a', 0, 0, 0]));
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let error = |path: &str, name: &str, bytes: usize| {
            let mut records = RegistryRecords::default();
            let value = RegistryValue::Binary(vec![0; bytes]);
            records.add(path, Some((name, value)));
            records.bytes().unwrap_err()
        };
        let key = "\\Registry\\Machine\\A";
        for path in ["", "A", "\\Registry", "\\Registry\\Elsewhere\\A"] {
            let not_in = matches!(error(path, "", 0), RegistryError::NotInRegistry { .. });
            assert!(not_in, "{path}");
        }
        let long = "k".repeat(257);
        for path in [
            format!("{key}\\\\B"),
            format!("{key}\\"),
            format!("{key}\\{long}"),
        ] {
            assert!(matches!(error(&path, "", 0), RegistryError::Path { .. }));
        }
        let name = "n".repeat(16384);
        assert!(matches!(
            error(key, &name, 0),
            RegistryError::Name { units: 16384, .. }
        ));
        assert_eq!(error(key, "", REGISTRY_LIMIT), RegistryError::TooMuch);
    }
}
