//! `!analyze -v` against analyses of Windows 7 that others have published: what holds in theirs holds in ours.

use poolhit::{Lab, Session};

/// "BugCheck D1, {0, 2, 0, fffff88006dd6c8f}" in a collection of a machine's crashes (debugger 6.12.0002.633,
/// Windows 7 Kernel Version 7601), from `READ_ADDRESS` on.
const TRAP_FRAME: &str = r"READ_ADDRESS:  0000000000000000 

CURRENT_IRQL:  2

FAULTING_IP: 
e22w7x64+6c8f
fffff880`06dd6c8f 488b08          mov     rcx,qword ptr [rax]

CUSTOMER_CRASH_COUNT:  1

DEFAULT_BUCKET_ID:  VISTA_DRIVER_FAULT

BUGCHECK_STR:  0xD1

PROCESS_NAME:  ThunderPlatfor

TRAP_FRAME:  fffff8801099d660 -- (.trap 0xfffff8801099d660)
NOTE: The trap frame does not contain all registers.
Some register values may be zeroed or incorrect.
rax=0000000000000000 rbx=0000000000000000 rcx=00000000000015f2
rdx=0000000000000000 rsi=0000000000000000 rdi=0000000000000000
rip=fffff88006dd6c8f rsp=fffff8801099d7f0 rbp=fffffa800c539f58
 r8=000000000000009b  r9=fffffa800c3e3000 r10=00000000000fffff
r11=fffff8801099d810 r12=0000000000000000 r13=0000000000000000
r14=0000000000000000 r15=0000000000000000
iopl=0         nv up ei pl nz na pe nc
e22w7x64+0x6c8f:
fffff880`06dd6c8f 488b08          mov     rcx,qword ptr [rax] ds:ae0e:00000000`00000000=????????????????
Resetting default scope

LAST_CONTROL_TRANSFER:  from fffff800042d6fe9 to fffff800042d7a40

STACK_TEXT:  
fffff880`1099d518 fffff800`042d6fe9 : 00000000`0000000a 00000000`00000000 00000000`00000002 00000000`00000000 : nt!KeBugCheckEx
fffff880`1099d520 fffff800`042d5c60 : 00000000`00000002 00000000`0000002a fffffa80`07456240 00000000`00000001 : nt!KiBugCheckDispatch+0x69
fffff880`1099d660 fffff880`06dd6c8f : fffffa80`0c3db880 00000000`00000000 00000000`00000000 00000000`00000000 : nt!KiPageFault+0x260
fffff880`1099d7f0 fffffa80`0c3db880 : 00000000`00000000 00000000`00000000 00000000`00000000 fffffa80`0c3db880 : e22w7x64+0x6c8f
fffff880`1099d7f8 00000000`00000000 : 00000000`00000000 00000000`00000000 fffffa80`0c3db880 fffffa80`0c51c870 : 0xfffffa80`0c3db880


STACK_COMMAND:  kb

FOLLOWUP_IP: 
e22w7x64+6c8f
fffff880`06dd6c8f 488b08          mov     rcx,qword ptr [rax]

SYMBOL_STACK_INDEX:  3

SYMBOL_NAME:  e22w7x64+6c8f

FOLLOWUP_NAME:  MachineOwner

MODULE_NAME: e22w7x64

IMAGE_NAME:  e22w7x64.sys

DEBUG_FLR_IMAGE_TIMESTAMP:  5332f945

FAILURE_BUCKET_ID:  X64_0xD1_e22w7x64+6c8f

BUCKET_ID:  X64_0xD1_e22w7x64+6c8f

Followup: MachineOwner
---------
";

/// "Intel Network Adapter Diagnostic Driver DoS" (a live Windows 7 7601), from `EXCEPTION_CODE` on; the rows below the
/// system call are left out.
const CONTEXT: &str = r"EXCEPTION_CODE: (NTSTATUS) 0xc0000005 - The instruction at 0x%08lx referenced memory at 0x%08lx. The memory could not be %s.

FAULTING_IP: 
iqvw64e+3fd2
fffff880`05a0bfd2 488b11          mov     rdx,qword ptr [rcx]

CONTEXT:  fffff8800653a9c0 -- (.cxr 0xfffff8800653a9c0)
rax=0000f88005a696d1 rbx=0000000000000001 rcx=00000000deadbeef
rdx=0000000080862013 rsi=fffffa804d1084d0 rdi=00000000deadbeef
rip=fffff88005a0bfd2 rsp=fffff8800653b3a0 rbp=fffff8800653bb60
 r8=fffffa804b0f4d70  r9=000000000000000e r10=0000000000000000
