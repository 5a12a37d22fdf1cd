//! The wall clock is set forward and back, and the boot clock jumps, while packets come.
//!
//! The machine's own clocks are left alone: `libfaketime` shows the daemon another wall
//! clock, and a time namespace another boot clock.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use nicban_tests::clock::now;
use nicban_tests::daemon::{Daemon, Program, Site, program};
use nicban_tests::process;

use crate::scene::{PATIENCE, Scene, random, times, were_dropped};

const STEPS: (u32, u32) = (12, 100);

const SHORT: &str = "198.51.100.30";
const HOUR: i64 = 3600;

/// A daemon to whom the wall clock is off by what a file says.
struct Elsewhen<'a> {
    site: &'a Site,
    offset: PathBuf,
    library: String,
}

impl<'a> Elsewhen<'a> {
    fn new(site: &'a Site) -> Result<Self> {
        let mut faketime = Command::new(process::find_program("faketime")?);
        let library = process::run(faketime.args(["-m", "-f", "+0", "printenv", "LD_PRELOAD"]))?;
        let elsewhen = Self {
            site,
            offset: site.folder().join("offset"),
            library: library.trim().to_owned(),
        };
        elsewhen.set(0)?;
        Ok(elsewhen)
    }

    /// Sets the daemon's wall clock: so many seconds before or after the machine's.
    fn set(&self, offset: i64) -> Result<()> {
        // In one step: a file that is half written would be another clock.
        let fresh = self.offset.with_extension("new");
        fs::write(&fresh, format!("{offset:+}"))?;
        fs::rename(&fresh, &self.offset).context("set the clock")
    }

    /// Starts a daemon by words that come before its own.
    fn start(&self, before: &[&str]) -> Result<Daemon> {
        let program = program(Program::Nicban)?;
        let program = program.to_string_lossy();
        let words = [before, &[&*program, "daemon", "--config"]].concat();
        let (first, rest) = words.split_first().context("no words")?;
        let mut command = self.site.host().command(first);
        command
            .args(rest)
            .arg(self.site.write(&self.site.config())?)
            .env("LD_PRELOAD", &self.library)
            .env("FAKETIME_TIMESTAMP_FILE", &self.offset)
            .env("FAKETIME_NO_CACHE", "1")
            .env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
        let log = self.site.folder().join("daemon.log");
        Daemon::spawn(&mut command, &self.site.socket(), &log)?.ready()
    }
}

/// The kernel's ends of exact IPv4 bans, by address, in ns of `CLOCK_BOOTTIME`.
fn ends(site: &Site) -> Result<Vec<(String, u64)>> {
    let dump = site.pins().dump("bans_v4")?;
    let end = |entry: &serde_json::Value| {
        let end = entry["formatted"]["value"]["expires_at"].as_u64();
        Ok((entry["key"].to_string(), end.context("no end")?))
    };
    let mut ends = dump.iter().map(end).collect::<Result<Vec<_>>>()?;
    ends.sort();
    Ok(ends)
}

/// When a ban ends by the daemon's own wall clock, in seconds since the Unix epoch.
fn until(daemon: &Daemon, address: &str) -> Result<Option<i64>> {
    let row = daemon.ban_of(address.parse()?)?;
    Ok(row.and_then(|row| row.holders[0].until))
}

