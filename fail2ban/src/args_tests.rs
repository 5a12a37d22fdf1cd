//! What fail2ban, people and attackers may put on the command line.

use super::*;
use nicban_protocol::PERMANENT;
use proptest::prelude::*;
use std::os::unix::ffi::OsStringExt;

fn read(words: &[&str]) -> Result<Invocation, UsageError> {
    parse(words.iter().map(OsString::from))
}

fn request(words: &[&str]) -> Request {
    match read(words) {
        Ok(Invocation::Ask(call)) => call.request,
        other => panic!("{words:?} gives {other:?}"),
    }
}

/// A ban with everything that fail2ban 1.0 and 1.1 tell.
const BAN: [&str; 8] = [
    "ban",
    "sshd",
    "192.0.2.1",
    "1700000000.723",
    "600",
    "2",
    "5",
    "0",
];

fn with(place: usize, value: &str) -> Result<Invocation, UsageError> {
    let mut words = BAN;
    words[place] = value;
    read(&words)
}

fn ban_with(place: usize, value: &str) -> Ban {
    match with(place, value) {
        Ok(Invocation::Ask(Call {
            request: Request::Ban(ban),
            ..
        })) => ban,
        other => panic!("{value} gives {other:?}"),
    }
}

#[test]
fn a_ban_as_fail2ban_writes_it() {
    let wanted = Ban {
        holder: "sshd".into(),
        address: "192.0.2.1".into(),
        time: 1_700_000_001,
        bantime: 600,
        bancount: 2,
        failures: 5,
        restored: false,
        reason: None,
    };
    assert_eq!(request(&BAN), Request::Ban(wanted.clone()));
    let mut prolong = BAN;
    prolong[0] = "prolong";
    assert_eq!(request(&prolong), Request::Prolong(wanted));
}

#[test]
fn times_whole_and_broken() {
    for (text, time) in [
        ("1700000000", 1_700_000_000),
        ("1700000000.0", 1_700_000_000),
        ("1700000000.499", 1_700_000_000),
        // Python rounds a half to the even neighbour, and so do we.
        ("1700000000.5", 1_700_000_000),
        ("1700000001.5", 1_700_000_002),
    ] {
        assert_eq!(ban_with(3, text).time, time, "{text}");
    }
    for (text, bantime) in [
        ("600", 600),
        ("600.0", 600),
        ("-1", PERMANENT),
        ("-1.0", PERMANENT),
        ("0", 0),
        ("31536000.25", 31_536_000),
    ] {
        assert_eq!(ban_with(4, text).bantime, bantime, "{text}");
    }
    for text in [
        "",
        "10m",
        "-0.5",
        "-2",
        "nan",
        "inf",
        "1e300",
        "9223372036854775807",
        "0x10",
    ] {
        assert!(with(4, text).is_err(), "{text}");
        assert!(with(3, text).is_err(), "{text}");
    }
    assert!(with(3, "-1").is_err());
}

#[test]
fn a_tag_that_fail2ban_does_not_know_comes_through_by_name() {
    assert_eq!(ban_with(5, "<bancount>").bancount, 0);
    assert_eq!(ban_with(6, "<failures>").failures, 0);
    assert!(!ban_with(7, "<restored>").restored);
    assert_eq!(ban_with(5, "").bancount, 0);
    assert_eq!(with(1, "<name>"), Err(UsageError::Unset("name")));
    assert_eq!(with(2, "<ip>"), Err(UsageError::Unset("ip")));
    assert_eq!(with(3, "<time>"), Err(UsageError::Unset("time")));
    assert_eq!(with(4, "<bantime>"), Err(UsageError::Unset("bantime")));
    assert!(with(5, "<failures>").is_err());
}

