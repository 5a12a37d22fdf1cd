//! What has to hold at any time.

use std::collections::BTreeSet;
use std::net::IpAddr;

use anyhow::{Context as _, Result, ensure};
use fastrand::Rng;
use ipnet::IpNet;

use super::model::{Fate, Model};
use super::scene::{BURST, PER_SECOND, Scene};
use crate::clock::now;
use crate::daemon::{Daemon, HONEST, HONEST_V6, Wire};

/// Sources whose packets are tried in each check.
const TRIED: usize = 4;

/// Entries that a NACL may hold per direction and family.
const QUOTA: usize = 20;

/// The daemon's list is what the model says, and so is the kernel's map.
pub(super) fn bans(
    scene: &Scene,
    daemon: &Daemon,
    model: &Model,
    sources: &[IpAddr],
) -> Result<()> {
    let rows = daemon.bans()?;
    let listed: BTreeSet<IpNet> = rows
        .iter()
        .map(|row| network(&row.address))
        .collect::<Result<_>>()?;
    let kernel = scene.site.pins().banned_v4()?;
    let now = now();
    for source in sources {
        let (is_listed, in_kernel) = match source {
            IpAddr::V4(v4) => (
                listed.contains(&IpNet::from(*source)),
                Some(kernel.contains(v4)),
            ),
            IpAddr::V6(_) => (listed.iter().any(|network| network.contains(source)), None),
        };
        let expected = match model.fate(*source, now) {
            Fate::Turning => continue,
            fate => fate == Fate::Dropped,
        };
        ensure!(
            is_listed == expected,
            "{source} is banned: {expected}; in the daemon's list: {is_listed}"
        );
        ensure!(
            in_kernel.is_none_or(|is| is == expected),
            "{source} is banned: {expected}; in bans_v4: {in_kernel:?}"
        );
    }
    Ok(())
}

/// A ban's address as the daemon lists it.
fn network(text: &str) -> Result<IpNet> {
    let address = text.parse::<IpAddr>().map(IpNet::from);
    address
        .or_else(|_| text.parse())
        .with_context(|| format!("{text} as an address or network"))
}

/// Packets of some sources, drawn at random, meet their fate, and those of an honest one pass.
pub(super) fn packets(
    wire: &Wire<'_>,
    model: &Model,
    sources: &[IpAddr],
    rng: &mut Rng,
) -> Result<()> {
    for _ in 0..TRIED {
        let source = sources[rng.usize(..sources.len())];
        match model.fate(source, now()) {
            Fate::Dropped => wire.blocked(&source.to_string())?,
            Fate::Passed => wire.arrives(&source.to_string())?,
            Fate::Turning => {}
        }
    }
    Ok(())
}

/// The NACL holds no more than it may, nothing that covers an honest client or the host itself,
/// and what is somebody else's as it was; nicban has made no more changes than its bucket allows.
pub(super) fn nacl(scene: &Scene, starts: u64, seconds: u64) -> Result<()> {
    let denied = scene.denied()?;
    let others = [2, 1];
    for (v6, others) in [false, true].into_iter().zip(others) {
        let own = denied.iter().filter(|entry| entry.is_v6() == v6).count();
        // The default deny counts too.
        ensure!(
            own + others < QUOTA,
            "{own} denies of nicban beside {others} entries of others"
        );
    }
    for innocent in [
        HONEST,
        HONEST_V6,
        crate::daemon::HOST,
        crate::daemon::HOST_V6,
    ] {
        let innocent: IpAddr = innocent.parse()?;
        let wrong = denied
            .iter()
            .find(|entry| entry.network.contains(&innocent));
        ensure!(wrong.is_none(), "{innocent} is denied by {wrong:?}");
    }
    let changes = scene.changes()?;
    // Each daemon starts with a full bucket.
    let allowed = starts * BURST + seconds * PER_SECOND;
    ensure!(
        changes <= allowed,
        "{changes} changes of the NACL in {seconds} s and {starts} starts: {allowed} are allowed"
    );
    Ok(())
}

/// Whether every deny of nicban's is of somebody who is banned.
pub(super) fn nacl_is_right(scene: &Scene, model: &Model, sources: &[IpAddr]) -> Result<bool> {
    let now = now();
    let banned: Vec<&IpAddr> = sources
        .iter()
        .filter(|source| model.fate(**source, now) != Fate::Passed)
        .collect();
    let denied = scene.denied()?;
    let is_right = |network: &IpNet| banned.iter().any(|source| network.contains(*source));
    Ok(denied.iter().all(|entry| is_right(&entry.network)))
}
