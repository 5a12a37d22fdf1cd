//! A flood of banned and unbanned sources, and a count of what arrives of it.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use nicban_tests::clock::now;
use nicban_tests::daemon::{Daemon, HONEST, HONEST_V6, Program, Site, TARGET, program};
use nicban_tests::net::{Arrived, Sender, Tally};
use nicban_tests::wait;

/// What is banned in each scene, with a source in it: an exact address and a network of
/// each family, so that each map of bans is in the way.
const BANNED: [(&str, &str); 4] = [
    ("198.51.100.7", "198.51.100.7"),
    ("203.0.113.0/25", "203.0.113.5"),
    ("2001:db8:bad::1", "2001:db8:bad::1"),
    ("2001:db8:bed::/48", "2001:db8:bed:1::1"),
];

const PORT: u16 = 9;

/// How long anything may take on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Between two rounds of a flood. Some thousands of rounds a second overflow no queue of
/// the cable: every honest packet has to arrive.
const PAUSE: Duration = Duration::from_micros(200);

/// Without a packet for so long, none is under way.
const STILL: Duration = Duration::from_millis(500);

/// Far longer than any test.
const SENTENCE: i64 = 86_400;

/// So many times in CI, or so many with `cargo xtask test --full`.
pub(crate) fn times(quick: u32, full: u32) -> u32 {
    let is_full = std::env::var_os("NICBAN_FULL").is_some_and(|value| value == "1");
    if is_full { full } else { quick }
}

/// Random moments, from `NICBAN_SEED` or a seed of their own; a test that fails prints it.
pub(crate) fn random(test: &str) -> Result<fastrand::Rng> {
    let seed = match std::env::var("NICBAN_SEED") {
        Ok(given) => given.parse().context("read NICBAN_SEED")?,
        Err(_) => fastrand::u64(..),
    };
    println!("{test}: NICBAN_SEED={seed}");
    Ok(fastrand::Rng::with_seed(seed))
}

/// A site with a listener.
pub(crate) struct Scene {
    pub(crate) site: Arc<Site>,
    tally: RwLock<Tally>,
}

impl Scene {
    pub(crate) fn new() -> Result<Self> {
        let site = Arc::new(Site::new()?);
        let tally = RwLock::new(Tally::new(site.host(), PORT)?);
        Ok(Self { site, tally })
    }

    /// Bans whom the floods' banned sources are under.
    pub(crate) fn ban(daemon: &Daemon) -> Result<()> {
        for (address, _) in BANNED {
            daemon.ban("sshd", address, now(), SENTENCE)?;
        }
        Ok(())
    }

    /// A flood over the first cable, of which not a packet may be lost on the way.
    pub(crate) fn flood(&self) -> Flood {
        self.flood_on("eth0")
    }

    /// A flood over one cable; it goes on when the interface does, under that name.
    pub(crate) fn flood_on(&self, interface: &str) -> Flood {
        Flood::start(&self.site, interface)
    }

    /// What arrived of a source so far.
    pub(crate) fn arrived(&self, source: &str) -> Result<Option<Arrived>> {
        let source = source.parse()?;
        let tally = self.tally.read().unwrap_or_else(PoisonError::into_inner);
        Ok(tally.of(source))
    }

    /// Packets of banned sources that arrived so far.
    pub(crate) fn leaked(&self) -> Result<u64> {
        self.packets(Side::Banned)
    }

    /// When the first packet of a banned source arrived, if one did.
    pub(crate) fn first_leaked(&self) -> Result<Option<Instant>> {
        let arrived = self.arrived_of(Side::Banned)?;
        Ok(arrived.into_iter().map(|it| it.first).min())
    }

    /// From the first packet of a banned source that arrived to the last.
    pub(crate) fn window(&self) -> Result<Duration> {
        let arrived = self.arrived_of(Side::Banned)?;
        let last = arrived.iter().map(|it| it.last).max();
        let window = last.zip(self.first_leaked()?);
        Ok(window.map_or(Duration::ZERO, |(last, first)| last - first))
    }