#[test]
fn the_last_tags_may_be_left_out() {
    let Request::Ban(ban) = request(&BAN[..5]) else {
        panic!("not a ban")
    };
    assert_eq!((ban.bancount, ban.failures, ban.restored), (0, 0, false));
    assert_eq!(read(&BAN[..4]), Err(UsageError::Missing("bantime")));
    assert_eq!(read(&BAN[..2]), Err(UsageError::Missing("ip")));
    assert_eq!(read(&BAN[..1]), Err(UsageError::Missing("name")));
}

#[test]
fn counts_and_flags() {
    assert_eq!(ban_with(5, "4294967296").bancount, u32::MAX);
    for (text, restored) in [("0", false), ("1", true), ("True", true), ("False", false)] {
        assert_eq!(ban_with(7, text).restored, restored, "{text}");
    }
    assert!(with(5, "-1").is_err());
    assert!(with(6, "many").is_err());
    assert!(with(7, "2").is_err());
}

#[test]
fn the_other_verbs() {
    let holder = || "sshd".to_owned();
    let unban = Request::Unban {
        address: "2001:db8::1".into(),
        holder: Some(holder()),
    };
    assert_eq!(request(&["unban", "sshd", "2001:db8::1"]), unban);
    assert_eq!(
        request(&["unban", "sshd", "2001:db8::1", "1.5", "600", "1", "5", "0"]),
        unban
    );
    for family in ["", "inet4", "inet6", "<family>"] {
        assert_eq!(
            request(&["flush", "sshd", family]),
            Request::Flush { holder: holder() }
        );
        assert_eq!(
            request(&["start", "sshd", family]),
            Request::Start { holder: holder() }
        );
        assert_eq!(
            request(&["stop", "sshd", family]),
            Request::Stop { holder: holder() }
        );
        assert_eq!(
            request(&["check", "sshd", family]),
            Request::Check { holder: holder() }
        );
    }
    assert_eq!(
        request(&["check", "--", "sshd"]),
        Request::Check { holder: holder() }
    );
    assert_eq!(
        read(&["stop", "sshd", "", "x"]),
        Err(UsageError::TooMany("x".into()))
    );
    assert_eq!(read(&["stop", "--"]), Err(UsageError::Missing("name")));
}

#[test]
fn nothing_after_the_verb_is_an_option() {
    for name in [
        "-h",
        "--help",
        "--socket=/x",
        "--version",
        "a b",
        "a/b/../c",
        "\"'`$(x)",
    ] {
        let wanted = Request::Stop {
            holder: name.to_owned(),
        };
        assert_eq!(request(&["stop", name]), wanted);
        assert_eq!(request(&["stop", "--", name]), wanted);
    }
    for name in ["a\nb", "", "a\u{7f}"] {
        assert!(
            matches!(read(&["stop", name]), Err(UsageError::Invalid(_))),
            "{name:?}"
        );
    }
    for address in [
        "-h",
        "--socket=/x",
        "",
        "192.0.2.1\n",
        "192.0.2.1 192.0.2.2",
        "/etc",
        "'x'",
    ] {
        assert!(
            matches!(with(2, address), Err(UsageError::Invalid(_))),
            "{address:?}"
        );
    }
}

#[test]
fn options_stand_before_the_verb() {
    for words in [
        &[
            "--socket",
            "/s",
            "--wait",
            "9",
            "--timeout",
            "7",
            "check",
            "sshd",
        ][..],
        &[
            "--socket=/s",
            "--wait=9",
            "--timeout=7",
            "check",
            "--",
            "sshd",
        ],
    ] {
        let Ok(Invocation::Ask(call)) = read(words) else {
            panic!("{words:?}")
        };
        assert_eq!(call.socket, PathBuf::from("/s"));
        assert_eq!(call.patience, Duration::from_secs(9));
        assert_eq!(call.timeout, Duration::from_secs(7));
    }
    assert_eq!(read(&["--help"]), Ok(Invocation::Help));
    assert_eq!(read(&["-V", "whatever"]), Ok(Invocation::Version));
    assert_eq!(read(&[]), Err(UsageError::NoVerb));
    assert_eq!(
        read(&["banish"]),
        Err(UsageError::UnknownVerb("banish".into()))
    );
    assert_eq!(
        read(&["--sock=/s"]),
        Err(UsageError::UnknownOption("--sock=/s".into()))
    );
    assert_eq!(
        read(&["--socket"]),
        Err(UsageError::NoOptionValue("--socket"))
    );
    assert_eq!(
        read(&["--socket=", "x"]),
        Err(UsageError::NoOptionValue("--socket"))
    );
    assert!(read(&["--timeout", "0", "check", "sshd"]).is_err());
    assert!(read(&["--wait", "soon", "check", "sshd"]).is_err());
}

