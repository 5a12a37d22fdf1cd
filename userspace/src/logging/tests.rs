//! The log as one who reads it gets it.

use std::{
    fs::File,
    io::Write,
    os::unix::fs::MetadataExt as _,
    process::Command,
    sync::{Arc, Mutex},
};

use tracing_subscriber::fmt::MakeWriter;

use super::*;
use crate::config::Log;

#[derive(Debug, Clone, Default)]
struct Sink(Arc<Mutex<Vec<u8>>>);

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Sink {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

/// What reaches stderr.
pub(super) fn logged(log: impl FnOnce()) -> String {
    let sink = Sink::default();
    let layer = lines(sink.clone(), false).compact();
    tracing::subscriber::with_default(Registry::default().with(layer), log);
    String::from_utf8(sink.0.lock().unwrap().clone()).unwrap()
}

#[test]
fn only_the_very_stream_that_systemd_named_is_the_journal() {
    let stream = File::open("/dev/null").unwrap();
    let stat = stream.metadata().unwrap();
    let named = |device: u64, inode: u64| format!("{device}:{inode}");
    assert!(is_journal(&stream, Some(&named(stat.dev(), stat.ino()))));
    assert!(!is_journal(
        &stream,
        Some(&named(stat.dev(), stat.ino() + 1))
    ));
    assert!(!is_journal(
        &stream,
        Some(&named(stat.dev() + 1, stat.ino()))
    ));
    for other in [
        None,
        Some(""),
        Some(":"),
        Some("1"),
        Some("a:b"),
        Some("-1:-1"),
    ] {
        assert!(!is_journal(&stream, other), "{other:?}");
    }
}

#[test]
fn libraries_stay_quiet_while_one_looks_for_a_fault() {
    let level = |level| directives(level);
    assert_eq!(level(LogLevel::Warn), "warn");
    assert_eq!(level(LogLevel::Debug), "info,nicban=debug");
    assert_eq!(level(LogLevel::Trace), "info,nicban=trace");
}

/// Not a test: the process that the tests below start, since a process can
/// set up its log but once.
#[test]
#[ignore = "run by the other tests"]
fn speaker() {
    let level = LogLevel::Info;
    let target = match env::var("NICBAN_TEST_TARGET").as_deref() {
        Ok("auto") => LogTarget::Auto,
        Ok("journald") => LogTarget::Journald,
        _ => LogTarget::Stderr,
    };
    if let Err(error) = init(&Log { level, target }) {
        eprintln!("refused: {error:#}");
        return;
    }
    let value = "a\nb";
    tracing::info!(%value, "from tracing");
    tracing::debug!("a detail");
    log::info!(target: "nicban", "from log: {value}");
    log::debug!(target: "nicban", "a detail from log");
    assert!(init(&Log { level, target }).is_err());
}

/// The lines that the process writes to stderr, each from its level on.
fn spoken(set: &[(&str, &str)]) -> Vec<String> {
    let output = Command::new(env::current_exe().unwrap())
        .args([
            "--exact",
            "logging::tests::speaker",
            "--ignored",
            "--nocapture",
        ])
        .env_remove(OVERRIDE)
        .env_remove("JOURNAL_STREAM")
        .envs(set.iter().copied())
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let lines = String::from_utf8(output.stderr).unwrap();
    lines
        .lines()
        .map(|line| match line.split_once("Z ") {
            Some((_time, rest)) => rest.trim_start().to_owned(),
            None => line.to_owned(),
        })
        .collect()
}

#[test]
fn both_ways_to_log_end_on_stderr() {
    let plain = [
        "INFO nicban::logging::tests: from tracing value=\"a\\nb\"",
        "INFO nicban: from log: a\\nb",
    ];
    assert_eq!(spoken(&[]), plain);
    assert_eq!(spoken(&[("NICBAN_TEST_TARGET", "auto")]), plain);
    assert_eq!(spoken(&[(OVERRIDE, "")]), plain);
}

#[test]
fn journald_gets_the_priority_and_adds_the_time_itself() {
    assert_eq!(
        spoken(&[("NICBAN_TEST_TARGET", "journald")]),
        [
            "<6>nicban::logging::tests: from tracing value=\"a\\nb\"",
            "<6>nicban: from log: a\\nb",
        ]
    );
}

#[test]
fn the_environment_goes_before_the_configuration() {
    let levels = |set: &str| -> Vec<String> {
        let words = spoken(&[(OVERRIDE, set)]);
        words
            .iter()
            .map(|line| line.split(' ').next().unwrap().to_owned())
            .collect()
    };
    assert_eq!(levels("nicban=debug"), ["INFO", "DEBUG", "INFO", "DEBUG"]);
    assert_eq!(levels("error"), [""; 0]);
}

#[test]
fn a_filter_that_is_none_is_refused_by_its_name() {
    let words = spoken(&[(OVERRIDE, "nicban=loud")]);
    assert_eq!(words.len(), 1, "{words:?}");
    assert!(
        words[0].starts_with("refused: NICBAN_LOG=\"nicban=loud\" is no filter"),
        "{words:?}"
    );
}
