//! Commands of Windows' debuggers' extensions for kernels, images and errors, and those for memory in files.

use super::{
    Run, driver_objects, environment, error_code, handles, image_headers, interrupts,
    kernel_object, memory_files, processes, processors, request_packet, running, threads,
};

pub(super) static COMMANDS: [(&str, Run); 21] = [
    (".readmem", memory_files::run_read),
    (".writemem", memory_files::run_write),
    ("!devobj", driver_objects::run_device),
    ("!devstack", driver_objects::run_stack),
    ("!dh", image_headers::run),
    ("!drvobj", driver_objects::run_driver),
    ("!error", error_code::run),
    ("!handle", handles::run),
    ("!idt", interrupts::run),
    ("!irp", request_packet::run),
    ("!irql", processors::run_level),
    ("!lmi", image_headers::run_module),
    ("!object", kernel_object::run),
    ("!pcr", processors::run_region),
    ("!peb", environment::run_process),
    ("!prcb", processors::run_block),
    ("!process", processes::run),
    ("!ready", running::run_ready),
    ("!running", running::run),
    ("!teb", environment::run_thread),
    ("!thread", threads::run),
];
