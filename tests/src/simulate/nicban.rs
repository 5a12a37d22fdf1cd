//! The daemon's own code, run against a trace.
//!
//! Rates come from [`Ranking`], candidates from [`Roster`], plans and calls from
//! [`Reconciler`], all as in the daemon. What is simulated is what lies around
//! them: the kernel's counters, which see no packet that the NACL stopped; EC2;
//! and the tier's rhythm of looks and observations.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, Result};
use futures_util::FutureExt as _;
use ipnet::IpNet;
use nicban::config::{Nacl, Rank};
use nicban::nacl::acl::{Family, Position, Rule};
use nicban::nacl::budget::Allowance;
use nicban::nacl::cadence::{Cadence, LOOK, Rhythm};
use nicban::nacl::caller::{Caller, Pace};
use nicban::nacl::ledger::{Ledger, LedgerEntry, LedgerError};
use nicban::nacl::reconcile::{Contenders, Place, Reconciler};
use nicban::nacl::roster::{Incumbents, Register, Repeated, Roster, Sentence};
use nicban::rank::{Counter, Ranking};
use nicban_protocol::Mode;

use super::ec2::{ACCOUNT, EPOCH, Site};
use super::tally::Tally;
use super::trace::{Ban, Trace};

/// Bytes of a simulated frame.
const FRAME: u64 = 60;

/// The daemon's settings that matter here.
#[derive(Debug, Clone, Default)]
pub(super) struct Settings {
    pub(super) rank: Rank,
    pub(super) nacl: Nacl,
}

/// The host: bans and counters.
struct Host<'t> {
    trace: &'t Trace,
    site: Site,
    ranking: Ranking,
    roster: Roster,
    tick: Duration,
    next_tick: Duration,
    /// Bans that are yet to begin, and those that are yet to end: the next last.
    begins: Vec<(u32, u32)>,
    ends: Vec<(u32, u32)>,
    bans: Bans,
    counters: BTreeMap<u32, Counter>,
    by_network: BTreeMap<IpNet, u32>,
    denied: Vec<bool>,
    /// The second that comes next.
    second: u32,
    tally: Tally,
}

impl<'t> Host<'t> {
    fn new(trace: &'t Trace, site: Site, rank: &Rank) -> Self {
        let mut begins = Vec::new();
        let mut ends = Vec::new();
        let mut by_network = BTreeMap::new();
        for (index, source) in (0_u32..).zip(&trace.sources) {
            by_network.insert(source.network, index);
            for ban in &source.bans {
                begins.push((ban.from, index));
                ends.push((ban.until, index));
            }
        }
        begins.sort_unstable_by(|a, b| b.cmp(a));
        ends.sort_unstable_by(|a, b| b.cmp(a));
        let mut ranking = Ranking::new(rank.ranking());
        ranking.observe(Duration::ZERO, []);
        Self {
            denied: vec![false; trace.sources.len()],
            trace,
            site,
            ranking,
            roster: Roster::default(),
            tick: rank.tick,
            next_tick: rank.tick,
            begins,
            ends,
            bans: Bans::default(),
            counters: BTreeMap::new(),
            by_network,
            second: 0,
            tally: Tally::default(),
        }
    }

    /// Lives through the seconds that are over.
    fn catch_up(&mut self) {
        let now = self.site.now().as_secs();
        while u64::from(self.second) < now && (self.second as usize) < self.trace.seconds.len() {
            self.live();
            self.second += 1;
        }
    }

    fn live(&mut self) {
        let (trace, second) = (self.trace, self.second);
        self.turn_bans();
        if let Some(denied) = self.site.denied_anew(Duration::from_secs(second.into())) {
            for (source, is_denied) in trace.sources.iter().zip(&mut self.denied) {
                *is_denied = denied.iter().any(|net| net.contains(&source.network));
            }
        }
        for arrival in &trace.seconds[second as usize] {
            let rate = f64::from(arrival.rate);
            self.tally.sent += rate;
            if self.denied[arrival.source as usize] {
                self.tally.stopped += rate;
            } else if arrival.packets > 0 {
                let packets = u64::from(arrival.packets);
                *self.counters.entry(arrival.source).or_default() += Counter {
                    packets,
                    bytes: packets * FRAME,
                };
            }
        }
        let now = Duration::from_secs(u64::from(second) + 1);
        if now >= self.next_tick {
            self.next_tick = now + self.tick;
            let samples = self
                .counters
                .iter()
                .map(|(source, counter)| (trace.sources[*source as usize].network, *counter));
            let found = self.ranking.observe(now, samples);
            for network in &found.idle {
                if let Some(source) = self.by_network.get(network) {
                    self.counters.remove(source);
                }
            }
        }
    }

    /// Begins and ends bans.
    fn turn_bans(&mut self) {
        let sources = &self.trace.sources;
        while let Some((_, source)) = self.ends.pop_if(|(at, _)| *at <= self.second) {
            let network = sources[source as usize].network;
            self.bans.0.remove(&network);
            self.counters.remove(&source);
            self.ranking.forget(&network);
        }
        while let Some((at, source)) = self.begins.pop_if(|(at, _)| *at <= self.second) {
            let source = &sources[source as usize];
            let ban = source.bans.iter().find(|ban| ban.from == at);
            self.bans.0.extend(ban.map(|ban| (source.network, *ban)));
        }
    }

