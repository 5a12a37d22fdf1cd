//! The indexes in front of the maps of bans: made anew, told of, resized.

use std::net::{Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

use super::Tables;
use crate::{
    target::Ipv6Prefix,
    xdp::{XdpError, allowed::Allowed, keys::net_v6, quiesce},
};

/// A later first end of all bans is told when it is later by this, in ns: a call a
/// minute at the most.
const NEWS: u64 = 60_000_000_000;

impl Tables {
    /// Makes the indexes anew from the maps of bans: whoever wrote them before may have
    /// died in the middle. Meanwhile the maps decide.
    pub(super) fn index(&mut self) -> Result<(), XdpError> {
        self.announce(|settings| (settings.index_v4, settings.index_v6) = (0, 0))?;
        // A packet that has read the settings before may be about to read a line.
        quiesce::wait_for_readers();
        let (mut v4, mut v6, mut until) = (Vec::new(), Vec::new(), u64::MAX);
        self.each_v4(|key, ban| {
            v4.push(key);
            until = until.min(end_of(ban.expires_at));
        })?;
        self.each_v6(|key, ban| {
            v6.push(key);
            until = until.min(end_of(ban.expires_at));
        })?;
        let v4 = self.index_v4.fill(&v4, |key| may_v4(&self.allowed, key));
        let v6 = self
            .index_v6
            .fill(&v6, |key| may_v6(&self.allowed, key, self.ipv6_prefix));
        self.announce(|settings| {
            (settings.index_v4, settings.index_v6) = (v4.size, v6.size);
            settings.index_until = until;
        })?;
        self.index_v4.adopt(v4);
        self.index_v6.adopt(v6);
        Ok(())
    }

    /// Says that no ban in the maps ends before `at`, in ns of `CLOCK_BOOTTIME`, where
    /// that is news; and makes an index smaller that has become too large.
    pub fn tend(&mut self, at: u64) -> Result<(), XdpError> {
        let told = self.current.index_until;
        if at < told || at - told > NEWS {
            self.announce(|settings| settings.index_until = at)?;
        }
        self.resize_v4(0)?;
        self.resize_v6(0)
    }

    pub(super) fn resize_v4(&mut self, more: usize) -> Result<(), XdpError> {
        let may = |key| may_v4(&self.allowed, key);
        let region = self.index_v4.resized(more, may, quiesce::wait_for_readers);
        if let Some(region) = region {
            self.announce(|settings| settings.index_v4 = region.size)?;
            self.index_v4.adopt(region);
        }
        Ok(())
    }

    pub(super) fn resize_v6(&mut self, more: usize) -> Result<(), XdpError> {
        let prefix = self.ipv6_prefix;
        let may = |key| may_v6(&self.allowed, key, prefix);
        let region = self.index_v6.resized(more, may, quiesce::wait_for_readers);
        if let Some(region) = region {
            self.announce(|settings| settings.index_v6 = region.size)?;
            self.index_v6.adopt(region);
        }
        Ok(())
    }

    /// A ban that is about to be put in ends before all that the indexes hold: the
    /// program has to look at ends from then on.
    pub(super) fn expect_end(&mut self, expires_at: u64) -> Result<(), XdpError> {
        let end = end_of(expires_at);
        if end < self.current.index_until {
            self.announce(|settings| settings.index_until = end)?;
        }
        Ok(())
    }

    /// An index drops without a look at the allow list: what that holds goes out of it.
    pub(super) fn leave_out(&mut self, network: &IpNet) {
        match network {
            IpNet::V4(net) => {
                let allowed = |key: u32| net.contains(&Ipv4Addr::from(key.to_ne_bytes()));
                self.index_v4.leave_out(allowed);
            }
            IpNet::V6(_) => {
                let prefix = self.ipv6_prefix;
                let allowed = |key| {
                    let ban = banned_v6(key, prefix);
                    ban.contains(network) || network.contains(&ban)
                };
                self.index_v6.leave_out(allowed);
            }
        }
    }
}

/// The end of a ban of which the kernel knows `expires_at`.
pub(super) const fn end_of(expires_at: u64) -> u64 {
    if expires_at == 0 {
        u64::MAX
    } else {
        expires_at
    }
}

/// Whether an index may hold an address: where none is allowed, it drops alone.
pub(super) fn may_v4(allowed: &Allowed, key: u32) -> bool {
    !allowed.touches(&banned_v4(key))
}

/// As [`may_v4`].
pub(super) fn may_v6(allowed: &Allowed, key: u64, prefix: Ipv6Prefix) -> bool {
    !allowed.touches(&banned_v6(key, prefix))
}

/// The address that an IPv4 key stands for.
pub(super) fn banned_v4(key: u32) -> IpNet {
    IpNet::V4(Ipv4Addr::from(key.to_ne_bytes()).into())
}

/// The network that an IPv6 key stands for.
pub(super) fn banned_v6(key: u64, prefix: Ipv6Prefix) -> IpNet {
    let upper = u128::from(u64::from_be(key)) << 64;
    net_v6(Ipv6Addr::from(upper), u32::from(prefix.bits()))
}
