//! What hits `nt!PoolHitTag`, and what debuggers do about it: each of the kernel's five break
//! instructions, the stacks there, the guest's own counters, memory that runs out, patches and
//! breakpoints.

mod breakpoints;
mod counters;
mod find_and_edit;
mod patches;
mod paths;
mod schedule;
mod small_memory;
mod tracker;

use poolhit::address::Va;
use poolhit::tag::Tag;
use poolhit::{Lab, Session};
use schedule::Path;

/// A session in front of the program's first request, with the tag to hit.
fn session(tag: Tag) -> Session {
    session_in(Lab::builder().build().unwrap(), tag)
}

fn session_in(lab: Lab, tag: Tag) -> Session {
    let mut session = Session::new(lab);
    let address = symbol(&session, "nt!PoolHitTag");
    session.write(address, &tag.to_bytes()).unwrap();
    session
}

fn symbol(session: &Session, name: &str) -> Va {
    session
        .resolve(name)
        .unwrap_or_else(|| panic!("{name} is not there"))
}

/// Where the kernel hits; whole pages' are the golden session's.
fn break_instruction(path: Path) -> Va {
    Va(match path {
        Path::BigPool => 0xfffff800_014798f6,
        Path::SmallPool => 0xfffff800_01479900,
        Path::Cached => 0xfffff800_01479910,
        Path::FreeBig => 0xfffff800_0160f5b7,
        Path::FreeSmall => 0xfffff800_0160f5dd,
    })
}

fn path_at(address: Va) -> Path {
    use Path::{BigPool, Cached, FreeBig, FreeSmall, SmallPool};
    [BigPool, SmallPool, Cached, FreeBig, FreeSmall]
        .into_iter()
        .find(|path| break_instruction(*path) == address)
        .unwrap_or_else(|| panic!("nothing hits at {address}"))
}
