//! A kernel or a store that refuses: what was said holds, and what was refused left nothing behind.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use nicban_protocol::{Mode, Outcome, Request};
use nicban_tests::daemon::{Daemon, Program, Site, program};
use nicban_tests::process;

use crate::now;

const OFFENDER: &str = "198.51.100.7";

/// Makes a map one that nobody may write to any more but the program
/// (`BPF_MAP_FREEZE`, bpf(2)).
fn freeze(site: &Site, map: &str) -> Result<()> {
    let pin = site.pins().path(map);
    process::run(
        Command::new(process::find_program("bpftool")?)
            .args(["map", "freeze", "pinned"])
            .arg(pin),
    )
    .map(drop)
}

#[test]
fn an_unban_holds_though_the_counter_stays() -> Result<()> {
    let site = Site::new()?;
    let wire = site.wire()?;
    let daemon = site.start(&site.config())?;
    daemon.ban("sshd", OFFENDER, now(), 600)?;
    wire.blocked(OFFENDER)?;
    freeze(&site, "hits_v4")?;
    assert_eq!(daemon.unban("sshd", OFFENDER)?, Outcome::Lifted);
    wire.arrives(OFFENDER)?;
    assert_eq!(daemon.bans()?, []);
    assert_eq!(site.pins().dump("hits_v4")?.len(), 1, "it was evicted");
    // It is banned anew, not said to be so still.
    assert_eq!(daemon.ban("sshd", OFFENDER, now(), 600)?, Outcome::Enforced);
    wire.blocked(OFFENDER)
}

#[test]
fn an_allow_list_that_the_kernel_keeps_is_told_as_it_is() -> Result<()> {
    let site = Site::new()?;
    let wire = site.wire()?;
    let daemon = site.start(&site.config())?;
    daemon.ban("sshd", OFFENDER, now(), 600)?;
    site.nicban(&["allow", "add", OFFENDER])?.well()?;
    wire.arrives(OFFENDER)?;
    freeze(&site, "allow_v4")?;
    for _ in 0..2 {
        let error = site.nicban(&["allow", "remove", OFFENDER])?.with_code(1)?;
        assert!(error.contains("allow_v4"), "{error}");
        let list = site.nicban(&["allow", "list"])?.well()?;
        assert!(list.contains(OFFENDER), "{list}");
        let error = site
            .nicban(&["allow", "add", "203.0.113.7"])?
            .with_code(1)?;
        assert!(error.contains("allow_v4"), "{error}");
    }
    wire.arrives(OFFENDER)?;
    daemon.ban("sshd", "203.0.113.7", now(), 600)?;
    wire.blocked("203.0.113.7")
}

/// A daemon whose state folder is a small disk of its own, which ends with it.
struct SmallDisk {
    daemon: Daemon,
    filling: PathBuf,
}

impl SmallDisk {
    fn start(site: &Site) -> Result<Self> {
        let state = site.folder().join("state");
        fs::create_dir(&state)?;
        let mut command = site.host().command("unshare");
        // Mounted where only the daemon sees it.
        command
            .args(["--mount", "sh", "-c"])
            .arg("mount -t tmpfs -o size=1m tmpfs \"$1\" && shift && exec \"$@\"")
            .arg("sh")
            .arg(&state)
            .arg(program(Program::Nicban)?)
            .args(["daemon", "--config"])
            .arg(site.write(&site.config())?)
            .stdin(Stdio::null());
        let log = site.folder().join("daemon.log");
        let daemon = Daemon::spawn(&mut command, &site.socket(), &log)?.ready()?;
        let below = state.strip_prefix("/")?;
        let filling = PathBuf::from(format!("/proc/{}/root", daemon.pid()))
            .join(below)
            .join("filling");
        Ok(Self { daemon, filling })
    }

    /// Leaves no room.
    fn fill(&self) -> Result<()> {
        let mut file = File::create(&self.filling)?;
        let full = loop {
            if let Err(error) = file.write_all(&[0; 4096]) {
                break error;
            }
        };
        ensure!(
            full.kind() == std::io::ErrorKind::StorageFull,
            "not full: {full}"
        );
        Ok(())
    }

    fn make_room(&self) -> Result<()> {
        fs::remove_file(&self.filling).context("make room")
    }
}

