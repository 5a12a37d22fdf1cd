//! The allow list: what several origins say, and what the kernel is told of it.

use ipnet::IpNet;
use nicban_ebpf::abi;
use nicban_protocol::{AllowOrigin, Outcome, Refusal, RefusalKind, Reply};

use super::{Engine, words};
use crate::{allow::Allow, clock::Now, host::Host, target, xdp::XdpError};

impl Engine {
    pub(super) fn allow_add(&mut self, network: &str, now: Now) -> Result<Reply, Refusal> {
        let network = allowable(network)?;
        let failed = |error| words::refused(RefusalKind::Failed, words::chain(&error));
        let new = self
            .store
            .add_allowed(network, now.seconds())
            .map_err(failed)?;
        if !new {
            return Ok(words::done(Outcome::Unchanged));
        }
        self.let_pass(Allow {
            network,
            origin: AllowOrigin::Operator,
            until: None,
        })
        .map_err(|error| words::failed(&error))?;
        let banned = target::Target::from_network(network)
            .ok()
            .is_some_and(|target| self.bans.around(target).next().is_some());
        Ok(if banned {
            words::noted(
                Outcome::Ok,
                format!("{network} is banned as well: the allow list wins while it lasts"),
            )
        } else {
            words::done(Outcome::Ok)
        })
    }

    pub(super) fn allow_remove(&mut self, network: &str) -> Result<Reply, Refusal> {
        let network = allowable(network)?;
        let failed = |error| words::refused(RefusalKind::Failed, words::chain(&error));
        if !self.store.remove_allowed(network).map_err(failed)? {
            let message = if self.allow.names(network) {
                format!(
                    "{network} was not added by `nicban allow add`: it comes from the host or from [allow] in the configuration"
                )
            } else {
                format!("{network} is not on the allow list; see `nicban allow list`")
            };
            return Err(words::refused(RefusalKind::NotFound, message));
        }
        self.let_pass_no_more(network, AllowOrigin::Operator)
            .map_err(|error| words::failed(&error))?;
        Ok(words::done(Outcome::Ok))
    }

    /// Adds to the list, in memory and in the kernel.
    pub(super) fn let_pass(&mut self, allow: Allow) -> Result<(), XdpError> {
        self.tables
            .allow(&allow.network, kernel_origin(allow.origin))?;
        self.allow.insert(allow);
        Ok(())
    }

    /// Takes away what one origin gave; the kernel forgets it with the last.
    pub(super) fn let_pass_no_more(
        &mut self,
        network: IpNet,
        origin: AllowOrigin,
    ) -> Result<(), XdpError> {
        self.allow.remove(network, origin);
        if self.allow.names(network) {
            return Ok(());
        }
        self.tables.disallow(&network)
    }

    /// Takes away what has ended.
    pub(super) fn expire_allowed(&mut self, now: Now) {
        for allow in self.allow.expire(now.seconds()) {
            if let Err(error) = self.let_pass_no_more(allow.network, allow.origin) {
                self.troubles.note("allow", words::chain(&error));
            }
        }
    }

    /// Makes the host's own addresses and gateways those that it has now.
    pub(super) fn allow_the_host(&mut self, host: &Host) {
        let protected: Vec<IpNet> = host.protected().iter().map(|item| item.network).collect();
        let before: Vec<IpNet> = self
            .allow
            .iter()
            .filter(|allow| allow.origin == AllowOrigin::Host)
            .map(|allow| allow.network)
            .collect();
        let mut outcome = Ok(());
        for network in protected.iter().filter(|network| !before.contains(network)) {
            outcome = outcome.and(self.let_pass(Allow {
                network: *network,
                origin: AllowOrigin::Host,
                until: None,
            }));
        }
        for network in before.iter().filter(|network| !protected.contains(network)) {
            outcome = outcome.and(self.let_pass_no_more(*network, AllowOrigin::Host));
        }
        match outcome {
            Ok(()) => self.troubles.clear("allow"),
            Err(error) => self.troubles.note(
                "allow",
                format!(
                    "the host's own addresses may be banned: {}",
                    words::chain(&error)
                ),
            ),
        }
    }

    /// Why an entry is on the list, for people.
    pub(super) fn why_allowed(&self, allow: &Allow) -> String {
        match allow.origin {
            AllowOrigin::Host => self
                .attachments
                .why_protected(allow.network)
                .unwrap_or_else(|| "the host's own".to_owned()),
            AllowOrigin::Config => "[allow] in the configuration".to_owned(),
            AllowOrigin::Operator => "added by `nicban allow add`".to_owned(),
            AllowOrigin::SshPeer => "the peer of the SSH session that attached".to_owned(),
        }
    }
}

/// A network that may be put on the list: any but the whole of a family.
fn allowable(text: &str) -> Result<IpNet, Refusal> {
    let network = target::parse_network(text).map_err(words::invalid)?;
    if network.prefix_len() == 0 {
        return Err(words::invalid(format_args!(
            "{network} would let everyone pass; use `nicban observe` to stop dropping"
        )));
    }
    Ok(network)
}

fn kernel_origin(origin: AllowOrigin) -> abi::AllowOrigin {
    match origin {
        AllowOrigin::Host => abi::AllowOrigin::Host,
        AllowOrigin::Config => abi::AllowOrigin::Config,
        AllowOrigin::Operator => abi::AllowOrigin::Operator,
        AllowOrigin::SshPeer => abi::AllowOrigin::SshPeer,
    }
}
