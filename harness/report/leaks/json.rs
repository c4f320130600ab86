//! The report as JSON, for programs.
//!
//! `docs/leaks.schema.json` is the JSON Schema. `version` is 1, and becomes another number if a key goes
//! or means something else; keys may be added. Addresses are strings such as `"0xfffff88004ec1770"`,
//! since not every reader of JSON has integers of 64 bits; all other numbers are decimal, in blocks,
//! bytes, calls, or bytes of code executed. Tags are strings as the tools show them.

use crate::address::Va;
use crate::debugger::{CallSite, CallStack};
use crate::leaks::{
    Account, BadFreeReport, Driver, Growth, Held, LeakReport, PathReport, TagReport,
};
use serde::Serialize;

/// The version of the format.
pub const JSON_VERSION: u32 = 1;

#[derive(Serialize)]
struct Report<'a> {
    version: u32,
    drivers: Vec<DriverPart<'a>>,
    leaked: HeldPart,
    totals: TotalsPart,
    tags: Vec<TagPart>,
    paths: Vec<PathPart<'a>>,
    bad_frees: Vec<BadFreePart>,
    bad_free_count: u64,
    repeats: u64,
    pool_calls: u64,
    work: u64,
    time_step: u64,
    modules: Vec<ModulePart<'a>>,
    lost: LostPart,
}

#[derive(Serialize)]
struct DriverPart<'a> {
    name: &'a str,
    file: &'a str,
    base: String,
    size: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    unloaded: Option<UnloadPart>,
}

#[derive(Serialize)]
struct UnloadPart {
    left: HeldPart,
    pool_calls: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    bug_check: Option<BugCheckPart>,
}

#[derive(Serialize)]
struct BugCheckPart {
    code: u32,
    parameters: [u64; 4],
}

#[derive(Serialize)]
struct HeldPart {
    blocks: u64,
    bytes: u64,
}

#[derive(Serialize)]
struct TotalsPart {
    allocations: u64,
    allocated_bytes: u64,
    frees: u64,
    outstanding: HeldPart,
    peak: HeldPart,
}

#[derive(Serialize)]
struct AccountPart {
    #[serde(flatten)]
    totals: TotalsPart,
    pool: &'static str,
    sizes: SizesPart,
    first_call: u64,
    last_call: u64,
}

#[derive(Serialize)]
struct SizesPart {
    smallest: u64,
    largest: u64,
    distinct: Vec<u64>,
    more: bool,
}

#[derive(Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
enum GrowthPart {
    NotMeasured,
    Nothing,
    OneTime,
    Growing {
        blocks_per_repeat: f64,
        bytes_per_repeat: f64,
    },
}

#[derive(Serialize)]
struct TagPart {
    tag: String,
    leaked: HeldPart,
    growth: GrowthPart,
    #[serde(flatten)]
    account: AccountPart,
    bytes_over_time: Vec<u64>,
}

#[derive(Serialize)]
struct PathPart<'a> {
    tag: String,
    drivers: &'a [String],
    leaked: HeldPart,
    growth: GrowthPart,
    #[serde(flatten)]
    account: AccountPart,
    blocks: Vec<BlockPart>,
    stack: Option<StackPart>,
}

#[derive(Serialize)]
struct BlockPart {
    address: String,
    bytes: u64,
    call: u64,
    repeat: u64,
}

#[derive(Serialize)]
struct StackPart {
    frames: Vec<FramePart>,
    end: String,
}

#[derive(Serialize)]
struct FramePart {
    child_sp: String,
    return_address: String,
    address: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    module: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    symbol: Option<String>,
    offset: u64,
}

#[derive(Serialize)]
struct BadFreePart {
    block: String,
    tag: String,
    call: u64,
    stack: Option<StackPart>,
    #[serde(skip_serializing_if = "Option::is_none")]
    freed_before: Option<FirstFreePart>,
    #[serde(skip_serializing_if = "Option::is_none")]
    allocated_by: Option<StackPart>,
}

#[derive(Serialize)]
struct FirstFreePart {
    call: u64,
    stack: Option<StackPart>,
}

#[derive(Serialize)]
struct ModulePart<'a> {
    name: &'a str,
    file: &'a str,
    base: String,
    size: u32,
}

#[derive(Serialize)]
struct LostPart {
    blocks: u64,
    paths: u64,
    unmatched_frees: u64,
    replaced: u64,
    unseen: u64,
}

fn hex(address: Va) -> String {
    format!("{:#018x}", address.0)
}

impl From<Held> for HeldPart {
    fn from(held: Held) -> HeldPart {
        HeldPart {
            blocks: held.blocks,
            bytes: held.bytes,
        }
    }
}

impl From<&Account> for AccountPart {
    fn from(account: &Account) -> AccountPart {
        let (smallest, largest) = account.sizes.range().unwrap_or_default();
        AccountPart {
            totals: totals(&account.totals),
            pool: account.pools.name(),
            sizes: SizesPart {
                smallest,
                largest,
                distinct: account.sizes.distinct(),
                more: account.sizes.has_more(),
            },
            first_call: account.first,
            last_call: account.last,
        }
    }
}

