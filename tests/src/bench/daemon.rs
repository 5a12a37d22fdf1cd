//! `daemon-*`: what the daemon and the kernel's maps cost with a million bans.

use std::fs;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use nix::net::if_::if_nametoindex;
use serde_json::Value;

use super::Bench;
use super::cpu;
use super::families::{Scale, short};
use super::flood::{Cable, Generator};
use super::guarded::Guarded;
use super::rounds::Samples;
use super::row::{Goal, Row};
use super::sources;
use crate::clock::now;
use crate::daemon::Daemon;
use crate::process;

const MEMORY: &str = "daemon-memory-";
const PER_BAN: &str = "daemon-bytes-per-ban";
const MAPS_PER_BAN: &str = "daemon-map-bytes-per-ban";
const START: &str = "daemon-start-";
const TICK: &str = "daemon-tick-";

/// The time between two ticks; what the daemon does in between is counted with them.
const TICK_EVERY: Duration = Duration::from_millis(500);

/// Bans, from few to many.
fn sizes(scale: Scale) -> &'static [u32] {
    if scale.full {
        &[0, 100_000, 1_000_000]
    } else {
        &[0, 10_000]
    }
}

/// Offenders that send all the time.
fn offenders(scale: Scale) -> &'static [u32] {
    if scale.full {
        &[10, 1_000, 10_000]
    } else {
        &[10, 1_000]
    }
}

fn most(scale: Scale) -> u32 {
    sizes(scale).last().copied().unwrap_or(0)
}

/// The rows that there are.
pub(super) fn names(scale: Scale) -> Vec<String> {
    let mut names = Vec::new();
    for bans in sizes(scale) {
        names.push(format!("{MEMORY}{}", short(*bans)));
    }
    names.extend([PER_BAN, MAPS_PER_BAN].map(str::to_owned));
    names.push(format!("{START}{}", short(most(scale))));
    for bans in &sizes(scale)[1..] {
        names.extend(
            offenders(scale)
                .iter()
                .map(|count| tick(scale, *count, *bans)),
        );
    }
    names
}

/// The row of a tick while so many of the banned send.
fn tick(scale: Scale, offenders: u32, bans: u32) -> String {
    let count = short(offenders);
    if bans == most(scale) {
        format!("{TICK}{count}")
    } else {
        format!("daemon-{}-tick-{count}", short(bans))
    }
}

/// Measures those of the rows that are wanted.
pub(super) fn run(bench: &Bench, wanted: &[String]) -> Result<Vec<Row>> {
    let scale = bench.scale;
    let wants = |name: &str| wanted.iter().any(|row| row == name);
    let least = Filled::new(bench, 0)?;
    let mut rows = Vec::new();
    let mut memory = vec![(0, least.memory.clone())];
    drop(least.daemon);
    for bans in &sizes(scale)[1..] {
        let name = format!("{MEMORY}{}", short(*bans));
        let sending: Vec<(u32, String)> = offenders(scale)
            .iter()
            .map(|count| (*count, tick(scale, *count, *bans)))
            .filter(|(_, name)| wants(name))
            .collect();
        if *bans != most(scale) && !wants(&name) && sending.is_empty() {
            continue;
        }
        bench.progress.step(&name);
        let filled = Filled::new(bench, *bans)?;
        memory.push((*bans, filled.memory.clone()));
        if *bans == most(scale) {
            let growth = |more: &Samples, fewer: &Samples| per_ban(more, fewer, *bans);
            rows.push(Row::alone(
                PER_BAN,
                "bytes",
                &growth(&filled.memory, &least.memory),
            ));
            rows.push(Row::alone(
                MAPS_PER_BAN,
                "bytes",
                &growth(&filled.maps, &least.maps),
            ));
            let start = format!("{START}{}", short(*bans));
            rows.push(Row::alone(start, "s", &filled.starts).size(*bans));
        }
        for (count, name) in sending {
            bench.progress.step(&name);
            let took = ticks(bench, &filled, count).map_err(|error| format!("{error:#}"));
            let row = Row::alone(name, "ms", &took).size(count);
            rows.push(row.goal(Goal::AtMost(50.0)));
        }
    }
    for (bans, bytes) in memory {
        let mebibytes =
            bytes.map(|all| all.iter().map(|bytes| bytes / f64::from(1 << 20)).collect());
        let row = Row::alone(format!("{MEMORY}{}", short(bans)), "MiB", &mebibytes).size(bans);
        rows.push(if bans == 1_000_000 {
            row.goal(Goal::AtMost(250.0))
        } else {
            row
        });
    }
    rows.retain(|row| wants(&row.name));
    rows.sort_by_key(|row| wanted.iter().position(|name| *name == row.name));
    Ok(rows)
}

