//! Why there is no report of leaks.

/// Why there is no report of leaks.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LeakError {
    /// The lab was built without.
    #[error(
        "leaks are not being tracked in this lab: build it with Lab::builder().track_leaks(), so that \
         the first allocation of all is seen"
    )]
    NotTracked,
    /// Its kernel compares no tags.
    #[error(
        "leaks cannot be tracked with {kernel}: no place was found where it compares a pool tag with \
         nt!PoolHitTag{}", if *.has_symbols { "" } else { " (it has no symbols: give its PDB)" }
    )]
    NoSites {
        /// The kernel's file.
        kernel: String,
        /// Whether its PDB is at hand.
        has_symbols: bool,
    },
    /// No driver of this name has made a pool call.
    #[error(
        "no driver called '{name}' has called the pool; {}", match drivers.is_empty() {
            true => "none has".to_owned(),
            false => format!("those that have are {drivers}"),
        }
    )]
    UnknownDriver {
        /// The name, cut at 64 characters.
        name: String,
        /// The names there are.
        drivers: String,
    },
}
