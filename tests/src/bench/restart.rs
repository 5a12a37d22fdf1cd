//! `fail2ban-restart`: a real fail2ban stops and starts with thousands of bans in its
//! database, until all of them are in force again.

use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use rusqlite::Connection;

use super::Bench;
use super::families::{Scale, short};
use super::guarded::Guarded;
use super::rounds::Samples;
use super::row::{Goal, Row};
use super::sources;
use crate::clock::now;
use crate::hosts::{Edition, Fail2ban, Fail2banConfig};
use crate::net::{Namespace, Scratch};

const NAME: &str = "fail2ban-restart";

/// How often a restart is measured at most: some take minutes.
const ROUNDS: u32 = 3;

/// How often fail2ban is asked how far it is: to ask costs it time.
const LOOK: Duration = Duration::from_millis(250);

fn bans(scale: Scale) -> u32 {
    if scale.full { 20_000 } else { 300 }
}

/// How long one restart may take.
fn limit(scale: Scale) -> Duration {
    Duration::from_secs(if scale.full { 600 } else { 60 })
}

/// The rows that there are.
pub(super) fn names(_scale: Scale) -> Vec<String> {
    vec![NAME.to_owned()]
}

/// Measures them.
pub(super) fn run(bench: &Bench, _wanted: &[String]) -> Result<Vec<Row>> {
    bench.progress.step(NAME);
    let rounds = bench.rounds.min(ROUNDS);
    let bans = bans(bench.scale);
    let limit = limit(bench.scale);
    let guarded = Guarded::new(1 << 16)?;
    let daemon = guarded.start(bench)?;
    let mut nicban = Restarts::default();
    let mut nftables = Restarts::default();
    let folder = Scratch::new("fail2ban")?;
    let host = Namespace::new("nftables")?;
    let mut ours = nicban.prepared(|| {
        // The shipped pair; `nicban sync`, which it starts, runs meanwhile.
        let action = format!(
            "banaction = nicban[norestored=1, sync=\"{}\", actionunban=\"\"]\n            nicban-unban\n",
            bench.nicban.display()
        );
        Jail::new(
            bench,
            guarded.site().host(),
            guarded.site().folder(),
            &guarded.site().socket(),
            &action,
        )?
        .with_bans(bans)
    });
    let mut theirs = nftables.prepared(|| {
        let action =
            "banaction = nftables[type=allports]\nbanaction_allports = nftables[type=allports]\n";
        Jail::new(bench, &host, folder.path(), Path::new("/nowhere"), action)?.with_bans(bans)
    });
    // The first start makes all bans anew, and leaves them as a restart finds them.
    for round in 0..=rounds {
        for (restarts, jail) in [(&mut nicban, &mut ours), (&mut nftables, &mut theirs)] {
            restarts.measure(jail, bans, limit, round > 0);
        }
    }
    if let Ok(took) = &nicban.took {
        let kept = daemon.bans()?.len();
        ensure!(
            took.is_empty() || kept == bans as usize,
            "nicban has {kept} of {bans} bans"
        );
    }
    let unfinished = nftables.unfinished;
    ensure!(!nicban.unfinished, "nicban's did not end within {limit:?}");
    let peer = format!("its nftables action, {} bans", short(bans));
    let row = Row::beside(NAME, "s", &nicban.took, &peer, &nftables.took);
    let row = Row {
        peer_unfinished: unfinished,
        ..row
    };
    Ok(vec![row.goal(Goal::RatioAtMost(0.1)).size(bans)])
}

/// What the restarts took, in seconds.
struct Restarts {
    took: Samples,
    /// One did not end within the limit: nothing is measured after it.
    unfinished: bool,
}

impl Default for Restarts {
    fn default() -> Self {
        Self {
            took: Ok(Vec::new()),
            unfinished: false,
        }
    }
}

impl Restarts {
    fn prepared<T>(&mut self, prepare: impl FnOnce() -> Result<T>) -> Option<T> {
        match prepare() {
            Ok(made) => Some(made),
            Err(error) => {
                self.took = Err(format!("{error:#}"));
                None
            }
        }
    }

