//! What is known of a request for pool while the guest is at a site.

use super::argument::{Location, above};
use super::site::HitSite;
use crate::machine::probe::{Observed, ReturnWatch};
use crate::memory::ReadMemory;
use crate::stack::capture::CapturedFrame;

/// What is known at a site.
pub(crate) struct Request {
    pub tag: u64,
    pub bytes: Option<u64>,
    pub pool_type: Option<u64>,
    pub block: Option<u64>,
}

impl Request {
    /// Reads all registers it takes at once; where a site does not need one, it is the tag's.
    #[inline]
    pub fn at(site: &HitSite, guest: &Observed<'_>) -> Request {
        let register = |location: Option<Location>| match location {
            Some(Location::Register(register)) => register,
            _ => site.tag,
        };
        let first = site.bytes.or(site.block);
        let wanted = [site.tag, register(first), register(site.pool_type)];
        let [tag, first_value, pool_type] = guest.three_registers(wanted);
        let value = |location: Option<Location>, register: u64| match location? {
            Location::Register(_) => Some(register),
            Location::Stack(offset) => guest.read_u64(above(guest.place().0, offset)).ok(),
        };
        let first_value = value(first, first_value);
        Request {
            tag,
            bytes: first_value.filter(|_| site.bytes.is_some()),
            block: first_value.filter(|_| site.bytes.is_none()),
            pool_type: value(site.pool_type, pool_type),
        }
    }
}

/// What tells when the function that compares has returned, and the block of an allocation is known.
/// It is the innermost of the frames, and returns to where it was called.
#[inline]
pub(crate) fn return_watch(
    site: &HitSite,
    guest: &Observed<'_>,
    frames: &[CapturedFrame],
    token: u64,
) -> Option<ReturnWatch> {
    let Some(Location::Stack(offset)) = site.return_address else {
        return None;
    };
    let [frame, ..] = frames else {
        return None;
    };
    Some(ReturnWatch {
        address: frame.return_address,
        stack: above(guest.place().0, offset).wrapping_add(8),
        token,
    })
}