fn per_ban(more: &Samples, fewer: &Samples, bans: u32) -> Samples {
    let (more, fewer) = (more.clone()?, fewer.clone()?);
    let pairs = more.iter().zip(&fewer);
    Ok(pairs
        .map(|(more, fewer)| (more - fewer) / f64::from(bans))
        .collect())
}

/// A daemon that has been restarted several times with its bans pinned.
struct Filled {
    daemon: Daemon,
    guarded: Guarded,
    /// Bytes, after each start.
    memory: Samples,
    /// Bytes of the kernel's maps, after each start.
    maps: Samples,
    /// Seconds of each start.
    starts: Samples,
}

impl Filled {
    fn new(bench: &Bench, bans: u32) -> Result<Self> {
        let tick = format!("\"{}ms\"", TICK_EVERY.as_millis());
        // The same room for all, so that it is the bans that make the difference.
        let guarded = Guarded::new(most(bench.scale) + 64)?.set("rank", "tick", &tick);
        guarded.fill_store(bans, now())?;
        let mut daemon = guarded
            .start(bench)
            .context("the first start, which fills the maps")?;
        let (mut memory, mut maps, mut starts) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..bench.rounds.min(3) {
            daemon.stop()?;
            let start = Instant::now();
            daemon = guarded.start(bench).context("start with all bans pinned")?;
            starts.push(start.elapsed().as_secs_f64());
            let known = daemon.status()?.bans;
            ensure!(
                known == u64::from(bans),
                "the daemon has {known} of {bans} bans"
            );
            memory.push(resident(daemon.pid())?);
            maps.push(map_bytes(&guarded)?);
        }
        Ok(Self {
            daemon,
            guarded,
            memory: Ok(memory),
            maps: Ok(maps),
            starts: Ok(starts),
        })
    }
}

/// Bytes of a process that are in memory.
#[expect(clippy::cast_precision_loss, reason = "megabytes")]
fn resident(pid: u32) -> Result<f64> {
    let file = format!("/proc/{pid}/status");
    let status = fs::read_to_string(&file).with_context(|| format!("read {file}"))?;
    let kib: u64 = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB"))
        .and_then(|number| number.trim().parse().ok())
        .with_context(|| format!("no VmRSS in {file}"))?;
    Ok((kib * 1_024) as f64)
}

/// Bytes of all pinned maps, as the kernel counts them.
fn map_bytes(guarded: &Guarded) -> Result<f64> {
    let folder = guarded.site().pins().path("");
    let bpftool = process::find_program("bpftool")?;
    let mut sum = 0.0;
    let entries = fs::read_dir(&folder).with_context(|| format!("read {}", folder.display()))?;
    for entry in entries {
        let pin = entry.context("read the pins")?.path();
        let name = pin
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        if name == "prog" || name.starts_with("link_") {
            continue;
        }
        let said = process::run(
            Command::new(&bpftool)
                .args(["-j", "map", "show", "pinned"])
                .arg(&pin),
        )?;
        let shown: Value = serde_json::from_str(&said).context("bpftool's JSON")?;
        sum += shown["bytes_memlock"]
            .as_f64()
            .with_context(|| format!("no size in {said}"))?;
    }
    Ok(sum)
}

/// ms of processor time that the daemon takes for each tick while so many offenders send.
fn ticks(bench: &Bench, filled: &Filled, offenders: u32) -> Result<Vec<f64>> {
    let site = filled.guarded.site();
    let outside = site.outside();
    let index = outside
        .enter(|| if_nametoindex("eth0"))?
        .context("find the outside's interface")?;
    let cable = Cable { outside, index };
    let mut generator = Generator::new(&sources::ipv4(offenders as usize), &[])?;
    let over = AtomicBool::new(false);
    let count: u32 = if bench.scale.full { 10 } else { 3 };
    thread::scope(|scope| {
        let sending = scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                // Each sends several times in every tick.
                generator.send(cable, 0, offenders.saturating_mul(4).max(256))?;
                thread::sleep(TICK_EVERY / 4);
            }
            anyhow::Ok(())
        });
        let measure = || {
            // Until the counters are there.
            thread::sleep(TICK_EVERY * 2);
            let mut took = Vec::new();
            for _ in 0..bench.rounds {
                let (before, start) = (cpu::process_time(filled.daemon.pid())?, Instant::now());
                thread::sleep(TICK_EVERY * count);
                let used = cpu::process_time(filled.daemon.pid())?.saturating_sub(before);
                let ticks = start.elapsed().as_secs_f64() / TICK_EVERY.as_secs_f64();
                took.push(used.as_secs_f64() * 1e3 / ticks);
            }
            let seen = filled.daemon.status()?;
            ensure!(
                seen.offenders.len() >= offenders.min(10) as usize,
                "the daemon sees {} offenders of {offenders}",
                seen.offenders.len()
            );
            Ok(took)
        };
        let took = measure();
        over.store(true, Ordering::Relaxed);
        match sending.join() {
            Ok(sent) => sent.and(took),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
}