fn totals(totals: &crate::leaks::Totals) -> TotalsPart {
    TotalsPart {
        allocations: totals.allocations,
        allocated_bytes: totals.allocated_bytes,
        frees: totals.frees,
        outstanding: totals.outstanding.into(),
        peak: totals.peak.into(),
    }
}

impl From<Growth> for GrowthPart {
    fn from(growth: Growth) -> GrowthPart {
        match growth {
            Growth::NotMeasured => GrowthPart::NotMeasured,
            Growth::Nothing => GrowthPart::Nothing,
            Growth::OneTime => GrowthPart::OneTime,
            Growth::Growing {
                blocks_per_repeat,
                bytes_per_repeat,
            } => GrowthPart::Growing {
                blocks_per_repeat,
                bytes_per_repeat,
            },
        }
    }
}

impl From<&CallSite> for FramePart {
    fn from(frame: &CallSite) -> FramePart {
        FramePart {
            child_sp: hex(frame.child_sp),
            return_address: hex(frame.return_address),
            address: hex(frame.address),
            module: frame.module.clone(),
            symbol: frame.symbol.clone(),
            offset: frame.offset,
        }
    }
}

impl From<&CallStack> for StackPart {
    fn from(stack: &CallStack) -> StackPart {
        StackPart {
            frames: stack.frames.iter().map(FramePart::from).collect(),
            end: stack.end.to_string(),
        }
    }
}

impl<'a> From<&'a Driver> for DriverPart<'a> {
    fn from(driver: &'a Driver) -> DriverPart<'a> {
        DriverPart {
            name: &driver.name,
            file: &driver.image_name,
            base: hex(driver.base),
            size: driver.size,
            unloaded: driver.unloaded.map(|unload| UnloadPart {
                left: unload.left.into(),
                pool_calls: unload.calls,
                bug_check: unload.bug_check().map(|check| BugCheckPart {
                    code: check.code,
                    parameters: check.parameters,
                }),
            }),
        }
    }
}

impl From<&TagReport> for TagPart {
    fn from(tag: &TagReport) -> TagPart {
        TagPart {
            tag: tag.tag.to_string(),
            leaked: tag.leaked.into(),
            growth: tag.growth.into(),
            account: (&tag.account).into(),
            bytes_over_time: tag.bytes_over_time.clone(),
        }
    }
}

impl<'a> From<&'a PathReport> for PathPart<'a> {
    fn from(path: &'a PathReport) -> PathPart<'a> {
        let blocks = path.blocks.iter().map(|block| BlockPart {
            address: hex(block.block),
            bytes: block.bytes,
            call: block.sequence,
            repeat: block.repeat,
        });
        PathPart {
            tag: path.tag.to_string(),
            drivers: &path.drivers,
            leaked: path.leaked.into(),
            growth: path.growth.into(),
            account: (&path.account).into(),
            blocks: blocks.collect(),
            stack: path.stack.as_ref().map(StackPart::from),
        }
    }
}

impl From<&BadFreeReport> for BadFreePart {
    fn from(free: &BadFreeReport) -> BadFreePart {
        let stack = |stack: &Option<CallStack>| stack.as_ref().map(StackPart::from);
        BadFreePart {
            block: hex(free.block),
            tag: free.tag.to_string(),
            call: free.sequence,
            stack: stack(&free.stack),
            freed_before: free.freed_before.as_ref().map(|(call, by)| FirstFreePart {
                call: *call,
                stack: stack(by),
            }),
            allocated_by: stack(&free.allocated),
        }
    }
}

/// A report as one JSON object, indented, with a line end behind it.
///
/// ```
/// use poolhit::{Lab, report::leaks::to_json};
/// let lab = Lab::builder().track_leaks().build()?;
/// let json: serde_json::Value = serde_json::from_str(&to_json(&lab.leaks()?))?;
/// assert_eq!((&json["version"], &json["leaked"]["blocks"]), (&1.into(), &0.into()));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn to_json(report: &LeakReport) -> String {
    let modules = report.modules.iter().map(|module| ModulePart {
        name: &module.name,
        file: &module.image_name,
        base: hex(module.base),
        size: module.size,
    });
    let parts = Report {
        version: JSON_VERSION,
        drivers: report.drivers.iter().map(DriverPart::from).collect(),
        leaked: report.leaked.into(),
        totals: totals(&report.totals),
        tags: report.tags.iter().map(TagPart::from).collect(),
        paths: report.paths.iter().map(PathPart::from).collect(),
        bad_frees: report.bad_frees.iter().map(BadFreePart::from).collect(),
        bad_free_count: report.bad_free_count,
        repeats: report.repeats,
        pool_calls: report.calls,
        work: report.work,
        time_step: report.step,
        modules: modules.collect(),
        lost: LostPart {
            blocks: report.lost.blocks,
            paths: report.lost.paths,
            unmatched_frees: report.lost.unmatched_frees,
            replaced: report.lost.replaced,
            unseen: report.unseen,
        },
    };
    // Writing structures of numbers and strings to memory cannot fail.
    let mut json = serde_json::to_string_pretty(&parts).unwrap_or_default();
    json.push('\n');
    json
}
