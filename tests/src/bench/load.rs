//! `load-*`, `unload-*`: a list of a million addresses brought into force and lifted again.

use std::cell::RefCell;
use std::fmt::Write as _;
use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};

use super::Bench;
use super::families::{Scale, short};
use super::guarded::Guarded;
use super::rounds::{Samples, Subject, alternate};
use super::row::{Goal, Row};
use super::sources;
use crate::daemon::Daemon;
use crate::net::{Namespace, Scratch};
use crate::process;

/// How often it is measured at most: a list of a million takes its time.
const ROUNDS: u32 = 5;

/// The name of nicban's list.
const LIST: &str = "bench";

fn bans(scale: Scale) -> u32 {
    if scale.full { 1_000_000 } else { 20_000 }
}

fn load_name(scale: Scale) -> String {
    format!("load-{}", short(bans(scale)))
}

fn unload_name(scale: Scale) -> String {
    format!("unload-{}", short(bans(scale)))
}

/// The rows that there are.
pub(super) fn names(scale: Scale) -> Vec<String> {
    vec![load_name(scale), unload_name(scale)]
}

/// Something that takes a list: first in, then out.
trait Bulk {
    fn load(&self) -> Result<()>;
    fn unload(&self) -> Result<()>;
}

/// Measures those of the rows that are wanted: each needs the other's work.
pub(super) fn run(bench: &Bench, wanted: &[String]) -> Result<Vec<Row>> {
    let (load, unload) = (load_name(bench.scale), unload_name(bench.scale));
    bench.progress.step(&load);
    let addresses: Vec<String> = sources::ipv4(bans(bench.scale) as usize)
        .into_iter()
        .map(|address| Ipv4Addr::from(address).to_string())
        .collect();
    let folder = Scratch::new("lists")?;
    let bulks: [(&str, Result<Box<dyn Bulk>>); 3] = [
        ("nicban", nicban(bench, folder.path(), &addresses)),
        ("ipset restore", ipset(folder.path(), &addresses)),
        ("nft -f", nft(folder.path(), &addresses)),
    ];
    let out: Vec<RefCell<Vec<f64>>> = bulks.iter().map(|_| RefCell::default()).collect();
    let subjects = bulks
        .iter()
        .zip(&out)
        .map(|((name, bulk), out)| match bulk {
            Ok(bulk) => Subject::new(*name, || {
                let loaded = seconds(|| bulk.load())?;
                out.borrow_mut().push(seconds(|| bulk.unload())?);
                Ok(loaded)
            }),
            Err(error) => Subject::failed(*name, error),
        });
    let loads = alternate(bench.rounds.min(ROUNDS), subjects.collect());
    let unloads: Vec<Samples> = loads
        .iter()
        .zip(out)
        .map(|(load, out)| {
            load.as_ref()
                .map(|_| out.into_inner())
                .map_err(Clone::clone)
        })
        .collect();
    let mut rows = Vec::new();
    for (name, samples) in [(load, loads), (unload, unloads)] {
        for ((peer, _), sample) in bulks[1..].iter().zip(&samples[1..]) {
            let row = Row::beside(&name, "s", &samples[0], peer, sample);
            // How fast a list is lifted has no goal.
            rows.push(if name.starts_with("load") {
                row.goal(Goal::RatioAtMost(1.0))
            } else {
                row
            });
        }
    }
    rows.retain(|row| wanted.contains(&row.name));
    Ok(rows)
}

fn seconds(work: impl FnOnce() -> Result<()>) -> Result<f64> {
    let start = Instant::now();
    work()?;
    Ok(start.elapsed().as_secs_f64())
}

struct Nicban {
    // Ends before its host does.
    daemon: Daemon,
    guarded: Guarded,
    program: PathBuf,
    list: PathBuf,
    empty: PathBuf,
    bans: u64,
}

fn nicban(bench: &Bench, folder: &Path, addresses: &[String]) -> Result<Box<dyn Bulk>> {
    let guarded = Guarded::new(bans(bench.scale) + 64)?;
    Ok(Box::new(Nicban {
        daemon: guarded.start(bench)?,
        guarded,
        program: bench.nicban.clone(),
        list: write(folder, "list.txt", &addresses.join("\n"))?,
        empty: write(folder, "empty.txt", "")?,
        bans: addresses.len() as u64,
    }))
}

impl Nicban {
    fn import(&self, list: &Path, more: &[&str]) -> Result<()> {
        let site = self.guarded.site();
        let mut command = site.host().command(&self.program);
        command
            .arg("import")
            .arg(list)
            .args(["--name", LIST])
            .args(more)
            .arg("--config")
            .arg(site.folder().join("nicban.toml"));
        process::run(&mut command).map(drop)
    }

    fn expect(&self, bans: u64) -> Result<()> {
        let known = self.daemon.status()?.bans;
        ensure!(known == bans, "nicban has {known} bans and not {bans}");
        Ok(())
    }
}

impl Bulk for Nicban {
    fn load(&self) -> Result<()> {
        self.import(&self.list, &[])?;
        self.expect(self.bans)
    }

    fn unload(&self) -> Result<()> {
        self.import(&self.empty, &["--replace", "--allow-empty"])?;
        self.expect(0)
    }
}

/// A program of a host that takes a file, and the one that undoes it.
struct Peer {
    host: Namespace,
    load: Vec<String>,
    unload: Vec<String>,
}

impl Bulk for Peer {
    fn load(&self) -> Result<()> {
        run_words(&self.host, &self.load)
    }

    fn unload(&self) -> Result<()> {
        run_words(&self.host, &self.unload)
    }
}

fn run_words(host: &Namespace, words: &[String]) -> Result<()> {
    let (program, arguments) = words.split_first().context("an empty command")?;
    host.enter(|| process::run(Command::new(program).args(arguments)))?
        .map(drop)
}

fn ipset(folder: &Path, addresses: &[String]) -> Result<Box<dyn Bulk>> {
    let host = Namespace::new("ipset")?;
    let mut lines = String::new();
    for address in addresses {
        // Writing to a string can't fail.
        writeln!(lines, "add banned {address}").ok();
    }
    let file = write(folder, "ipset.txt", &lines)?;
    let room = addresses.len().to_string();
    host.run(&["ipset", "create", "banned", "hash:ip", "maxelem", &room])?;
    let file = file.to_string_lossy();
    Ok(Box::new(Peer {
        host,
        load: words(&["ipset", "restore", "-file", &file]),
        unload: words(&["ipset", "flush", "banned"]),
    }))
}

fn nft(folder: &Path, addresses: &[String]) -> Result<Box<dyn Bulk>> {
    let host = Namespace::new("nft")?;
    let room = addresses.len();
    crate::net::apply_nft(
        &host,
        &format!(
            "add table inet bench\nadd set inet bench banned {{ type ipv4_addr; size {room}; }}\n"
        ),
    )?;
    let elements = addresses.join(", ");
    let lines = format!("add element inet bench banned {{ {elements} }}\n");
    let file = write(folder, "nft.txt", &lines)?;
    let file = file.to_string_lossy();
    Ok(Box::new(Peer {
        host,
        load: words(&["nft", "-f", &file]),
        unload: words(&["nft", "flush", "set", "inet", "bench", "banned"]),
    }))
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

fn write(folder: &Path, name: &str, text: &str) -> Result<PathBuf> {
    let file = folder.join(name);
    fs::write(&file, text).with_context(|| format!("write {}", file.display()))?;
    Ok(file)
}
