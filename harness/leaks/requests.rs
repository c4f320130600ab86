//! Requests that a driver will never complete.

use super::report::{BLOCKS_LISTED, LeakFilter};
use super::tracker::LeakTracker;
use crate::address::{CodeAddress, Va};
use crate::guest::{Lab, OutstandingRequest, PACKET_TAG};
use crate::symbols::{Modules, SourceLine};
use std::collections::{BTreeMap, BTreeSet};

/// Why a request counts as leaked.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum RequestFault {
    /// The driver's routine has returned, and has neither completed the request nor marked it pending: the
    /// caller was told that it is done.
    NeverPended,
    /// It is pending, and the last handle to its file is closed: the driver has not cancelled it in
    /// `IRP_MJ_CLEANUP`, and nobody waits for it (WDK, "DispatchCleanup Routines").
    FileClosed,
    /// Its thread has ended, and the driver has not completed it when it was cancelled.
    ThreadEnded,
}

/// A packet that leaks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LeakedIrp {
    /// Its `_IRP`.
    pub address: Va,
    /// The number of its allocation among all pool calls, and how many repetitions had been marked then; if
    /// the ledger has it.
    pub made: Option<(u64, u64)>,
}

/// Requests of one kind that a driver will never complete.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RequestReport {
    /// Why they count as leaked.
    pub why: RequestFault,
    /// `IRP_MJ_*`.
    pub major: u8,
    /// `IRP_MN_*`.
    pub minor: u8,
    /// The control code, for the major functions that have one.
    pub ioctl: Option<u32>,
    /// What is asked for, in words: `ioctl 0x00222004`, `IRP_MJ_READ`.
    pub function: String,
    /// The file of the driver that has them.
    pub driver: String,
    /// The path of its device; empty for one without a name.
    pub device: String,
    /// The driver's routine that they were given to.
    pub routine: String,
    /// The source line of that routine, if the driver's PDB has it.
    pub source: Option<SourceLine>,
    /// How many there are.
    pub count: u64,
    /// The first of them, at most [`BLOCKS_LISTED`].
    pub irps: Vec<LeakedIrp>,
}

impl Lab {
    /// The requests that leak, of the drivers and tags that are asked for: a packet's tag is `Irp `. Those
    /// that came first are in front.
    pub(super) fn leaked_requests(
        &self,
        tracker: &LeakTracker,
        filter: &LeakFilter,
    ) -> Vec<RequestReport> {
        if filter
            .tags
            .as_ref()
            .is_some_and(|tags| !tags.matches(PACKET_TAG))
        {
            return Vec::new();
        }
        let ledger = tracker.ledger();
        let packets = ledger.live_blocks();
        let packets = packets.filter(|block| ledger.paths()[block.path].tag == PACKET_TAG);
        let made: BTreeMap<Va, (u64, u64)> = packets
            .map(|block| (block.block, (block.sequence, block.repeat)))
            .collect();
        // First those on the lists of threads: what they are is sure.
        let listed = self.outstanding_requests();
        let on_lists: BTreeSet<Va> = listed.iter().map(|request| request.address).collect();
        let others = made.keys().copied().filter(|at| !on_lists.contains(at));
        let others = self.requests_at(others);
        let ending: BTreeSet<Va> = others
            .iter()
            .filter(|request| request.is_file_end)
            .map(|request| request.file)
            .collect();
        let resting = self.thread_in_user_mode();
        let mut leaked: Vec<(RequestFault, OutstandingRequest)> = Vec::new();
        for request in listed {
            // Its cleanup is under way: the driver may come to it yet.
            let is_ending = ending.contains(&request.file);
            let fault = match request.is_pending {
                false if resting == Some(request.thread) => RequestFault::NeverPended,
                _ if request.is_file_end || is_ending => continue,
                false if request.is_file_closed => RequestFault::NeverPended,
                true if request.is_file_closed => RequestFault::FileClosed,
                _ => continue,
            };
            leaked.push((fault, request));
        }
        let ended = others
            .into_iter()
            .filter(|request| request.thread == Va(0) && request.file != Va(0));
        leaked.extend(ended.map(|request| (RequestFault::ThreadEnded, request)));
        let modules = self.modules();
        leaked.retain(|(_, request)| self.is_chosen(request, filter, &modules));
        leaked.sort_by_key(|(_, request)| made.get(&request.address).copied());
        grouped(leaked, &made, &modules)
    }

    /// Whether a request is with the driver that is asked for, by its module's name or its file's.
    fn is_chosen(
        &self,
        request: &OutstandingRequest,
        filter: &LeakFilter,
        modules: &Modules,
    ) -> bool {
        let Some(wanted) = &filter.driver else {
            return true;
        };
        let module = modules.containing(request.dispatch);
        let names = module.map(|module| [module.name(), module.image_name()]);
        let mut names = names.into_iter().flatten().chain([&*request.driver]);
        names.any(|name| name.eq_ignore_ascii_case(wanted))
    }
}

fn grouped(
    leaked: Vec<(RequestFault, OutstandingRequest)>,
    made: &BTreeMap<Va, (u64, u64)>,
    modules: &Modules,
) -> Vec<RequestReport> {
    let mut groups: Vec<RequestReport> = Vec::new();
    let mut places = BTreeMap::new();
    for (why, request) in leaked {
        let kind = (
            why,
            request.device,
            request.major,
            request.minor,
            request.ioctl,
        );
        let place = *places.entry(kind).or_insert_with(|| {
            let near = modules.nearest(request.dispatch);
            groups.push(RequestReport {
                why,
                major: request.major,
                minor: request.minor,
                ioctl: request.ioctl,
                function: request.function(),
                driver: request.driver.clone(),
                device: request.device_name.clone(),
                routine: match near {
                    Some(near) => near.to_string(),
                    None => format!("0x{}", request.dispatch),
                },
                source: modules.line_of(CodeAddress::InstructionPointer(request.dispatch)),
                count: 0,
                irps: Vec::new(),
            });
            groups.len() - 1
        });
        let group = &mut groups[place];
        group.count += 1;
        if group.irps.len() < BLOCKS_LISTED {
            group.irps.push(LeakedIrp {
                address: request.address,
                made: made.get(&request.address).copied(),
            });
        }
    }
    groups
}
