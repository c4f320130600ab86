//! Same inputs, same bytes: within a process, between processes, and however often the guest is
//! stopped on its way, saved, restored or copied.

mod machine_runs;
mod restores;
mod session_runs;
mod states;
mod transcripts;

use poolhit::Lab;
use poolhit::memory::WriteMemory;
use std::fmt::Debug;

/// Enough for the guest to end well, and quick to hash.
const MEMORY: u64 = 16 << 20;
const LEAK: &[u8; 4] = b"Leak";
const LEAK_PAGED: &[u8; 4] = b"Lea2";
/// A tag that nobody uses.
const NO_TAG: &[u8; 4] = b"None";

fn lab(tag: &[u8; 4]) -> Lab {
    let mut lab = Lab::builder().memory(MEMORY).build().unwrap();
    let hit_tag = lab.kernel_symbol("PoolHitTag").unwrap();
    lab.machine_mut().write(hit_tag, tag).unwrap();
    lab
}

/// Where two histories part.
fn first_difference<T: PartialEq + Debug>(a: &[T], b: &[T]) -> String {
    let at = a.iter().zip(b).position(|(a, b)| a != b);
    let at = at.unwrap_or(a.len().min(b.len()));
    format!("event {at}: {:#x?} and {:#x?}", a.get(at), b.get(at))
}
