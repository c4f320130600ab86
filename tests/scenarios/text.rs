//! Scenario files and IOCTLs as text: what they mean, what they refuse, and noise.

use poolhit::guest::{DeviceAction, SystemPower};
use poolhit::scenario::{Action, BUFFER_LIMIT, Expected, Scenario, ScenarioFile, Step};
use proptest::prelude::*;
use std::path::Path;

fn parse(text: &str) -> Result<ScenarioFile, String> {
    ScenarioFile::parse(text, Path::new("folder")).map_err(|error| error.to_string())
}

#[track_caller]
fn refused(text: &str, expected: &str) {
    let error = parse(text).expect_err(text);
    assert!(error.contains(expected), "{text}\n{error}");
}

#[test]
fn a_whole_file() {
    let file = parse(
        r#"
        driver = "my.sys"
        pdb = 'C\my.pdb'
        device = '\\.\My'
        repeat = 10
        budget = 123456
        unload = true
        settle = 7
        tag = "My??"
        [[setup]]
        open = '\\.\My\sub'
        as = "one"
        overlapped = true
        [[step]]
        ioctl = 0x22e004
        input = "00 10 ff"
        output = 16
        on = "one"
        as = "two"
        expect = "success"
        [[step]]
        write-utf16 = "hé"
        offset = 512
        expect = 0xC000000D
        [[step]]
        read = 4096
        expect = "anything"
        [[step]]
        sleep = 10
        [[step]]
        wait = "two"
        timeout = 5
        [[step]]
        cancel = true
        [[step]]
        add-device = true
        as = "dev"
        [[step]]
        set-power = "D3"
        on = "dev"
        [[step]]
        set-power = "S4"
        [[step]]
        surprise-remove = "dev"
        [[step]]
        unload = true
        expect = 0xC0000010
        [[step]]
        load = true
        [[teardown]]
        close = "one"
        [[teardown]]
        close = true
        "#,
    )
    .unwrap();
    assert_eq!(file.driver.as_deref(), Some(Path::new("folder/my.sys")));
    assert_eq!(file.tag.as_deref(), Some("My??"));
    let on = |action, name: &str| Step {
        target: Some(name.into()),
        ..Step::new(action)
    };
    let named = |action, name: &str| Step {
        name: Some(name.into()),
        ..Step::new(action)
    };
    let (code, input, output) = (0x22e004, vec![0, 0x10, 0xff], 16);
    let data = vec![b'h', 0, 0xe9, 0];
    let (path, overlapped) = (r"\\.\My\sub".to_owned(), true);
    let ioctl = Action::Ioctl {
        code,
        input,
        output,
    };
    let offset = Some(512);
    let expected = Scenario {
        device: Some(r"\\.\My".into()),
        setup: vec![named(Action::Open { path, overlapped }, "one")],
        steps: vec![
            Step {
                expected: Expected::Success,
                name: Some("two".into()),
                ..on(ioctl, "one")
            },
            Step {
                expected: Expected::Status(0xc000_000d),
                ..Step::new(Action::Write { data, offset })
            },
            Step::new(Action::Read {
                length: 4096,
                offset: None,
            }),
            Step::new(Action::Sleep { milliseconds: 10 }),
            on(Action::Wait { milliseconds: 5 }, "two"),
            Step::new(Action::Cancel),
            named(Action::AddDevice, "dev"),
            on(Action::DevicePower(3), "dev"),
            Step::new(Action::SystemPower(SystemPower::Hibernate)),
            on(Action::Device(DeviceAction::SurpriseRemove), "dev"),
            Step {
                expected: Expected::Status(0xc000_0010),
                ..Step::new(Action::Unload)
            },
            Step::new(Action::Load),
        ],
        teardown: vec![on(Action::Close, "one"), Step::new(Action::Close)],
        repeat: 10,
        unload: true,
        settle: 7,
        budget: Some(123_456),
    };
    assert_eq!(file.scenario, expected);
}