#[test]
fn what_the_store_refuses_is_taken_back() -> Result<()> {
    let site = Site::new()?;
    let wire = site.wire()?;
    let disk = SmallDisk::start(&site)?;
    let daemon = &disk.daemon;
    let kept = "203.0.113.9";
    daemon.ban("sshd", kept, now(), 600)?;

    disk.fill()?;
    let error = site.nicban(&["ban", OFFENDER])?.with_code(1)?;
    assert!(error.contains("the store refused it"), "{error}");
    let time = now().to_string();
    site.action(&["ban", "--", "sshd", OFFENDER, &time, "600"])?
        .with_code(1)?;
    wire.arrives(OFFENDER)?;
    site.nicban(&["unban", kept])?.with_code(1)?;
    wire.blocked(kept)?;
    site.nicban(&["allow", "add", kept])?.with_code(1)?;
    wire.blocked(kept)?;
    let list = site.nicban(&["allow", "list"])?.well()?;
    assert!(!list.contains(kept), "{list}");
    daemon.refuses(&Request::SetMode {
        mode: Mode::Observe,
    })?;
    wire.blocked(kept)?;
    let page = site.nicban(&["status"])?.well()?;
    assert!(page.contains("!! the store refuses"), "{page}");
    let rows = daemon.bans()?;
    assert_eq!(rows.len(), 1, "{rows:?}");
    assert_eq!(site.pins().banned_v4()?, [kept.parse()?].into());

    disk.make_room()?;
    site.nicban(&["ban", OFFENDER])?.well()?;
    wire.blocked(OFFENDER)?;
    site.nicban(&["unban", kept])?.well()?;
    wire.arrives(kept)?;
    let rows = daemon.bans()?;
    assert_eq!(rows.len(), 1, "{rows:?}");
    assert_eq!(daemon.status()?.warnings, [""; 0]);
    Ok(())
}

#[test]
fn a_list_that_the_store_refuses_is_taken_back() -> Result<()> {
    let site = Site::new()?;
    let wire = site.wire()?;
    let disk = SmallDisk::start(&site)?;
    let daemon = &disk.daemon;
    daemon.ban("sshd", "10.1.0.1", now(), 600)?;
    let file = site.folder().join("list");
    let first = u32::from_be_bytes([10, 1, 0, 0]);
    let addresses = (first..first + 3_000).map(std::net::Ipv4Addr::from);
    let lines: Vec<String> = addresses.map(|address| address.to_string()).collect();
    fs::write(&file, lines.join("\n"))?;
    let file = file.display().to_string();

    disk.fill()?;
    let error = site.nicban(&["import", &file])?.with_code(1)?;
    assert!(
        error.contains("the store refused it") && error.contains("0 of 3000 were imported"),
        "{error}"
    );
    wire.arrives("10.1.0.0")?;
    wire.blocked("10.1.0.1")?;
    assert_eq!(site.pins().banned_v4()?, ["10.1.0.1".parse()?].into());
    assert_eq!(daemon.status()?.bans, 1);

    disk.make_room()?;
    site.nicban(&["import", &file])?.well()?;
    wire.blocked("10.1.0.0")?;
    assert_eq!(site.pins().banned_v4()?.len(), 3_000);

    disk.fill()?;
    let lift = ["unban", "--all", "--holder", "import:list"];
    site.nicban(&lift)?.with_code(1)?;
    wire.blocked("10.1.0.0")?;
    assert_eq!(site.pins().banned_v4()?.len(), 3_000);
    disk.make_room()?;
    site.nicban(&lift)?.well()?;
    wire.arrives("10.1.0.0")?;
    wire.blocked("10.1.0.1")?;
    assert_eq!(site.pins().banned_v4()?, ["10.1.0.1".parse()?].into());
    Ok(())
}

#[test]
fn a_damaged_store_is_set_aside_and_what_was_dropped_stays_so() -> Result<()> {
    let site = Site::new()?;
    let wire = site.wire()?;
    let daemon = site.start(&site.config())?;
    wire.arrives(OFFENDER)?;
    daemon.ban("sshd", OFFENDER, now(), 600)?;
    daemon.kill()?;
    let state = site.folder().join("state");
    // The journal as well: from that alone SQLite would have the pages back.
    for file in ["nicban.db", "nicban.db-wal"] {
        fs::write(state.join(file), [0xa5; 8192])?;
    }

    let daemon = site.start(&site.config())?;
    wire.blocked(OFFENDER)?;
    let page = site.nicban(&["status"])?.well()?;
    assert!(page.contains("!! the store was damaged"), "{page}");
    let aside = fs::read_dir(&state)?
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .any(|name| name.starts_with("nicban.db.corrupt-"));
    assert!(aside, "it was not kept");

    // fail2ban's restart tells the bans anew; from then on all is as before.
    daemon.ban("sshd", OFFENDER, now(), 600)?;
    assert_eq!(daemon.unban("sshd", OFFENDER)?, Outcome::Lifted);
    wire.arrives(OFFENDER)?;
    daemon.stop()?;
    let daemon = site.start(&site.config())?;
    assert_eq!(daemon.status()?.warnings, [""; 0]);
    Ok(())
}
