//! nicban's program and the bare lookup, each with as many bans.

use anyhow::{Context as _, Result};
use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::super::baselines::Loaded;
use super::super::sources;
use super::frame::{V4_BANNED, V6_BANNED};
use crate::datapath::Datapath;

/// What is banned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Set {
    /// IPv4 addresses.
    Ipv4,
    /// IPv6 /64 networks.
    Ipv6,
    /// IPv4 addresses, and a network beside them: it alone catches the banned source.
    Network,
}

/// Both programs with their maps filled. Where there are bans, one of them catches the
/// banned source.
pub(super) struct Filled {
    set: Set,
    bans: u32,
    pub(super) nicban: Datapath,
    /// Or why there is none.
    pub(super) lookup: Result<Loaded>,
}

impl Filled {
    pub(super) fn new(set: Set, bans: u32) -> Result<Self> {
        Ok(Self {
            set,
            bans,
            nicban: nicban(set, bans).context("fill nicban's maps")?,
            lookup: lookup(set, bans).context("fill the bare lookup's hash"),
        })
    }

    /// Whether it is filled so.
    pub(super) fn is(&self, set: Set, bans: u32) -> bool {
        (self.set, self.bans) == (set, bans)
    }
}

fn nicban(set: Set, bans: u32) -> Result<Datapath> {
    let mut datapath = Datapath::load_with(|options| options.max_bans = bans.max(64))?;
    let mut all = match set {
        Set::Network => sources::bans(false, bans as usize),
        Set::Ipv4 | Set::Ipv6 => sources::bans(set == Set::Ipv6, bans.saturating_sub(1) as usize),
    };
    match set {
        Set::Network => all.push(IpNet::V4(Ipv4Net::new(V4_BANNED, 24)?.trunc())),
        Set::Ipv4 if bans > 0 => all.push(IpNet::V4(Ipv4Net::new(V4_BANNED, 32)?)),
        Set::Ipv6 if bans > 0 => all.push(IpNet::V6(Ipv6Net::new(V6_BANNED, 64)?.trunc())),
        Set::Ipv4 | Set::Ipv6 => {}
    }
    for ban in all {
        datapath.tables.put(&ban, 0)?;
    }
    Ok(datapath)
}

/// A network's peer finds the address itself.
fn lookup(set: Set, bans: u32) -> Result<Loaded> {
    let others = bans.saturating_sub(1) as usize;
    if set == Set::Ipv6 {
        let mut all = sources::ipv6(others);
        if bans > 0 {
            let octets = V6_BANNED.octets();
            let (half, _) = octets.split_first_chunk().context("half an address")?;
            all.push(*half);
        }
        Loaded::lookup_v6(all.into_iter())
    } else {
        let mut all = sources::ipv4(others);
        if bans > 0 {
            all.push(V4_BANNED.octets());
        }
        Loaded::lookup_v4(all.into_iter())
    }
}