#[test]
fn a_clock_set_forward_and_back_lifts_nothing() -> Result<()> {
    let scene = Scene::new()?;
    let elsewhen = Elsewhen::new(&scene.site)?;
    let mut daemon = elsewhen.start(&[])?;
    Scene::ban(&daemon)?;
    let begun = now();
    daemon.ban("sshd", SHORT, begun, 2 * HOUR)?;
    let before = ends(&scene.site)?;
    let flood = scene.flood();
    let mut random = random("clocks")?;
    let steps = times(STEPS.0, STEPS.1);
    for round in 0..steps {
        // Far beyond the ends of all bans, or far before their beginnings: days and years.
        let span = if round.is_multiple_of(2) {
            3 * 86_400
        } else {
            2 * 365 * 86_400
        };
        let offset = random.i64(-span..span);
        if round % 3 == 2 {
            daemon.kill()?;
            elsewhen.set(offset)?;
            daemon = elsewhen.start(&[])?;
        } else {
            elsewhen.set(offset)?;
        }
        let moved = begun + offset + 2 * HOUR;
        daemon.until_status("the ends have moved", |_| {
            let end = until(&daemon, SHORT).ok().flatten();
            // Each step is rounded up by less than a second.
            end.is_some_and(|end| (moved - 1..=moved + 2 + i64::from(round)).contains(&end))
        })?;
        flood.go_on_for(50)?;
        let leaked = scene.leaked()?;
        ensure!(leaked == 0, "{leaked} packets had arrived by step {round}");
        ensure!(daemon.status()?.bans == 5, "{:?}", daemon.status());
    }
    // The kernel never ends a ban earlier than it would have, nor much later.
    let after = ends(&scene.site)?;
    ensure!(after.len() == before.len());
    for ((address, before), (same, after)) in before.iter().zip(&after) {
        let later = after.checked_sub(*before).map(Duration::from_nanos);
        ensure!(
            address == same
                && later.is_some_and(|later| later <= Duration::from_secs(u64::from(steps) + 2)),
            "{address} ended at {before} ns, and now does at {after} ns"
        );
    }
    println!("clock: {steps} steps");
    let count = scene.judge(flood)?;
    count.is_tight()?;
    were_dropped(&daemon, count.banned)
}

#[test]
fn a_ban_lasts_as_long_by_any_clock_and_stays_over() -> Result<()> {
    let scene = Scene::new()?;
    let wire = scene.site.wire()?;
    let elsewhen = Elsewhen::new(&scene.site)?;
    let daemon = elsewhen.start(&[])?;
    for (step, address) in [(HOUR, SHORT), (-HOUR, "198.51.100.31")] {
        elsewhen.set(0)?;
        daemon.ban("sshd", address, now(), 4)?;
        let begun = std::time::Instant::now();
        elsewhen.set(step)?;
        thread::sleep(Duration::from_secs(2));
        wire.blocked(address)?;
        nicban_tests::wait::until("the ban ends", PATIENCE, || {
            Ok(daemon.ban_of(address.parse()?)?.is_none().then_some(()))
        })?;
        let served = begun.elapsed();
        ensure!(
            (Duration::from_secs(3)..Duration::from_secs(8)).contains(&served),
            "{step}: served {served:?}"
        );
        wire.arrives(address)?;
        // Set back to before its end, it is still over.
        elsewhen.set(-step)?;
        thread::sleep(Duration::from_millis(600));
        wire.arrives(address)?;
    }
    Ok(())
}

#[test]
fn time_asleep_is_served_and_the_rest_is_served_after() -> Result<()> {
    let scene = Scene::new()?;
    let wire = scene.site.wire()?;
    let elsewhen = Elsewhen::new(&scene.site)?;
    let daemon = elsewhen.start(&[])?;
    Scene::ban(&daemon)?;
    daemon.ban("sshd", SHORT, now(), HOUR)?;
    wire.blocked(SHORT)?;
    daemon.kill()?;
    // Both clocks go on while a machine sleeps, and here both are two hours on.
    elsewhen.set(2 * HOUR)?;
    let later = (2 * HOUR).to_string();
    let daemon = elsewhen.start(&[
        "unshare",
        "--time",
        "--boottime",
        &later,
        "--kill-child",
        "--",
    ])?;
    scene.forget();
    let flood = scene.flood();
    flood.go_on_for(200)?;
    ensure!(daemon.status()?.bans == 4, "{:?}", daemon.status());
    ensure!(
        !daemon.log().contains("the clock was set"),
        "{}",
        daemon.log()
    );
    let count = scene.judge(flood)?;
    count.is_tight()?;
    wire.arrives(SHORT)
}