r11=fffff8800653b898 r12=0000000000000003 r13=0000000000000001
r14=0000000000000001 r15=fffffa804aac7b00
iopl=0         nv up ei pl nz na pe nc
cs=0010  ss=0018  ds=002b  es=002b  fs=0053  gs=002b             efl=00010202
iqvw64e+0x3fd2:
fffff880`05a0bfd2 488b11          mov     rdx,qword ptr [rcx] ds:002b:00000000`deadbeef=????????????????
Resetting default scope

DEFAULT_BUCKET_ID:  WIN7_DRIVER_FAULT

BUGCHECK_STR:  0x3B

PROCESS_NAME:  ConsoleApplica

LAST_CONTROL_TRANSFER:  from fffff88005a091ac to fffff88005a0bfd2

STACK_TEXT:  
fffff880`0653b3a0 fffff880`05a091ac : fffffa80`4aac7b00 00000000`00000001 fffffa80`4d1084d0 fffffa80`4d01e160 : iqvw64e+0x3fd2
fffff880`0653b8a0 fffff800`039e80f7 : 00000000`80862013 fffff880`0653bb60 fffffa80`4d1084d0 fffffa80`4d01e160 : iqvw64e+0x11ac
fffff880`0653b8d0 fffff800`039e8956 : fffff680`003b5ee8 00000000`00000000 00000000`00000000 00000000`00000000 : nt!IopXxxControlFile+0x607
fffff880`0653ba00 fffff800`036cb113 : 00000000`0021df01 0000007f`ffffffff 00000000`0021df00 00000980`00000000 : nt!NtDeviceIoControlFile+0x56
fffff880`0653ba70 00000000`73b02e09 : 00000000`73b02944 00000000`775a01b4 00000000`73b70023 00000000`00000246 : nt!KiSystemServiceCopyEnd+0x13


FOLLOWUP_IP: 
iqvw64e+3fd2
fffff880`05a0bfd2 488b11          mov     rdx,qword ptr [rcx]

SYMBOL_STACK_INDEX:  0

SYMBOL_NAME:  iqvw64e+3fd2

FOLLOWUP_NAME:  MachineOwner

MODULE_NAME: iqvw64e

IMAGE_NAME:  iqvw64e.sys

DEBUG_FLR_IMAGE_TIMESTAMP:  5284eac3

STACK_COMMAND:  .cxr 0xfffff8800653a9c0 ; kb

FAILURE_BUCKET_ID:  X64_0x3B_iqvw64e+3fd2

BUCKET_ID:  X64_0x3B_iqvw64e+3fd2
";

/// What is known of failures elsewhere, and is not said here.
const LEFT_OUT: [&str; 4] = [
    "CUSTOMER_CRASH_COUNT",
    "DEFAULT_BUCKET_ID",
    "FAILURE_BUCKET_ID",
    "BUCKET_ID",
];

/// The sections, each with its name and lines, of which the first is what stands behind the name.
fn sections(text: &str) -> Vec<(&str, Vec<&str>)> {
    let mut found: Vec<(&str, Vec<&str>)> = Vec::new();
    for line in text.lines() {
        let name = line.split(": ").next().unwrap_or_default();
        let is_name = line.contains(": ")
            && name.len() > 4
            && name.chars().all(|c| c.is_ascii_uppercase() || c == '_');
        match found.last_mut() {
            _ if is_name => found.push((name, vec![line[name.len() + 1..].trim()])),
            Some((_, lines)) => lines.push(line),
            None => {}
        }
    }
    found.retain(|(name, _)| !LEFT_OUT.contains(name));
    found
}

fn section<'a>(text: &'a str, name: &str) -> Option<Vec<&'a str>> {
    let mut found = sections(text).into_iter();
    found.find(|one| one.0 == name).map(|one| one.1)
}

/// A register, as it is printed.
fn register(lines: &[&str], name: &str) -> String {
    let name = format!("{name}=");
    let line = lines.iter().find(|line| line.contains(&name)).unwrap();
    let at = line.find(&name).unwrap() + name.len();
    line[at..at + 16].to_string()
}

fn plain(address: &str) -> String {
    address.replace('`', "")
}