#[test]
fn what_makes_no_sense_is_refused_with_its_place() {
    refused("[[step]]\n", "[[step]] 1: it has none of open");
    refused(
        "[[step]]\nread = 1\n[[step]]\nread = 1\nioctl = 2\n",
        "[[step]] 2: it has both ioctl and read",
    );
    refused(
        "[[setup]]\nread = 1\noutput = 1\n",
        "[[setup]] 1: read has no output",
    );
    refused(
        "[[step]]\nioctl = 1\ninput = 'xyz'\n",
        "pairs of hexadecimal digits",
    );
    refused(
        "[[step]]\nioctl = 1\ninput = '00'\ninput-text = 'a'\n",
        "input is given in more than one way",
    );
    refused(
        "[[step]]\nioctl = 1\nexpect = 'failure'\n",
        "expect: `failure` cannot be expected: success, anything, or an NTSTATUS",
    );
    refused("[[step]]\nioctl = 4294967296\n", "line 2");
    refused("[[step]]\niotcl = 1\n", "unknown field `iotcl`");
    refused("repeat = 0\n", "repeat = 0: from 1 to");
    refused("repeat = 4294967297\n", "repeat = 4294967297: from 1 to");
    refused(
        &format!("[[step]]\nread = {}\n", BUFFER_LIMIT + 1),
        "at most 65536",
    );
    refused(
        "[[step]]\nwrite-file = 'no/such'\n",
        "cannot read folder/no/such",
    );
    refused("[[teardown]]\nclose = false\n", "close = false");
    refused(
        "[[step]]\nload = false\n",
        "load = false: it can only be true",
    );
    refused(
        "[[step]]\nset-power = 'D4'\n",
        "set-power = \"D4\": D0 to D3",
    );
    refused(
        "[[step]]\nset-power = 'S3'\non = 'x'\n",
        "set-power has no on",
    );
    refused("[[step]]\nsleep = 1\ntimeout = 1\n", "sleep has no timeout");
    refused(
        "[[step]]\nread = 1\noverlapped = true\n",
        "read has no overlapped",
    );
    refused(
        "[[step]]\nread = 1\noffset = 9223372036854775808\n",
        "offset = 9223372036854775808: at most 9223372036854775807",
    );
    refused(
        "[[step]]\nopen = \"a\\u0000b\"\n",
        "[[step]] 1: the path `a\u{fffd}b` has a NUL in it",
    );
    refused(
        "device = \"a\\u0000b\"\n",
        "device: the path `a\u{fffd}b` has a NUL",
    );
    refused(
        "[[step]]\nclose = \"\\u0000\"\n",
        "the name `\u{fffd}` has a NUL",
    );
    refused(&format!("device = '{}'\n", "a".repeat(256)), "at most 255");
    let many = "[[step]]\nsleep = 1\n".repeat(10_001);
    refused(&many, "[[step]]: 10001 steps; at most 10000");
}

proptest! {
    #[test]
    fn noise_is_refused_or_understood(text in "(?s).{0,200}") {
        let _ = parse(&text);
        let _ = text.parse::<Step>();
    }

    /// Lines that are nearly right.
    #[test]
    fn near_misses_are_refused_or_understood(
        lines in proptest::collection::vec(
            prop_oneof![
                Just("[[step]]".to_owned()),
                Just("[[setup]]".to_owned()),
                "(open|close|ioctl|read|write|sleep|input|output|offset|on|as|expect|repeat|wait|cancel|timeout|\
                 overlapped|add-device|stop-device|set-power|unload|budget) = \
                 (-1|0|7|99999999999|true|'a'|\"00\"|\\[\\]|1.5|'\\\\\\\\.\\\\x')",
            ],
            0..12,
        )
    ) {
        let _ = parse(&lines.join("\n"));
    }

    #[test]
    fn ioctls_as_text_come_back(code in any::<u32>(), input: Vec<u8>, output in 0_u32..=0x10000) {
        let hex: String = input.iter().map(|byte| format!("{byte:02x}")).collect();
        let expected = Step::new(Action::Ioctl { code, input, output });
        let texts = [format!("{code:#x}:{hex}:{output}"), format!("{code}:{hex}:{output}")];
        for text in texts {
            prop_assert_eq!(text.parse::<Step>().unwrap(), expected.clone());
        }
    }
}