    fn contenders(&mut self, incumbents: Incumbents) -> Contenders {
        self.catch_up();
        Contenders {
            mode: Mode::Enforce,
            candidates: self
                .roster
                .candidates(incumbents, &mut self.ranking, &self.bans),
            allowed: Vec::new(),
        }
    }
}

/// The bans in force.
#[derive(Default)]
struct Bans(BTreeMap<IpNet, Ban>);

impl Register for Bans {
    fn all(&self, family: Family) -> impl Iterator<Item = Repeated> {
        let bans = self.0.iter();
        bans.filter(move |(network, _)| Family::of(network) == family)
            .map(|(network, ban)| (ban.count, moment(ban.from), *network))
    }

    fn sentence(&self, network: &IpNet) -> Option<Sentence> {
        self.0.get(network).map(|ban| Sentence {
            bancount: ban.count,
            since: moment(ban.from),
            until: Some(moment(ban.until)),
        })
    }

    fn within(&self, network: &IpNet) -> impl Iterator<Item = IpNet> {
        let around = *network;
        self.0
            .range(around..)
            .map(|(inner, _)| *inner)
            .take_while(move |inner| around.contains(inner))
    }
}

fn moment(second: u32) -> i64 {
    EPOCH + i64::from(second)
}

/// The ledger, kept in memory.
#[derive(Debug, Default)]
struct Notes(Vec<LedgerEntry>);

impl Ledger for Notes {
    fn intend(&mut self, acl: &str, rule: &Rule, now: i64) -> Result<(), LedgerError> {
        self.withdraw(acl, rule)?;
        self.0.push(LedgerEntry {
            acl: acl.to_owned(),
            rule: *rule,
            since: now,
        });
        Ok(())
    }

    fn forget(&mut self, acl: &str, position: Position) -> Result<(), LedgerError> {
        self.0
            .retain(|it| it.acl != acl || it.rule.position != position);
        Ok(())
    }

    fn entries(&self) -> Result<Vec<LedgerEntry>, LedgerError> {
        Ok(self.0.clone())
    }

    fn withdraw(&mut self, acl: &str, rule: &Rule) -> Result<(), LedgerError> {
        self.0.retain(|it| it.acl != acl || it.rule != *rule);
        Ok(())
    }
}

type Tier = Reconciler<Site, Site, Notes>;

/// Runs the daemon's tier over a trace.
pub(super) fn run(trace: &Trace, settings: &Settings) -> Result<Tally> {
    let Settings { rank, nacl } = settings;
    let site = Site::new();
    let mut host = Host::new(trace, site.clone(), rank);
    let pace = Pace {
        mutations: Allowance::per_second(nacl.calls_burst, nacl.calls_per_second),
        ..Pace::default()
    };
    let site_of_host = Place {
        region: "eu-central-1".to_owned(),
        subnets: vec!["subnet-0".to_owned()],
        account: ACCOUNT.to_owned(),
        vpc_networks: Vec::new(),
    };
    let caller = Caller::new(site.clone(), site.clone(), pace);
    let mut tier = Reconciler::new(caller, Notes::default(), site_of_host, nacl.plan());

    // As `Tier::run` does, without the orders and the faults.
    let end = Duration::from_secs(trace.seconds.len() as u64);
    let mut cadence = Cadence::new(Rhythm {
        every: nacl.observe_every,
        at_most: nacl.observe_at_most,
    });
    while site.now() < end {
        let due = cadence.is_due(site.now());
        if due || has_work(&mut tier, &mut host)? {
            let observe = due || !cadence.is_fresh(site.now());
            if observe {
                cadence.observed(site.now());
            }
            if act(&mut tier, &mut host, observe)? {
                cadence.changed();
            } else if observe {
                cadence.unchanged();
            }
        }
        site.advance(LOOK);
    }
    host.catch_up();
    let (changes, looks) = site.calls();
    Ok(Tally {
        changes,
        looks,
        ..host.tally
    })
}

fn has_work(tier: &mut Tier, host: &mut Host<'_>) -> Result<bool> {
    let contenders = host.contenders(tier.incumbents()?);
    Ok(!tier.preview(&contenders)?.steps.is_empty())
}

/// One round; whether it changed anything.
fn act(tier: &mut Tier, host: &mut Host<'_>, observe: bool) -> Result<bool> {
    const READY: &str = "the simulated EC2 keeps nobody waiting";
    if observe {
        tier.observe().now_or_never().context(READY)??;
    }
    let contenders = host.contenders(tier.incumbents()?);
    let round = tier.round(&contenders).now_or_never().context(READY)??;
    if let Some((_, trouble)) = round.trouble {
        anyhow::bail!("the simulated EC2 refused a step: {trouble}");
    }
    Ok(round.done > 0)
}
