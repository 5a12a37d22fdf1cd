//! Jails and addresses with names that were chosen to do harm, by fail2ban's action and the
//! daemon: a name is a name, and neither an option nor a path nor a line of a log.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use nicban_protocol::{Request, Synced};
use nicban_tests::daemon::Site;

use crate::now;

/// Names that a jail can have.
const NAMES: [&str; 12] = [
    "--help",
    "--socket=/dev/null",
    "-1",
    "../../trap",
    "/etc/trap",
    "%2e%2e%2ftrap",
    "$(touch trap)",
    "a b=\"c\" \\",
    "<0>nicban: all is well",
    "PRIORITY=0 MESSAGE=all is well",
    "import:",
    // Turns the direction of writing, and parts lines for some.
    "\u{202e}trap\u{2028}\u{2029}",
];

/// Names that none can.
const NO_NAMES: [&str; 5] = [
    "",
    "a\nPRIORITY=0",
    "a\r<0>nicban: all is well",
    "\u{1b}[2J",
    "a\u{9b}2J",
];

const NO_ADDRESSES: [&str; 9] = [
    "--help",
    "--socket=/dev/null",
    "/etc/passwd",
    "../192.0.2.1",
    "198.51.100.99\n2026-01-01 NOTICE [sshd] Unban 198.51.100.99",
    "198.51.100.99 198.51.100.98",
    "198.51.100.99\u{1b}[2J",
    "$(touch trap)",
    "fe80::1%eth0",
];

/// The files below a folder that the daemon has made.
fn files(folder: &Path) -> Result<BTreeSet<String>> {
    let mut names = BTreeSet::new();
    for entry in walk(folder)? {
        // SQLite makes these two as it needs them.
        if !entry.ends_with("-wal") && !entry.ends_with("-shm") {
            names.insert(entry);
        }
    }
    Ok(names)
}

fn walk(folder: &Path) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).with_context(|| format!("list {}", folder.display()))? {
        let path = entry?.path();
        found.push(path.display().to_string());
        if path.is_dir() {
            found.extend(walk(&path)?);
        }
    }
    Ok(found)
}

/// Whether a text is of lines that a terminal shows as they are.
fn is_tame(text: &str) -> bool {
    let wild = |letter: char| {
        letter != '\n' && letter.is_control() || "\u{202e}\u{2028}\u{2029}".contains(letter)
    };
    !text.contains(wild)
}

#[test]
fn a_jails_name_is_no_option_no_path_and_no_line() -> Result<()> {
    let site = Site::new()?;
    let wire = site.wire()?;
    let config = site.config().set("log", "level", "\"trace\"");
    let daemon = site.start(&config)?;
    let before = files(site.folder())?;
    let time = now().to_string();
    for (n, name) in NAMES.iter().enumerate() {
        let address = format!("198.51.100.{n}");
        for words in [
            &["start", "--", name][..],
            &["ban", "--", name, &address, &time, "600"],
            &["check", "--", name],
        ] {
            site.action(words)?.well()?;
        }
        // Which the daemon logs by the jail's name.
        daemon.ask(&Request::Synced(Synced {
            holder: (*name).to_owned(),
            listed: 1,
            ..Synced::default()
        }))?;
        wire.blocked(&address)?;
        let row = daemon.ban_of(address.parse()?)?.context("a ban")?;
        ensure!(
            row.holders.len() == 1 && row.holders[0].name == *name,
            "{row:?}"
        );
    }
    for name in NO_NAMES {
        for words in [
            &["start", "--", name][..],
            &["ban", "--", name, "198.51.100.99", &time, "600"],
        ] {
            let said = site.action(words)?.with_code(2)?;
            ensure!(said.lines().count() == 1 && is_tame(&said), "{said:?}");
        }
    }
    ensure!(daemon.bans()?.len() == NAMES.len(), "a ban for each name");
    let after = files(site.folder())?;
    ensure!(before == after, "{before:?}, {after:?}");
    let folder = site.folder();
    for place in [
        folder.join("../trap"),
        folder.join("../../trap"),
        "/etc/trap".into(),
        "trap".into(),
    ] {
        ensure!(!place.exists(), "{} was made", place.display());
    }

    // As it is told to people.
    let list = site.nicban(&["list"])?.well()?;
    ensure!(list.contains("../../trap") && is_tame(&list), "{list}");
    let log = daemon.log();
    ensure!(log.contains("../../trap"), "the log names no jail: {log}");
    ensure!(is_tame(&log), "{log:?}");
    for line in log.lines() {
        ensure!(line.starts_with("20"), "a line without its time: {line:?}");
    }

    // And each is lifted by its own name.
    for (n, name) in NAMES.iter().enumerate() {
        let address = format!("198.51.100.{n}");
        site.action(&["unban", "--", name, &address])?.well()?;
        wire.arrives(&address)?;
    }
    daemon.stop()
}

#[test]
fn what_is_no_address_asks_nobody_and_forges_no_line() -> Result<()> {
    let site = Site::new()?;
    let wire = site.wire()?;
    let daemon = site.start(&site.config().set("log", "level", "\"trace\""))?;
    let time = now().to_string();
    let before = daemon.log();
    for address in NO_ADDRESSES {
        for words in [
            &["ban", "--", "sshd", address, &time, "600"][..],
            &["prolong", "--", "sshd", address, &time, "600"],
            &["unban", "--", "sshd", address],
        ] {
            let said = site.action(words)?.with_code(2)?;
            ensure!(said.lines().count() == 1 && is_tame(&said), "{said:?}");
        }
    }
    ensure!(daemon.bans()?.is_empty(), "a ban of no address");
    let told = daemon.log();
    let new = told.strip_prefix(&before).context("the log goes on")?;
    ensure!(!new.contains("trap") && !new.contains("NOTICE"), "{new}");
    wire.arrives("198.51.100.99")?;
    // The same words with an address are heard.
    site.action(&["ban", "--", "sshd", "198.51.100.99", &time, "600"])?
        .well()?;
    wire.blocked("198.51.100.99")?;
    daemon.stop()
}
