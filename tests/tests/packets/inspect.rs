//! What an operator sees from outside: bpftool's dumps, the program's own log.

use std::sync::Mutex;

use log::{Log, Metadata, Record};
use nicban::xdp::ProgramLog;
use nicban_tests::datapath::{Datapath, Verdict::Drop, net};
use serde_json::{Value, json};

use crate::pair::{expect, frames, from};

/// The only entry of a pinned map, as bpftool shows it by field names.
fn only_entry(datapath: &Datapath, map: &str) -> (Value, Value) {
    let dump = datapath.dump(map).unwrap();
    let entries = dump.as_array().unwrap();
    assert_eq!(entries.len(), 1, "{map}: {dump}");
    let formatted = &entries[0]["formatted"];
    (formatted["key"].clone(), formatted["value"].clone())
}

#[test]
fn bpftool_shows_bans_by_field_names() {
    let mut datapath = Datapath::load().unwrap();
    for (network, end) in [
        ("203.0.113.9", 0),
        ("198.51.100.0/24", 77_u64),
        ("2001:db8:0:7::/64", 78),
        ("2001:db8::/48", 79),
    ] {
        datapath.tables.put(&net(network).unwrap(), end).unwrap();
    }
    let (key, value) = only_entry(&datapath, "bans_v4");
    assert_eq!(key, json!({ "address": [203, 0, 113, 9] }));
    assert_eq!(value, json!({ "expires_at": 0 }));
    let (key, value) = only_entry(&datapath, "bans_v6");
    assert_eq!(key, json!({ "network": [0x20, 1, 0xd, 0xb8, 0, 0, 0, 7] }));
    assert_eq!(value, json!({ "expires_at": 78 }));
    let (key, value) = only_entry(&datapath, "nets_v4");
    assert_eq!(key["prefix_len"], 24);
    assert_eq!(key["data"], json!({ "address": [198, 51, 100, 0] }));
    assert_eq!(value, json!({ "expires_at": 77, "prefix_len": 24 }));
    let (key, value) = only_entry(&datapath, "nets_v6");
    assert_eq!(key["prefix_len"], 48);
    assert_eq!(value, json!({ "expires_at": 79, "prefix_len": 48 }));
}

#[test]
fn bpftool_shows_the_allow_list_and_the_settings_by_field_names() {
    let mut datapath = Datapath::load().unwrap();
    datapath.allow("203.0.113.0/24").unwrap();
    let (key, value) = only_entry(&datapath, "allow_v4");
    assert_eq!(key["prefix_len"], 24);
    assert_eq!(value, json!({ "origin": 3 }));
    let (_, settings) = only_entry(&datapath, "settings");
    assert_eq!(settings["enforce"], 1);
    assert_eq!(settings["allow_v4"], 1);
    assert_eq!(settings["nets_v4"], 0);
    assert_eq!(
        settings["ipv6_mask"],
        json!([255, 255, 255, 255, 255, 255, 255, 255])
    );
}

#[test]
fn bpftool_shows_counters_of_each_cpu_by_field_names() {
    let mut datapath = Datapath::load().unwrap();
    datapath.ban("203.0.113.9").unwrap();
    let frame = from("203.0.113.9").frame();
    datapath.run_many(&frame, 3).unwrap();

    let dump = datapath.dump("hits_v4").unwrap();
    let hits = &dump[0]["formatted"];
    assert_eq!(
        hits["key"],
        json!({ "prefix_len": 32, "address": [203, 0, 113, 9] })
    );
    assert_eq!(over_cpus(&hits["values"], "packets"), 3);
    assert_eq!(over_cpus(&hits["values"], "bytes"), 3 * frame.len() as u64);

    let stats = datapath.dump("stats").unwrap();
    let ipv4 = &stats[1]["formatted"]["values"];
    assert_eq!(over_cpus(ipv4, "dropped"), 3);
    assert_eq!(over_cpus(ipv4, "dropped_bytes"), 3 * frame.len() as u64);
    for name in ["passed", "would_drop", "allowed", "unparsed", "untracked"] {
        assert_eq!(over_cpus(ipv4, name), 0, "{name}");
    }
}

fn over_cpus(values: &Value, field: &str) -> u64 {
    let of_cpu = |value: &Value| value["value"][field].as_u64().unwrap();
    values.as_array().unwrap().iter().map(of_cpu).sum()
}

/// Keeps the lines that it is given.
#[derive(Debug)]
struct Lines(Mutex<Vec<String>>);

/// This process's logger. Only the test that flushes a program's log gives it lines.
static LINES: Lines = Lines(Mutex::new(Vec::new()));

impl Log for Lines {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        let line = format!("{} {}", record.level(), record.args());
        self.0.lock().unwrap().push(line);
    }

    fn flush(&self) {}
}

#[test]
fn at_debug_the_program_logs_each_drop_with_the_ban_that_caught_it() {
    log::set_logger(&LINES).unwrap();
    let mut datapath = Datapath::load_with(|options| options.log = ProgramLog::Debug).unwrap();
    for (ban, source) in [
        ("203.0.113.9", "203.0.113.9"),
        ("198.51.100.0/24", "198.51.100.7"),
        ("2001:db8:0:7::/64", "2001:db8:0:7::9"),
    ] {
        datapath.ban(ban).unwrap();
        expect(&mut datapath, Drop, &frames(&[source]));
    }
    datapath.run(&from("192.0.2.77").frame()).unwrap();
    datapath.log.as_mut().unwrap().flush();
    assert_eq!(
        *LINES.0.lock().unwrap(),
        [
            "DEBUG banned 203.0.113.9/32",
            "DEBUG banned 198.51.100.0/24",
            "DEBUG banned 2001:db8:0:7::/64",
        ]
    );
}

#[test]
fn a_log_that_is_off_is_not_in_the_program() {
    assert!(Datapath::load().unwrap().log.is_none());
    let size = |log| {
        Datapath::load_with(|options| options.log = log)
            .unwrap()
            .size()
            .unwrap()
    };
    let (off, info, debug) = (
        size(ProgramLog::Off),
        size(ProgramLog::Info),
        size(ProgramLog::Debug),
    );
    assert_eq!(off, info, "nothing is logged above debug");
    assert!(
        off < debug,
        "{off} bytes with the log off, {debug} at debug"
    );
}

#[test]
fn the_verifier_has_room_for_ten_times_the_work() {
    let mut datapath = Datapath::load_with(|options| options.log = ProgramLog::Debug).unwrap();
    let info = datapath.links.program().unwrap().info().unwrap();
    let verified = info.verified_instruction_count().unwrap();
    // The limit is a million (BPF_COMPLEXITY_LIMIT_INSNS in include/linux/bpf.h).
    assert!(verified < 100_000, "{verified} instructions");
}
