//! Guesses from every attacker, until every one of them is banned.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use ipnet::IpNet;

use super::cast::Attacker;
use super::covered;
use super::services::Services;
use super::story::Story;
use super::topology::{BASTION, Topology};
use crate::hosts::{Flood, guess};
use crate::net::{Arrivals, Namespace};

/// Guesses that go on at a time.
const PARALLEL: usize = 6;

/// How long all of it may take.
const LIMIT: Duration = Duration::from_secs(90);

/// Between two questions to the daemon who is banned: what a ban's first moments
/// let through can't be told from what came before it, so they are to be short.
const POLL: Duration = Duration::from_millis(10);

/// The UDP port that the flood goes to.
const PORT: u16 = 22;

/// What the siege leaves behind: floods that go on, counters that count.
#[derive(Debug)]
pub(super) struct Siege<'a> {
    /// Packets that arrived at the bastion before and after the ban.
    pub(super) arrived: Arrivals<'a>,
    /// Packets that arrived although the ban had been seen in the daemon's list.
    pub(super) leaked: Arrivals<'a>,
    /// Each banned attacker's own packets.
    pub(super) flood: Flood,
    /// The longest time for which a banned attacker may not have been watched: from
    /// the last look that did not find its ban until its packets counted as leaked.
    pub(super) unwatched: Duration,
    /// Guesses that were answered.
    pub(super) guesses: usize,
}

/// Runs the siege; the floods of the banned go on in what it gives.
pub(super) fn run<'a>(
    topology: &'a Topology,
    services: &mut Services,
    attackers: &[Attacker],
    story: &Story,
) -> Result<Siege<'a>> {
    let arrived = Arrivals::new(&topology.bastion, "all")?;
    arrived.watch(
        &attackers
            .iter()
            .map(|attacker| attacker.address)
            .collect::<Vec<_>>(),
    )?;
    let leaked = Arrivals::new(&topology.bastion, "leaked")?;
    let flood = Flood::new();
    let front = Front::new(attackers);
    let unwatched = thread::scope(|scope| {
        for _ in 0..PARALLEL {
            scope.spawn(|| front.fight(&topology.attackers));
        }
        let result = watch(topology, services, &front, &leaked, &flood, story);
        front.end();
        result
    })?;
    let guesses = front.guesses.load(Ordering::Relaxed);
    story.say(&format!(
        "all {} are banned, after {guesses} guesses",
        attackers.len()
    ));
    Ok(Siege {
        arrived,
        leaked,
        flood,
        unwatched,
        guesses,
    })
}

/// Looks who is banned, until all are: what arrives from then on counts as a
/// leak, and the flood begins. Gives the longest time between two such looks.
fn watch(
    topology: &Topology,
    services: &mut Services,
    front: &Front<'_>,
    leaked: &Arrivals<'_>,
    flood: &Flood,
    story: &Story,
) -> Result<Duration> {
    let deadline = Instant::now() + LIMIT;
    let progress = story.progress(front.attackers.len());
    let mut last_look = Instant::now();
    let mut unwatched = Duration::ZERO;
    loop {
        services.expect_alive()?;
        front.fail_on_error()?;
        let look = Instant::now();
        let bans = ban_networks(services)?;
        let new: Vec<Attacker> = bans
            .iter()
            .flat_map(|network| covered(front.attackers, network))
            .filter(|a| !front.is_banned(a.address))
            .copied()
            .collect();
        if !new.is_empty() {
            leaked.watch(
                &new.iter()
                    .map(|attacker| attacker.address)
                    .collect::<Vec<_>>(),
            )?;
            unwatched = unwatched.max(last_look.elapsed());
        }
        last_look = look;
        for attacker in new {
            front.set_banned(attacker.address);
            flood.add(
                &topology.attackers,
                attacker.address,
                (own_family(attacker.address)?, PORT).into(),
                attacker.rate,
            )?;
        }
        let banned = front.banned_count();
        progress.reached(
            banned,
            &format!("banned, {} guesses", front.guesses.load(Ordering::Relaxed)),
        );
        if banned == front.attackers.len() {
            return Ok(unwatched);
        }
        if Instant::now() >= deadline {
            bail!(
                "{banned} of {} attackers are banned after {LIMIT:?}; fail2ban's output:\n{}\nnicban's:\n{}",
                front.attackers.len(),
                services.fail2ban.output(),
                services.daemon.log()
            );
        }
        thread::sleep(POLL);
    }
}

/// What the daemon says it drops.
fn ban_networks(services: &Services) -> Result<Vec<IpNet>> {
    services
        .daemon
        .bans()?
        .iter()
        .map(|row| parse_network(&row.address))
        .collect()
}

/// An address or a network, as the daemon writes it.
pub(super) fn parse_network(written: &str) -> Result<IpNet> {
    let address = || written.parse::<IpAddr>().map(IpNet::from);
    written
        .parse()
        .or_else(|_| address())
        .with_context(|| format!("{written} is no network"))
}

/// The bastion's address of the same family.
fn own_family(address: IpAddr) -> Result<IpAddr> {
    BASTION
        .into_iter()
        .find(|to| to.is_ipv4() == address.is_ipv4())
        .context("the bastion has both families")
}

/// What the attackers share.
struct Front<'a> {
    attackers: &'a [Attacker],
    next: AtomicUsize,
    guesses: AtomicUsize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    banned: BTreeSet<IpAddr>,
    over: bool,
    error: Option<anyhow::Error>,
}

impl<'a> Front<'a> {
    fn new(attackers: &'a [Attacker]) -> Self {
        Self {
            attackers,
            next: AtomicUsize::new(0),
            guesses: AtomicUsize::new(0),
            state: Mutex::default(),
        }
    }

    /// Attacks from one address after another, from each until it is banned.
    fn fight(&self, host: &Namespace) {
        while let Some(attacker) = self
            .attackers
            .get(self.next.fetch_add(1, Ordering::Relaxed))
        {
            if let Err(error) = self.attack_from(host, attacker.address) {
                self.with(|state| state.error.get_or_insert(error).to_string());
                return;
            }
        }
    }

    fn attack_from(&self, host: &Namespace, from: IpAddr) -> Result<()> {
        let done = || self.with(|state| state.over || state.banned.contains(&from));
        for attempt in 0.. {
            if done() {
                break;
            }
            guess(host, from, own_family(from)?, attempt, done)?;
            self.guesses.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    }

    fn with<T>(&self, work: impl FnOnce(&mut State) -> T) -> T {
        work(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn is_banned(&self, address: IpAddr) -> bool {
        self.with(|state| state.banned.contains(&address))
    }

    fn set_banned(&self, address: IpAddr) {
        self.with(|state| state.banned.insert(address));
    }

    fn banned_count(&self) -> usize {
        self.with(|state| state.banned.len())
    }

    fn fail_on_error(&self) -> Result<()> {
        self.with(|state| state.error.take()).map_or(Ok(()), Err)
    }

    fn end(&self) {
        self.with(|state| state.over = true);
    }
}