    fn arrived_of(&self, side: Side) -> Result<Vec<Arrived>> {
        let arrived = side.sources().map(|source| self.arrived(source));
        let arrived: Vec<Option<Arrived>> = arrived.collect::<Result<_>>()?;
        Ok(arrived.into_iter().flatten().collect())
    }

    fn packets(&self, side: Side) -> Result<u64> {
        let arrived = self.arrived_of(side)?;
        Ok(arrived.into_iter().map(|it| it.packets).sum())
    }

    /// Forgets what arrived so far, between two floods.
    pub(crate) fn forget(&self) {
        self.tally
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clear();
    }

    /// Waits until so many honest packets have arrived, or no more do.
    fn settle(&self, honest: u64) -> Result<()> {
        let mut before = None;
        wait::until("the last packets arrive", PATIENCE, || {
            let arrived = Some(self.packets(Side::Honest)?);
            let is_over = arrived >= Some(honest) || arrived == before.replace(arrived).flatten();
            if !is_over {
                thread::sleep(STILL);
            }
            Ok(is_over.then_some(()))
        })
    }

    /// Ends a flood: what was sent of it, and what arrived. Waits for what is under way.
    pub(crate) fn judge(&self, flood: Flood) -> Result<Count> {
        let sent = flood.end()?;
        let count = |side: Side| side.sources().map(|source| sent[source]).sum::<u64>();
        let honest = count(Side::Honest);
        self.settle(honest)?;
        let mut tally = self.tally.write().unwrap_or_else(PoisonError::into_inner);
        tally.expect_counting()?;
        drop(tally);
        let count = Count {
            banned: count(Side::Banned),
            leaked: self.packets(Side::Banned)?,
            honest,
            arrived: self.packets(Side::Honest)?,
        };
        println!("{count}");
        Ok(count)
    }
}

/// Who sends.
#[derive(Clone, Copy)]
enum Side {
    Banned,
    Honest,
}

impl Side {
    fn sources(self) -> impl Iterator<Item = &'static str> {
        let (banned, honest) = match self {
            Self::Banned => (&BANNED[..], &[][..]),
            Self::Honest => (&[][..], &[HONEST, HONEST_V6][..]),
        };
        banned
            .iter()
            .map(|(_, source)| *source)
            .chain(honest.iter().copied())
    }
}

/// What came of a flood, in packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Count {
    /// Sent by banned sources.
    pub(crate) banned: u64,
    /// Of those, arrived.
    pub(crate) leaked: u64,
    /// Sent by the others.
    pub(crate) honest: u64,
    /// Of those, arrived.
    pub(crate) arrived: u64,
}

impl Count {
    /// Expects that no banned packet arrived, and every other one did: so the listener
    /// was there all the time.
    pub(crate) fn is_tight(&self) -> Result<()> {
        ensure!(self.leaked == 0, "banned packets arrived: {self}");
        ensure!(self.honest > 0 && self.banned > 0, "no flood: {self}");
        ensure!(
            self.arrived == self.honest,
            "the listener missed packets: {self}"
        );
        Ok(())
    }

    /// The same where the cable itself was cut for a while.
    pub(crate) fn is_tight_but_for_the_cable(&self) -> Result<()> {
        ensure!(self.leaked == 0, "banned packets arrived: {self}");
        ensure!(self.arrived > 0 && self.banned > 0, "no flood: {self}");
        Ok(())
    }
}

impl fmt::Display for Count {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            banned,
            leaked,
            honest,
            arrived,
        } = self;
        write!(
            out,
            "{banned} packets of banned sources sent, {leaked} arrived; {honest} of others sent, {arrived} arrived"
        )
    }
}

