//! What the counters say: the boundary's, XDP's, and those of the bastion behind them.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;
use ipnet::IpNet;

use super::cast::Attacker;
use super::covered;
use super::promotion::{denials, denied};
use super::services::Services;
use super::siege::{Siege, parse_network};
use super::story::Story;

/// The daemon reads the kernel's counters twice a second: so long after a change
/// at the boundary its figures are those of before.
const SETTLE: Duration = Duration::from_secs(2);

/// How long the counters of the boundary are set against those of XDP.
const WINDOW: Duration = Duration::from_secs(4);

const POLL: Duration = Duration::from_millis(200);

/// What one attacker's packets met with.
#[derive(Debug, Clone, Default)]
pub(super) struct Fate {
    /// The holders of its ban, if it is banned.
    pub(super) holders: Option<Vec<String>>,
    /// Packets that it sent after its ban, SSH's own left out.
    pub(super) sent: u64,
    /// Packets that XDP dropped.
    pub(super) at_xdp: u64,
    /// The NACL's rule number, if one covers it.
    pub(super) rule: Option<u16>,
    /// Packets that the boundary dropped.
    pub(super) at_boundary: u64,
    /// Packets that arrived at the bastion since before the ban.
    pub(super) arrived: u64,
    /// Packets that arrived although the ban had been seen in the daemon's list.
    pub(super) leaked: u64,
    /// What happened while it held a slot.
    pub(super) in_slot: Option<InSlot>,
}

/// Drops while an attacker held a slot all the time.
#[derive(Debug, Clone, Copy)]
pub(super) struct InSlot {
    /// Packets that the boundary dropped meanwhile.
    pub(super) at_boundary: u64,
    /// Packets that still came as far as XDP.
    pub(super) at_xdp: u64,
}

/// All that was counted.
#[derive(Debug)]
pub(super) struct Evidence {
    /// By attacker.
    pub(super) fates: BTreeMap<IpAddr, Fate>,
    /// The networks that the boundary denies at the end.
    pub(super) denied: Vec<IpNet>,
    /// Packets that XDP dropped, by its own statistics.
    pub(super) dropped_at_xdp: u64,
    /// The longest time for which a banned attacker may not have been watched.
    pub(super) unwatched: Duration,
    /// Guesses that sshd or a ban answered.
    pub(super) guesses: usize,
}

/// Counts for a while, then reads every counter.
pub(super) fn collect(
    services: &mut Services,
    siege: &Siege<'_>,
    attackers: &[Attacker],
    story: &Story,
) -> Result<Evidence> {
    let steady = stay_denied(services, None, SETTLE)?;
    let before = Drops::read(services, attackers)?;
    let steady = stay_denied(services, Some(steady), WINDOW)?;
    let after = Drops::read(services, attackers)?;
    story.say(&format!(
        "counted for {} s, with {} networks in a slot all the time",
        WINDOW.as_secs(),
        steady.len()
    ));

    let acl = services.boundary.enforced()?;
    let holders = holders(services, attackers)?;
    let (arrived, leaked) = (siege.arrived.counts()?, siege.leaked.counts()?);
    let sent = siege.flood.sent();
    let fate = |who: IpAddr| Fate {
        holders: holders.get(&who).cloned(),
        sent: of(&sent, who),
        at_xdp: of(&after.at_xdp, who),
        rule: denials(&acl)
            .find(|entry| entry.network.contains(&who))
            .map(|entry| entry.number),
        at_boundary: of(&after.at_boundary, who),
        arrived: of(&arrived, who),
        leaked: of(&leaked, who),
        in_slot: covers(&steady, who).then(|| after.since(&before, who)),
    };
    let status = services.daemon.status()?;
    Ok(Evidence {
        fates: attackers
            .iter()
            .map(|attacker| (attacker.address, fate(attacker.address)))
            .collect(),
        denied: denied(&acl),
        dropped_at_xdp: status.ipv4.dropped + status.ipv6.dropped,
        unwatched: siege.unwatched,
        guesses: siege.guesses,
    })
}

/// Packets that were dropped until some moment, by attacker.
struct Drops {
    at_boundary: BTreeMap<IpAddr, u64>,
    at_xdp: BTreeMap<IpAddr, u64>,
}

impl Drops {
    fn read(services: &Services, attackers: &[Attacker]) -> Result<Self> {
        let rows = services.daemon.bans()?;
        let at_xdp: Vec<(IpNet, u64)> = rows
            .iter()
            .map(|row| Ok((parse_network(&row.address)?, row.dropped.packets)))
            .collect::<Result<_>>()?;
        Ok(Self {
            at_boundary: by_attacker(attackers, services.boundary.denied()?),
            at_xdp: by_attacker(attackers, at_xdp),
        })
    }

    fn since(&self, before: &Self, who: IpAddr) -> InSlot {
        let more = |now, before| of(now, who).saturating_sub(of(before, who));
        InSlot {
            at_boundary: more(&self.at_boundary, &before.at_boundary),
            at_xdp: more(&self.at_xdp, &before.at_xdp),
        }
    }
}

/// Who holds the ban of each banned attacker.
fn holders(services: &Services, attackers: &[Attacker]) -> Result<BTreeMap<IpAddr, Vec<String>>> {
    let mut holders = BTreeMap::<IpAddr, Vec<String>>::new();
    for ban in services.daemon.bans()? {
        let names = ban.holders.into_iter().map(|holder| holder.name);
        let names: Vec<String> = names.collect();
        for attacker in covered(attackers, &parse_network(&ban.address)?) {
            holders
                .entry(attacker.address)
                .or_default()
                .extend(names.clone());
        }
    }
    Ok(holders)
}

/// The networks, out of `among` if given, that the boundary denies for the whole of a time.
fn stay_denied(
    services: &mut Services,
    among: Option<Vec<IpNet>>,
    time: Duration,
) -> Result<Vec<IpNet>> {
    let deadline = Instant::now() + time;
    let mut steady = match among {
        Some(networks) => networks,
        None => denied(&services.boundary.enforced()?),
    };
    while Instant::now() < deadline {
        services.expect_alive()?;
        thread::sleep(POLL);
        let now = denied(&services.boundary.enforced()?);
        steady.retain(|network| now.contains(network));
    }
    Ok(steady)
}

fn by_attacker(
    attackers: &[Attacker],
    counts: impl IntoIterator<Item = (IpNet, u64)>,
) -> BTreeMap<IpAddr, u64> {
    let mut by_attacker = BTreeMap::new();
    for (network, packets) in counts {
        for attacker in covered(attackers, &network) {
            *by_attacker.entry(attacker.address).or_default() += packets;
        }
    }
    by_attacker
}

fn covers(networks: &[IpNet], who: IpAddr) -> bool {
    networks.iter().any(|network| network.contains(&who))
}

fn of(counts: &BTreeMap<IpAddr, u64>, who: IpAddr) -> u64 {
    counts.get(&who).copied().unwrap_or_default()
}
