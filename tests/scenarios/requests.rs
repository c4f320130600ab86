//! Requests of scenarios: where they go, and what is expected of them.

use crate::{error, lab, run};
use poolhit::Lab;
use poolhit::scenario::{Outcome, RunError, Scenario, ScenarioFile};

const PREAMBLE: &str = r"
[[setup]]
open = '\\.\IoTest'
as = 'one'
[[setup]]
open = '\\.\IoTest'
overlapped = true
as = 'two'
";

fn with_handles(steps: &str) -> String {
    format!("{PREAMBLE}{steps}")
}

#[test]
fn an_offset_is_where_it_is_read_and_written() {
    let text = with_handles(
        "[[step]]\nwrite = '01 02'\noffset = 100\non = 'one'\nexpect = 'success'
         # behind that, where the position is now
         [[step]]\nwrite = '03'\non = 'one'\nexpect = 'success'
         [[step]]\nread = 1\noffset = 102\non = 'one'\nexpect = 'success'
         # ReadFile says nothing of a file's end, unless it is overlapped
         [[step]]\nread = 1\non = 'one'\nexpect = 'success'
         [[step]]\nread = 1\noffset = 102\non = 'two'\nexpect = 'success'
         [[step]]\nread = 1\noffset = 103\non = 'two'\nexpect = 0xC0000011
         [[step]]\nread = 1\noffset = 1000000000\non = 'two'\nexpect = 0xC0000011
         [[step]]\nwrite = '00'\noffset = 1000000000\non = 'one'\nexpect = 0xC000007F",
    );
    assert_eq!(run(&mut lab(0), &text).unwrap().failures, []);
    // The driver's file has 4,096 bytes: behind the last one nothing can be written.
    let last = with_handles(
        "[[step]]\nwrite = '01'\noffset = 4095\non = 'one'\nexpect = 'success'
         [[step]]\nwrite = '02'\non = 'one'\nexpect = 0xC000007F
         [[step]]\nwrite = '03'\noffset = 0\non = 'one'\nexpect = 'success'
         [[step]]\nread = 1\noffset = 4095\non = 'one'\nexpect = 'success'
         [[step]]\nwrite = '04'\non = 'one'\nexpect = 0xC000007F",
    );
    assert_eq!(run(&mut lab(0), &last).unwrap().failures, []);
}

#[test]
fn a_failed_open_ends_the_run_unless_it_may_fail() {
    let text = with_handles("[[step]]\nopen = '\\\\.\\Nothing'\n[[step]]\nioctl = 0x222000\n");
    let told = error(&mut lab(0), &text);
    assert!(
        told.starts_with(
            r"step 1 of repetition 1: open \\.\Nothing gave error 2 ERROR_FILE_NOT_FOUND (status 0xc0000034 STATUS_OBJECT_NAME_NOT_FOUND)"
        ),
        "{told}"
    );
    // Nothing goes to the older handle in its place.
    for expect in ["'anything'", "0xC0000034"] {
        let open = format!("open = '\\\\.\\Nothing'\nexpect = {expect}");
        let told = error(&mut lab(0), &text.replace(r"open = '\\.\Nothing'", &open));
        assert_eq!(
            told,
            "step 2 of repetition 1: no open handle is the last: the step that was to give it failed"
        );
    }
}

#[test]
fn requests_are_waited_for_and_cancelled() {
    // The driver keeps it in a queue (3) until it is asked to release all.
    let keep = "ioctl = 0x222004\ninput = '03 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00'\noutput = 4\n\
                on = 'two'\nexpect = 0x103\n";
    let text = with_handles(&format!(
        "[[step]]\n{keep}as = 'a'\n[[step]]\n{keep}as = 'b'\n[[step]]\n{keep}
         [[step]]\nwait = 'a'\ntimeout = 1
         [[step]]\ncancel = 'b'\nexpect = 'success'
         [[step]]\nwait = 'b'\nexpect = 0xC0000120
         [[step]]\nioctl = 0x222008\non = 'one'\nexpect = 'success'
         [[step]]\nwait = 'a'\nexpect = 'success'
         [[step]]\nwait = true\nexpect = 'success'
         [[step]]\n{keep}
         [[step]]\ncancel = 'two'\nexpect = 'success'
         [[step]]\nwait = true\nexpect = 0xC0000120
         # one that has ended at once
         [[step]]\nioctl = 0x222000\ninput = '01'\non = 'two'\nas = 'c'
         [[step]]\ncancel = 'c'
         [[step]]\nwait = 'c'\nexpect = 'success'
         [[step]]\nwait = 'c'"
    ));
    let mut outcome = Outcome::default();
    let scenario = ScenarioFile::parse(&text, "".as_ref()).unwrap().scenario;
    let error = scenario.run_noting(&mut lab(0), &mut outcome, |_| ());
    assert_eq!(
        error.unwrap_err().to_string(),
        "step 16 of repetition 1: no request is called \"c\""
    );
    let [failure] = &outcome.failures[..] else {
        panic!("{outcome:?}");
    };
    // ERROR_IO_INCOMPLETE
    assert_eq!((failure.step.as_str(), failure.error.0), ("wait [a]", 996));
}

#[test]
fn a_budget_is_the_most_that_a_request_takes() {
    let text = "device = '\\\\.\\IoTest'\nbudget = 100\n";
    let told = error(&mut lab(0), text);
    assert!(told.contains("no end after 100 bytes of code"), "{told}");
}

#[test]
fn the_device_is_found_and_opened_though_nothing_is_asked_of_it() {
    let mut lab = Lab::builder().requester().build().unwrap();
    let scenario = Scenario {
        repeat: 3,
        ..Scenario::default()
    };
    assert_eq!(scenario.run(&mut lab, |_| ()).unwrap().requests, 3 * 2);
}

#[test]
fn a_driver_with_several_links_wants_one_named() {
    let mut lab = lab(0);
    let links = lab.driver_links();
    assert!(links.len() > 1, "{links:?}");
    let error = run(&mut lab, "[[step]]\nioctl = 0x222000\n").unwrap_err();
    let RunError::WhichDevice { links: told, .. } = &error else {
        panic!("{error}");
    };
    assert_eq!(*told, links);
    // Each is opened if nothing is asked for.
    let outcome = run(&mut lab, "").unwrap();
    assert_eq!(outcome.requests, 2 * links.len() as u64);
}
