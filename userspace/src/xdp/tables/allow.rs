//! The allow list in the kernel.

use ipnet::IpNet;
use nicban_ebpf::abi::{Allow, AllowOrigin, maps};

use super::{
    ANY, Tables,
    access::{absent_is_fine, failed, full_or_failed},
};
use crate::xdp::{
    XdpError,
    keys::{net_key_v4, net_key_v6, net_v4, net_v6},
};

impl Tables {
    /// Never drop `network`.
    pub fn allow(&mut self, network: &IpNet, origin: AllowOrigin) -> Result<(), XdpError> {
        let value = Allow {
            origin: origin as u32,
        };
        let network = network.trunc();
        let is_new = self.allowed.insert(network);
        if is_new {
            self.announce_allowed()?;
            self.leave_out(&network);
        }
        match network {
            IpNet::V4(net) => self.allow_v4.insert(&net_key_v4(net), value, ANY),
            IpNet::V6(net) => self.allow_v6.insert(&net_key_v6(net), value, ANY),
        }
        .or_else(|source| {
            if is_new {
                self.allowed.remove(&network);
                self.announce_allowed()?;
            }
            Err(full_or_failed(
                "allow",
                allow_map(&network),
                &network,
                source,
            ))
        })
    }

    /// Drop `network` again where it is banned; one that was not allowed is no error.
    pub fn disallow(&mut self, network: &IpNet) -> Result<(), XdpError> {
        let network = network.trunc();
        match network {
            IpNet::V4(net) => self.allow_v4.remove(&net_key_v4(net)),
            IpNet::V6(net) => self.allow_v6.remove(&net_key_v6(net)),
        }
        .or_else(|error| absent_is_fine(error).map(|_was_there| ()))
        .map_err(failed("disallow", allow_map(&network), &network))?;
        self.allowed.remove(&network);
        self.announce_allowed()
    }

    /// Every network on the allow list.
    pub fn allowed(&self) -> Result<Vec<IpNet>, XdpError> {
        let mut allowed = Vec::new();
        for key in self.allow_v4.keys() {
            let key = key.map_err(failed("list", maps::ALLOW_V4, &"networks"))?;
            allowed.push(net_v4(key.data().address.into(), key.prefix_len()));
        }
        for key in self.allow_v6.keys() {
            let key = key.map_err(failed("list", maps::ALLOW_V6, &"networks"))?;
            allowed.push(net_v6(key.data().address.into(), key.prefix_len()));
        }
        Ok(allowed)
    }

    /// The networks on the allow list that were put there on one behalf.
    pub fn allowed_by(&self, origin: AllowOrigin) -> Result<Vec<IpNet>, XdpError> {
        let is_theirs = |allow: &Allow| allow.origin == origin as u32;
        let mut allowed = Vec::new();
        for entry in &self.allow_v4 {
            let (key, allow) = entry.map_err(failed("list", maps::ALLOW_V4, &"networks"))?;
            if is_theirs(&allow) {
                allowed.push(net_v4(key.data().address.into(), key.prefix_len()));
            }
        }
        for entry in &self.allow_v6 {
            let (key, allow) = entry.map_err(failed("list", maps::ALLOW_V6, &"networks"))?;
            if is_theirs(&allow) {
                allowed.push(net_v6(key.data().address.into(), key.prefix_len()));
            }
        }
        Ok(allowed)
    }

    /// Says how many entries the allow maps have, or are about to have.
    pub(super) fn announce_allowed(&mut self) -> Result<(), XdpError> {
        let [v4, v6] = self.allowed.counts().map(entries);
        self.announce(|settings| (settings.allow_v4, settings.allow_v6) = (v4, v6))
    }
}

/// A map has at most `u32::MAX` entries.
fn entries(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

fn allow_map(network: &IpNet) -> &'static str {
    match network {
        IpNet::V4(_) => maps::ALLOW_V4,
        IpNet::V6(_) => maps::ALLOW_V6,
    }
}