#[test]
fn a_ban_waits_longer_than_a_check() {
    let patience = |words: &[&str]| match read(words) {
        Ok(Invocation::Ask(call)) => call.patience,
        other => panic!("{other:?}"),
    };
    assert_eq!(patience(&BAN), Duration::from_secs(5));
    assert_eq!(patience(&["check", "sshd"]), Duration::ZERO);
}

#[test]
fn bytes_that_are_no_text_are_refused() {
    let words = ["stop".into(), OsString::from_vec(vec![0x66, 0xff])];
    assert!(matches!(parse(words), Err(UsageError::NotUtf8(_))));
}

proptest! {
    #[test]
    fn any_words_give_an_answer_of_one_line(words in proptest::collection::vec(any::<String>(), 0..10)) {
        if let Err(error) = parse(words.iter().map(OsString::from)) {
            prop_assert!(!error.to_string().chars().any(char::is_control));
        }
    }

    #[test]
    fn any_values_give_a_valid_request_or_none(values in proptest::collection::vec(any::<String>(), 0..9)) {
        let words = ["ban".to_owned()].into_iter().chain(values.iter().cloned());
        match parse(words.map(OsString::from)) {
            Ok(Invocation::Ask(call)) => {
                prop_assert_eq!(call.socket, PathBuf::from(DEFAULT_SOCKET));
                prop_assert_eq!(call.request.validate(), Ok(()));
            }
            Ok(other) => prop_assert!(false, "{:?}", other),
            Err(error) => prop_assert!(!error.to_string().chars().any(char::is_control)),
        }
    }

    #[test]
    fn a_float_is_rounded_as_the_database_does(whole in 0_i64..=4_000_000_000, millis in 0..1000) {
        let time = ban_with(3, &format!("{whole}.{millis:03}")).time;
        let up = i64::from(millis > 500 || millis == 500 && whole % 2 == 1);
        prop_assert_eq!(time, whole + up);
    }
}

#[test]
fn a_start_begins_a_synchronisation_if_it_is_told_to() {
    let sync = |words: &[&str]| match read(words) {
        Ok(Invocation::Ask(call)) => call.sync.map(|sync| *sync),
        other => panic!("{words:?} gives {other:?}"),
    };
    let start = ["start", "--", "sshd", "<family>"];
    let with = |options: &[&'static str]| [options, &start[..]].concat();
    let wanted = |client: Option<&str>| {
        let (program, client) = ("nicban".into(), client.map(Into::into));
        Some(Sync { program, client })
    };
    assert_eq!(
        sync(&with(&["--sync", "nicban", "--client", "f -s /x"])),
        wanted(Some("f -s /x"))
    );
    assert_eq!(
        sync(&with(&["--sync=nicban", "--client", ""])),
        wanted(None)
    );
    // Switched off, and an action file that does not know it.
    for off in [
        &[][..],
        &["--sync", ""],
        &["--sync", "<sync>", "--client", "<client>"],
    ] {
        assert_eq!(sync(&with(off)), None, "{off:?}");
    }
    assert_eq!(sync(&["--sync", "nicban", "check", "--", "sshd"]), None);
    assert_eq!(read(&["--sync"]), Err(UsageError::NoOptionValue("--sync")));
}