/// What holds in every analysis that has a trap frame or a context record.
fn check(text: &str) {
    let lines = |name: &str| section(text, name).unwrap_or_else(|| panic!("no {name}: {text}"));
    let rows: Vec<Vec<&str>> = lines("STACK_TEXT")
        .into_iter()
        .filter(|line| line.contains(" : "))
        .map(|line| line.split_whitespace().collect())
        .collect();
    for row in &rows {
        // stack pointer, return address, four words, call site
        assert_eq!((row.len(), row[2], row[7]), (9, ":", ":"), "{row:?}");
    }
    let context = section(text, "CONTEXT");
    let trapped = context.is_none();
    let source = context.unwrap_or_else(|| lines("TRAP_FRAME"));
    let place = source[0].split(' ').next().unwrap();
    let command = match trapped {
        true => "kb".to_string(),
        false => format!(".cxr 0x{place} ; kb"),
    };
    assert_eq!(lines("STACK_COMMAND")[0], command);
    let word = if trapped { ".trap" } else { ".cxr" };
    assert_eq!(source[0], format!("{place} -- ({word} 0x{place})"));
    assert!(source.contains(&"Resetting default scope"), "{source:?}");
    assert_eq!(source[1].starts_with("NOTE"), trapped);
    let segments = source.iter().any(|line| line.starts_with("cs="));
    assert_eq!(segments, !trapped);
    // The first row is the code that made the bug check, or that raised the exception.
    let transfer = format!("from {} to ", plain(rows[0][1]));
    assert!(lines("LAST_CONTROL_TRANSFER")[0].starts_with(&transfer));
    // The row of the fault: behind the trap frame's, or the first.
    let fault = match trapped {
        true => 1 + rows.iter().position(|row| plain(row[0]) == place).unwrap(),
        false => 0,
    };
    if trapped {
        assert!(
            rows[fault - 1][8].starts_with("nt!KiPageFault+0x"),
            "{rows:?}"
        );
        assert!(rows.iter().any(|row| row[8].starts_with("nt!KeBugCheckEx")));
        assert_eq!(plain(rows[fault - 1][1]), register(&source, "rip"));
    }
    assert_eq!(plain(rows[fault][0]), register(&source, "rsp"));
    let faulting = lines("FAULTING_IP");
    assert!(plain(faulting[2]).starts_with(&register(&source, "rip")));
    let number = usize::from_str_radix(lines("SYMBOL_STACK_INDEX")[0], 16).unwrap();
    assert_eq!(number, fault);
    let symbol = lines("SYMBOL_NAME")[0].to_string();
    assert_eq!(rows[fault][8].replace("+0x", "+"), symbol);
    assert_eq!(lines("FOLLOWUP_IP")[1], symbol);
    assert_eq!(lines("FOLLOWUP_IP")[1..3], faulting[1..3]);
    let module = lines("MODULE_NAME")[0].to_string();
    assert!(symbol.starts_with(&module));
    assert_eq!(lines("IMAGE_NAME")[0], format!("{module}.sys"));
}

fn analysis(commands: &str) -> String {
    let mut session = Session::new(Lab::builder().build().unwrap());
    session.execute(commands).unwrap();
    let text = session.execute("!analyze -v").unwrap();
    let start = text.find("------------------\n").unwrap();
    text[start..].to_string()
}

/// A driver that writes to address 0x10 at DISPATCH_LEVEL, and one that reads it in a system service.
fn ours() -> [String; 2] {
    [
        analysis(
            "eb myfault+1634 b9 2 0 0 0 48 b8; eq myfault+163b nt!KfRaiseIrql; \
             eb myfault+1643 ff d0 8b 4 25 10 0 0 0; g",
        ),
        analysis("eb myfault+1634 8b 04 25 10 00 00 00; g"),
    ]
}

#[test]
fn the_parts_of_an_analysis_say_the_same_of_the_fault() {
    for text in [TRAP_FRAME, CONTEXT] {
        check(text);
    }
    for text in ours() {
        check(&text);
    }
}

#[test]
fn the_sections_come_in_the_published_order() {
    for (published, ours) in [TRAP_FRAME, CONTEXT].into_iter().zip(ours()) {
        let names = |text: &str| -> Vec<String> {
            let all = sections(text).into_iter();
            all.map(|(name, _)| name.to_string()).collect()
        };
        assert_eq!(names(published), names(&ours), "{ours}");
        // What stands behind the names of those that have no address in them.
        for name in [
            "EXCEPTION_CODE",
            "CURRENT_IRQL",
            "BUGCHECK_STR",
            "FOLLOWUP_NAME",
        ] {
            let first = |text| section(text, name).map(|lines| lines[0].to_string());
            assert_eq!(first(published), first(&ours), "{name}");
        }
    }
}
