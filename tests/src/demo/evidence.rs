//! What the counters say: the boundary's, XDP's, and those of the bastion behind them.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;
use ipnet::IpNet;

use super::cast::Attacker;
use super::promotion::denied;
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
    /// Whether it is banned.
    pub(super) banned: bool,
    /// The holders of its ban.
    pub(super) holders: Vec<String>,
    /// Packets that it sent after its ban, SSH's own left out.
    pub(super) sent: u64,
    /// Packets that XDP dropped.
    pub(super) at_xdp: u64,
    /// The NACL's rule number, if one covers it.
    pub(super) rule: Option<u16>,
    /// Packets that the boundary dropped.
    pub(super) at_boundary: u64,
    /// Packets that arrived at the bastion in all, before the ban.
    pub(super) arrived: u64,
    /// Packets that arrived although the ban had been acknowledged.
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
    let (boundary_before, xdp_before) = (
        at_boundary(services, attackers)?,
        at_xdp(services, attackers)?,
    );
    let steady = stay_denied(services, Some(steady), WINDOW)?;
    let (boundary, xdp) = (
        at_boundary(services, attackers)?,
        at_xdp(services, attackers)?,
    );
    let since = |now: &BTreeMap<IpAddr, u64>, before: &BTreeMap<IpAddr, u64>, who: &IpAddr| {
        get(now, who) - get(before, who)
    };

    let acl = services.boundary.enforced()?;
    let bans = services.daemon.bans()?;
    let (arrived, leaked, sent) = (
        siege.arrived.counts()?,
        siege.leaked.counts()?,
        siege.flood.sent(),
    );
    let mut fates = BTreeMap::new();
    for who in attackers.iter().map(|attacker| attacker.address) {
        let mut holders = Vec::new();
        let mut banned = false;
        for ban in &bans {
            if parse_network(&ban.address)?.contains(&who) {
                banned = true;
                holders.extend(ban.holders.iter().map(|holder| holder.name.clone()));
            }
        }
        let ours = acl.entries.values().find(|e| {
            !e.egress
                && !e.is_protected()
                && denied(&acl).contains(&e.network)
                && e.network.contains(&who)
        });
        fates.insert(
            who,
            Fate {
                banned,
                holders,
                sent: get(&sent, &who),
                at_xdp: get(&xdp, &who),
                rule: ours.map(|entry| entry.number),
                at_boundary: get(&boundary, &who),
                arrived: get(&arrived, &who),
                leaked: get(&leaked, &who),
                in_slot: steady
                    .iter()
                    .any(|network| network.contains(&who))
                    .then(|| InSlot {
                        at_boundary: since(&boundary, &boundary_before, &who),
                        at_xdp: since(&xdp, &xdp_before, &who),
                    }),
            },
        );
    }
    let status = services.daemon.status()?;
    story.say(&format!(
        "counted for {} s, with {} addresses in a slot all the time",
        WINDOW.as_secs(),
        fates.values().filter(|f| f.in_slot.is_some()).count()
    ));
    Ok(Evidence {
        fates,
        denied: denied(&acl),
        dropped_at_xdp: status.ipv4.dropped + status.ipv6.dropped,
        guesses: siege.guesses,
    })
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

fn at_boundary(services: &Services, attackers: &[Attacker]) -> Result<BTreeMap<IpAddr, u64>> {
    Ok(by_attacker(attackers, services.boundary.denied()?))
}

fn at_xdp(services: &Services, attackers: &[Attacker]) -> Result<BTreeMap<IpAddr, u64>> {
    let rows = services.daemon.bans()?;
    let dropped = rows
        .iter()
        .map(|row| Ok((parse_network(&row.address)?, row.dropped.packets)));
    Ok(by_attacker(attackers, dropped.collect::<Result<Vec<_>>>()?))
}

fn by_attacker(
    attackers: &[Attacker],
    counts: impl IntoIterator<Item = (IpNet, u64)>,
) -> BTreeMap<IpAddr, u64> {
    let mut by_attacker = BTreeMap::new();
    for (network, packets) in counts {
        for attacker in super::covered(attackers, &network) {
            *by_attacker.entry(attacker.address).or_default() += packets;
        }
    }
    by_attacker
}

fn get(counts: &BTreeMap<IpAddr, u64>, who: &IpAddr) -> u64 {
    counts.get(who).copied().unwrap_or_default()
}
