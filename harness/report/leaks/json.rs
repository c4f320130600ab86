//! The report as JSON, for programs.
//!
//! `docs/leaks.schema.json` is the JSON Schema. `version` is 1, and becomes another number if a key goes
//! or means something else; keys may be added. Addresses are strings such as `"0xfffff88004ec1770"`,
//! since not every reader of JSON has integers of 64 bits; all other numbers are decimal, in blocks,
//! bytes, calls, or bytes of code executed. Tags are strings as the tools show them.

use crate::address::Va;
use crate::debugger::{CallSite, CallStack};
use crate::guest::BugCheck;
use crate::leaks::{
    Account, BadFreeReport, BlameKind, BlamedBlock, Driver, Growth, Held, LeakReport, LeakedIrp,
    LeftBehind, LiveBlock, Lost, ModuleReport, PathReport, RequestFault, RequestReport, RunEnd,
    TagReport, Totals, Unload,
};
use crate::report::json::JsonValue;

/// The version of the format.
pub const JSON_VERSION: u64 = 1;

type Keys = Vec<(&'static str, JsonValue)>;

fn hex(address: Va) -> JsonValue {
    format!("{:#018x}", address.0).into()
}

fn held(held: Held) -> JsonValue {
    JsonValue::Object(vec![
        ("blocks", held.blocks.into()),
        ("bytes", held.bytes.into()),
    ])
}

fn totals(totals: &Totals) -> Keys {
    vec![
        ("allocations", totals.allocations.into()),
        ("allocated_bytes", totals.allocated_bytes.into()),
        ("frees", totals.frees.into()),
        ("outstanding", held(totals.outstanding)),
        ("peak", held(totals.peak)),
    ]
}

fn account(account: &Account) -> Keys {
    let (smallest, largest) = account.sizes.range().unwrap_or_default();
    let sizes = JsonValue::Object(vec![
        ("smallest", smallest.into()),
        ("largest", largest.into()),
        ("distinct", account.sizes.distinct().into_iter().collect()),
        ("more", account.sizes.has_more().into()),
    ]);
    let mut keys = totals(&account.totals);
    keys.extend([
        ("pool", account.pools.name().into()),
        ("sizes", sizes),
        ("first_call", account.first.into()),
        ("last_call", account.last.into()),
    ]);
    keys
}

fn growth(growth: Growth) -> JsonValue {
    let kind = match growth {
        Growth::NotMeasured => "not_measured",
        Growth::Nothing => "nothing",
        Growth::OneTime => "one_time",
        Growth::WithTag => "with_tag",
        Growth::Growing { .. } => "growing",
    };
    let mut keys: Keys = vec![("kind", kind.into())];
    if let Growth::Growing {
        blocks_per_repeat,
        bytes_per_repeat,
    } = growth
    {
        keys.push(("blocks_per_repeat", blocks_per_repeat.into()));
        keys.push(("bytes_per_repeat", bytes_per_repeat.into()));
    }
    JsonValue::Object(keys)
}

fn frame(frame: &CallSite) -> JsonValue {
    let mut keys: Keys = vec![
        ("child_sp", hex(frame.child_sp)),
        ("return_address", hex(frame.return_address)),
        ("address", hex(frame.address)),
    ];
    for (key, name) in [("module", &frame.module), ("symbol", &frame.symbol)] {
        keys.extend(name.as_deref().map(|name| (key, name.into())));
    }
    keys.push(("offset", frame.offset.into()));
    if let Some(source) = &frame.source {
        keys.push(("file", source.file.as_str().into()));
        keys.push(("line", u64::from(source.line).into()));
        let column = source.column.map(u64::from);
        keys.extend(column.map(|column| ("column", column.into())));
    }
    JsonValue::Object(keys)
}

fn stack(stack: Option<&CallStack>) -> JsonValue {
    stack.map_or(JsonValue::Null, |stack| {
        JsonValue::Object(vec![
            ("frames", stack.frames.iter().map(frame).collect()),
            ("end", stack.end.to_string().into()),
        ])
    })
}

fn tag(tag: &TagReport) -> JsonValue {
    let mut keys: Keys = vec![
        ("tag", tag.tag.to_string().into()),
        ("leaked", held(tag.leaked)),
        ("growth", growth(tag.growth)),
    ];
    keys.extend(account(&tag.account));
    let points = tag.bytes_over_time.iter().copied();
    keys.push(("bytes_over_time", points.collect()));
    JsonValue::Object(keys)
}

fn block(block: &LiveBlock) -> JsonValue {
    JsonValue::Object(vec![
        ("address", hex(block.block)),
        ("bytes", block.bytes.into()),
        ("call", block.sequence.into()),
        ("repeat", block.repeat.into()),
    ])
}

fn path(path: &PathReport) -> JsonValue {
    let drivers = path.drivers.iter().map(|name| &**name);
    let mut keys: Keys = vec![
        ("tag", path.tag.to_string().into()),
        ("drivers", drivers.collect()),
        ("leaked", held(path.leaked)),
        ("growth", growth(path.growth)),
    ];
    keys.extend(account(&path.account));
    keys.push(("blocks", path.blocks.iter().map(block).collect()));
    keys.push(("stack", stack(path.stack.as_ref())));
    JsonValue::Object(keys)
}

fn bad_free(free: &BadFreeReport) -> JsonValue {
    let mut keys: Keys = vec![
        ("block", hex(free.block)),
        ("tag", free.tag.to_string().into()),
        ("call", free.sequence.into()),
        ("stack", stack(free.stack.as_ref())),
    ];
    if let Some((call, by)) = &free.freed_before {
        let first = vec![("call", (*call).into()), ("stack", stack(by.as_ref()))];
        keys.push(("freed_before", JsonValue::Object(first)));
    }
    if let Some(by) = &free.allocated {
        keys.push(("allocated_by", stack(Some(by))));
    }
    JsonValue::Object(keys)
}

fn unload(unload: &Unload) -> JsonValue {
    let mut keys: Keys = vec![
        ("left", held(unload.left)),
        ("pool_calls", unload.calls.into()),
    ];
    keys.extend(
        unload
            .bug_check()
            .map(|check| ("bug_check", bug_check(check))),
    );
    JsonValue::Object(keys)
}

fn bug_check(check: BugCheck) -> JsonValue {
    JsonValue::Object(vec![
        ("code", u64::from(check.code).into()),
        ("parameters", check.parameters.into_iter().collect()),
    ])
}

fn end(end: &RunEnd) -> JsonValue {
    let Some(stop) = end.stop() else {
        return JsonValue::Object(vec![("kind", "complete".into())]);
    };
    let mut keys: Keys = vec![
        ("kind", "stopped".into()),
        ("reason", (&*stop.reason).into()),
    ];
    keys.extend(stop.step.as_deref().map(|step| ("step", step.into())));
    keys.extend(stop.bug_check.map(|check| ("bug_check", bug_check(check))));
    if !stop.blocks.is_empty() {
        keys.push(("blocks", stop.blocks.iter().map(blamed).collect()));
    }
    keys.extend(stop.place.as_ref().map(|place| ("place", frame(place))));
    keys.push(("stack", stack(stop.stack.as_ref())));
    JsonValue::Object(keys)
}

fn blamed(block: &BlamedBlock) -> JsonValue {
    let kind = match block.kind {
        BlameKind::Named => "named",
        BlameKind::InFront => "in_front",
    };
    let mut keys: Keys = vec![
        ("kind", kind.into()),
        ("block", hex(block.block)),
        ("tag", block.tag.to_string().into()),
        ("call", block.call.into()),
        ("allocated_by", stack(block.allocated.as_ref())),
    ];
    keys.extend(block.bytes.map(|bytes| ("bytes", bytes.into())));
    if let Some((call, by)) = &block.freed {
        let freed = vec![("call", (*call).into()), ("stack", stack(by.as_ref()))];
        keys.push(("freed", JsonValue::Object(freed)));
    }
    JsonValue::Object(keys)
}

fn irp(irp: &LeakedIrp) -> JsonValue {
    let mut keys: Keys = vec![("address", hex(irp.address))];
    if let Some((call, repeat)) = irp.made {
        keys.extend([("call", call.into()), ("repeat", repeat.into())]);
    }
    JsonValue::Object(keys)
}

fn request(kind: &RequestReport) -> JsonValue {
    let why = match kind.why {
        RequestFault::NeverPended => "never_pended",
        RequestFault::FileClosed => "file_closed",
        RequestFault::ThreadEnded => "thread_ended",
    };
    let mut keys: Keys = vec![
        ("why", why.into()),
        ("count", kind.count.into()),
        ("function", (&*kind.function).into()),
        ("major", u64::from(kind.major).into()),
        ("minor", u64::from(kind.minor).into()),
    ];
    keys.extend(kind.ioctl.map(|code| ("ioctl", u64::from(code).into())));
    keys.extend([
        ("device", (&*kind.device).into()),
        ("driver", (&*kind.driver).into()),
        ("routine", (&*kind.routine).into()),
    ]);
    if let Some(source) = &kind.source {
        keys.push(("file", source.file.as_str().into()));
        keys.push(("line", u64::from(source.line).into()));
    }
    keys.push(("irps", kind.irps.iter().map(irp).collect()));
    JsonValue::Object(keys)
}

fn left_behind(left: &LeftBehind) -> JsonValue {
    let mut keys: Keys = vec![
        ("kind", left.kind.key().into()),
        ("driver", (&*left.driver).into()),
        ("object", hex(left.object)),
        ("undone_by", left.kind.undone_by().into()),
    ];
    if left.routine != Va(0) {
        keys.push(("routine", hex(left.routine)));
        keys.push(("place", (&*left.place).into()));
    }
    if let Some(source) = &left.source {
        keys.push(("file", source.file.as_str().into()));
        keys.push(("line", u64::from(source.line).into()));
    }
    if left.pages > 0 {
        keys.push(("pages", u64::from(left.pages).into()));
    }
    let code = left.kind.bug_check().map(|(code, _)| u64::from(code));
    keys.extend(code.map(|code| ("bug_check", code.into())));
    JsonValue::Object(keys)
}

fn image(name: &str, file: &str, base: Va, size: u32) -> Keys {
    vec![
        ("name", name.into()),
        ("file", file.into()),
        ("base", hex(base)),
        ("size", u64::from(size).into()),
    ]
}

fn driver(driver: &Driver) -> JsonValue {
    let mut keys = image(&driver.name, &driver.image_name, driver.base, driver.size);
    keys.extend(
        driver
            .unloaded
            .iter()
            .map(|gone| ("unloaded", unload(gone))),
    );
    JsonValue::Object(keys)
}

fn module(module: &ModuleReport) -> JsonValue {
    let keys = image(&module.name, &module.image_name, module.base, module.size);
    JsonValue::Object(keys)
}

fn lost(lost: &Lost, unseen: u64) -> JsonValue {
    JsonValue::Object(vec![
        ("blocks", lost.blocks.into()),
        ("paths", lost.paths.into()),
        ("unmatched_frees", lost.unmatched_frees.into()),
        ("replaced", lost.replaced.into()),
        ("unseen", unseen.into()),
    ])
}

/// A report as one JSON object, indented, with a line end behind it.
///
/// ```
/// use poolhit::{Lab, report::leaks::to_json};
/// let lab = Lab::builder().track_leaks().build()?;
/// let json: serde_json::Value = serde_json::from_str(&to_json(&lab.leaks()?))?;
/// assert_eq!(json["version"], 1);
/// assert_eq!(json["leaked"]["blocks"], 0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn to_json(report: &LeakReport) -> String {
    let value = JsonValue::Object(vec![
        ("version", JSON_VERSION.into()),
        ("end", end(&report.end)),
        ("drivers", report.drivers.iter().map(driver).collect()),
        ("leaked", held(report.leaked)),
        ("totals", JsonValue::Object(totals(&report.totals))),
        ("tags", report.tags.iter().map(tag).collect()),
        ("paths", report.paths.iter().map(path).collect()),
        ("bad_frees", report.bad_frees.iter().map(bad_free).collect()),
        ("bad_free_count", report.bad_free_count.into()),
        ("requests", report.requests.iter().map(request).collect()),
        (
            "left_behind",
            report.left_behind.iter().map(left_behind).collect(),
        ),
        ("repeats", report.repeats.into()),
        ("pool_calls", report.calls.into()),
        ("work", report.work.into()),
        ("time_step", report.step.into()),
        ("modules", report.modules.iter().map(module).collect()),
        ("lost", lost(&report.lost, report.unseen)),
    ]);
    format!("{value}\n")
}
