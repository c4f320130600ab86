//! What is told on standard error besides the report.

use crate::{CLEAN, LEAKY_STEP, driver, prebuilt, run, texts};
use std::fs;

const FREE_LAST: &str = "0x222010:00000000";
const LEAK_PAGED: &str = "0x222008:40000000";

/// The first time, nothing is there to be freed.
#[test]
fn a_request_that_fails_sometimes_is_a_warning() {
    let steps = ["--ioctl", FREE_LAST, "--ioctl", LEAK_PAGED, "--repeat", "3"];
    let (status, out, errors) = texts(run(&[&[&*driver()][..], &steps].concat()));
    assert_eq!(status, 0, "{out}");
    assert_eq!(
        errors,
        "poolhit: step 1 of repetition 1: ioctl 0x00222010 (4 bytes in, room for 0) failed with \
         error 87 ERROR_INVALID_PARAMETER (status 0xc000000d STATUS_INVALID_PARAMETER), once\n"
    );
}

#[test]
fn a_request_that_fails_each_time_is_an_error() {
    let (status, out, errors) = texts(run(&[&driver(), "--ioctl", "0x222004", "--repeat", "3"]));
    assert_eq!(status, 2);
    assert!(out.starts_with("myfault.sys: nothing leaked"), "{out}");
    assert_eq!(
        errors,
        "poolhit: step 1 of repetition 1: ioctl 0x00222004 (0 bytes in, room for 0) failed with \
         error 87 ERROR_INVALID_PARAMETER (status 0xc000000d STATUS_INVALID_PARAMETER), 3 times in all\n\
         poolhit: ioctl 0x00222004 (0 bytes in, room for 0) failed each time with error 87 \
         ERROR_INVALID_PARAMETER (status 0xc000000d STATUS_INVALID_PARAMETER); if it has to, say so: --ioctl \
         …=0xc000000d\n"
    );
    let says_so = ["--ioctl", "0x222004=0xc000000d", "--repeat", "3"];
    let (status, out, errors) = texts(run(&[&[&*driver()][..], &says_so].concat()));
    assert_eq!((status, &*errors), (0, ""), "{out}");
    let (status, _, errors) = texts(run(&[&driver(), "--ioctl", "0x222004=success"]));
    assert_eq!(status, 2);
    assert!(errors.ends_with(", and not success\n"), "{errors}");
}

/// In a scenario that is what `expect` is for, and warnings come in front of an error, too.
#[test]
fn a_scenario_says_itself_what_may_fail() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("scenario.toml");
    let scenario = |text: &str| {
        let text = format!("driver = '{}'\n{text}", driver());
        fs::write(&file, text).unwrap();
        texts(run(&["--scenario", file.to_str().unwrap()]))
    };
    let fails = "[[step]]\nioctl = 0x222004\n";
    let (status, _, errors) = scenario(fails);
    assert_eq!((status, errors.lines().count()), (0, 1), "{errors}");
    let (status, out, errors) =
        scenario(&format!("{fails}[[teardown]]\nopen = '\\\\.\\Nothing'\n"));
    assert_eq!(status, 2);
    assert!(
        out.starts_with(r"myfault.sys: stopped: teardown step 1: open \\.\Nothing gave error 2 "),
        "{out}"
    );
    let lines: Vec<&str> = errors.lines().collect();
    assert_eq!(lines.len(), 2, "{errors}");
    assert!(lines[0].ends_with(", once"), "{errors}");
    assert!(
        lines[1].starts_with("poolhit: the run stopped: teardown step 1: open "),
        "{errors}"
    );
}

/// A Plug and Play driver without a device, and one that nobody can open.
#[test]
fn what_is_not_exercised_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("pnp.sys");
    let mut bytes = fs::read(prebuilt("iotest.sys")).unwrap();
    let mark = 0x5b6a_7988_1f2e_3d4c_u64.to_le_bytes();
    let place = bytes.windows(8).position(|at| at == mark).unwrap();
    bytes[place + 8] = 1; // it has AddDevice, and no devices of its own
    fs::write(&file, bytes).unwrap();
    let (status, out, errors) = texts(run(&[file.to_str().unwrap()]));
    assert_eq!(status, 0);
    assert!(out.starts_with("pnp.sys: nothing leaked.\n"), "{out}");
    assert!(
        errors.starts_with("poolhit: pnp.sys has an AddDevice routine, and no device is added"),
        "{errors}"
    );

    let scenario = folder.path().join("scenario.toml");
    let text = "driver = 'pnp.sys'\nunload = true\n[[setup]]\nadd-device = true\n";
    fs::write(&scenario, text).unwrap();
    let (status, out, errors) = texts(run(&["--scenario", scenario.to_str().unwrap()]));
    assert_eq!((status, &*errors), (0, ""), "{out}");
    assert!(
        out.contains("pnp.sys was unloaded and left nothing."),
        "{out}"
    );

    let (status, out, errors) = texts(run(&[&prebuilt("scheduler.sys")]));
    assert_eq!(status, 0);
    assert!(out.starts_with("scheduler.sys: nothing leaked.\n"), "{out}");
    assert!(
        errors.starts_with("poolhit: scheduler.sys has made no symbolic link"),
        "{errors}"
    );
}

#[test]
fn a_pdb_beside_the_image_that_does_not_fit_is_a_warning() {
    let folder = tempfile::tempdir().unwrap();
    let (image, pdb) = (folder.path().join("my.sys"), folder.path().join("my.pdb"));
    fs::copy(prebuilt("leaky.sys"), &image).unwrap();
    fs::copy(prebuilt("ntdll.pdb"), &pdb).unwrap();
    let (image, pdb) = (image.to_str().unwrap(), pdb.to_str().unwrap());
    let scenario = folder.path().join("scenario.toml");
    fs::write(&scenario, LEAKY_STEP).unwrap();
    let arguments = [image, "--scenario", scenario.to_str().unwrap()];
    let (status, out, errors) = texts(run(&arguments));
    assert_eq!(status, 1, "{out}");
    assert!(errors.starts_with(&format!("poolhit: {pdb}: ")), "{errors}");
    assert!(errors.ends_with("; going on without it\n"), "{errors}");
    // One that is named has to fit.
    let (status, out, errors) = texts(run(&[&arguments[..], &["--pdb", pdb]].concat()));
    assert_eq!((status, &*out), (2, ""));
    assert!(errors.starts_with(&format!("poolhit: {pdb}: ")), "{errors}");
}

/// Even the longest name that a file may have.
#[test]
fn a_file_has_a_name_of_any_length() {
    let folder = tempfile::tempdir().unwrap();
    let name = format!("{}.sys", "a".repeat(251));
    let file = folder.path().join(&name);
    fs::copy(driver(), &file).unwrap();
    let (status, out, errors) = texts(run(&[file.to_str().unwrap(), "--ioctl", CLEAN, "--unload"]));
    assert_eq!((status, &*errors), (0, ""), "{out}");
    assert!(out.contains("was unloaded and left nothing"), "{out}");
}
