//! The commands that show objects of the guest's kernel.

use super::{
    Run, driver_objects, handles, kernel_object, processes, processors, request_packet, threads,
};

pub(super) static COMMANDS: [(&str, Run); 11] = [
    ("!devobj", driver_objects::run_device),
    ("!devstack", driver_objects::run_stack),
    ("!drvobj", driver_objects::run_driver),
    ("!handle", handles::run),
    ("!irp", request_packet::run),
    ("!irql", processors::run_level),
    ("!object", kernel_object::run),
    ("!pcr", processors::run_region),
    ("!prcb", processors::run_block),
    ("!process", processes::run),
    ("!thread", threads::run),
];