    fn measure(&mut self, jail: &mut Option<Jail<'_>>, bans: u32, limit: Duration, counts: bool) {
        let (Some(jail), Ok(took), false) = (jail, &mut self.took, self.unfinished) else {
            return;
        };
        match jail.restart(bans, limit) {
            Ok(Some(seconds)) if counts => took.push(seconds),
            Ok(Some(_)) => {}
            Ok(None) => {
                self.unfinished = true;
                *took = vec![limit.as_secs_f64()];
            }
            Err(error) => self.took = Err(format!("{error:#}")),
        }
    }
}

/// A fail2ban with one jail.
struct Jail<'a> {
    host: &'a Namespace,
    folder: PathBuf,
    config: Fail2banConfig,
    running: Option<Fail2ban>,
}

impl<'a> Jail<'a> {
    /// One that doesn't run yet; `action` as `jail.local` takes it.
    fn new(
        bench: &Bench,
        host: &'a Namespace,
        folder: &Path,
        socket: &Path,
        action: &str,
    ) -> Result<Self> {
        let log = folder.join("auth.log");
        std::fs::write(&log, "").with_context(|| format!("write {}", log.display()))?;
        let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fail2ban");
        // Nobody's name is looked up: no resolver can be reached from here.
        Ok(Self {
            host,
            folder: folder.to_owned(),
            config: Fail2banConfig {
                edition: Edition::installed(),
                shipped: shipped.canonicalize().context("the shipped files")?,
                jail_local: format!(
                    "[DEFAULT]\nbackend = polling\nbantime = 7d\n\
                     ignoreself = false\nusedns = no\n{action}\
                     [sshd]\nbackend = polling\nlogpath = {}\n",
                    log.display()
                ),
                action: bench.action.clone(),
                socket: socket.to_owned(),
            },
            running: None,
        })
    }

    /// With bans in its database, as if it had found them before.
    fn with_bans(self, bans: u32) -> Result<Self> {
        // The first start makes the database.
        Fail2ban::start(self.host, &self.folder, &self.config)?.stop()?;
        let file = self.folder.join("fail2ban.sqlite3");
        let mut database = Connection::open(&file).context("open fail2ban's database")?;
        let all = database.transaction()?;
        for table in ["bans", "bips"] {
            let mut insert = all.prepare(&format!(
                "INSERT INTO {table} (jail, ip, timeofban, bantime, bancount, data) \
                 VALUES ('sshd', ?1, ?2, 604800, 1, '{{\"matches\": [], \"failures\": 5}}')"
            ))?;
            for address in sources::ipv4(bans as usize) {
                let address = std::net::Ipv4Addr::from(address).to_string();
                insert.execute((address, now()))?;
            }
        }
        all.commit().context("fill fail2ban's database")?;
        Ok(self)
    }

    /// Seconds from the order to stop, if it runs, until all bans are in force; None if
    /// that takes longer than the limit.
    fn restart(&mut self, bans: u32, limit: Duration) -> Result<Option<f64>> {
        let start = Instant::now();
        if let Some(mut running) = self.running.take() {
            running.stop()?;
        }
        let running = Fail2ban::start(self.host, &self.folder, &self.config)?;
        let running = self.running.insert(running);
        loop {
            let status = running.client(&["status", "sshd"])?;
            if banned(&status)? >= bans {
                return Ok(Some(start.elapsed().as_secs_f64()));
            }
            running.expect_alive()?;
            if start.elapsed() >= limit {
                return Ok(None);
            }
            thread::sleep(LOOK);
        }
    }
}

/// How many addresses fail2ban says are banned.
fn banned(status: &str) -> Result<u32> {
    let number = status
        .lines()
        .find_map(|line| line.split_once("Currently banned:"))
        .and_then(|(_, number)| number.trim().parse().ok());
    number.with_context(|| format!("no number of bans in {status}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_of_bans_is_read() {
        let status = "`- Actions\n   |- Currently banned:\t300\n   |- Total banned:\t301\n";
        assert_eq!(banned(status).unwrap(), 300);
        assert!(banned("Sorry").is_err());
    }
}