/// Packets of every source in turn, without a pause, until it is ended.
pub(crate) struct Flood {
    rounds: Arc<AtomicU64>,
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<Result<Sent>>>,
}

/// Packets of each source.
type Sent = BTreeMap<&'static str, u64>;

impl Flood {
    fn start(site: &Arc<Site>, interface: &str) -> Self {
        let (site, interface) = (Arc::clone(site), interface.to_owned());
        let rounds = Arc::new(AtomicU64::new(0));
        let over = Arc::new(AtomicBool::new(false));
        let (counted, stop) = (Arc::clone(&rounds), Arc::clone(&over));
        let thread = thread::spawn(move || send_until(&stop, &site, &interface, &counted));
        Self {
            rounds,
            over,
            thread: Some(thread),
        }
    }

    /// Waits until each source has sent so many packets more.
    pub(crate) fn go_on_for(&self, packets: u64) -> Result<()> {
        let goal = self.rounds.load(Ordering::Relaxed) + packets;
        wait::until("the flood goes on", PATIENCE, || {
            Ok((self.rounds.load(Ordering::Relaxed) >= goal).then_some(()))
        })
    }

    fn end(mut self) -> Result<Sent> {
        self.over.store(true, Ordering::Relaxed);
        match self.thread.take().map(JoinHandle::join) {
            Some(Ok(sent)) => sent,
            Some(Err(panic)) => std::panic::resume_unwind(panic),
            None => Ok(Sent::new()),
        }
    }
}

impl Drop for Flood {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // It keeps the site, whose namespaces go with the last one that does.
            drop(thread.join());
        }
    }
}

fn send_until(stop: &AtomicBool, site: &Site, interface: &str, rounds: &AtomicU64) -> Result<Sent> {
    let sources: Vec<&'static str> = Side::Banned
        .sources()
        .chain(Side::Honest.sources())
        .collect();
    let mut sent: Sent = sources.iter().map(|source| (*source, 0)).collect();
    while !stop.load(Ordering::Relaxed) {
        // There may be no such interface for a while, and then another one.
        let Ok(sender) = Sender::new(site.outside(), interface) else {
            thread::sleep(PAUSE);
            continue;
        };
        let frames = sources
            .iter()
            .map(|source| Ok((*source, TARGET.frame(&sender, source.parse()?))))
            .collect::<Result<Vec<_>>>()?;
        'rounds: while !stop.load(Ordering::Relaxed) {
            for (source, frame) in &frames {
                if sender.send(frame).is_err() {
                    thread::sleep(PAUSE);
                    break 'rounds;
                }
                *sent.entry(source).or_default() += 1;
            }
            rounds.fetch_add(1, Ordering::Relaxed);
            thread::sleep(PAUSE);
        }
    }
    Ok(sent)
}

/// Starts a daemon to which some files are others than to the machine, and waits until it
/// answers. `mount` says which, with the paths as `$1` and on.
pub(crate) fn start_behind(site: &Site, mount: &str, paths: &[&Path]) -> Result<Daemon> {
    let mut command = site.host().command("unshare");
    command
        .args(["--mount", "sh", "-c"])
        .arg(format!("{mount} && shift {} && exec \"$@\"", paths.len()))
        .arg("sh")
        .args(paths)
        .arg(program(Program::Nicban)?)
        .args(["daemon", "--config"])
        .arg(site.write(&site.config())?)
        .stdin(Stdio::null());
    let log = site.folder().join("daemon.log");
    Daemon::spawn(&mut command, &site.socket(), &log)?.ready()
}

/// Expects that what banned sources sent was dropped by the program, every packet: they
/// did not get lost on the way there. The counters are up to a tick old.
pub(crate) fn were_dropped(daemon: &Daemon, packets: u64) -> Result<()> {
    daemon
        .until_status("the drops are counted", |status| {
            status.ipv4.dropped + status.ipv6.dropped == packets
        })
        .map(drop)
}
