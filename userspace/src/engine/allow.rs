//! The allow list: what several origins say, and what the kernel is told of it.

use ipnet::IpNet;
use nicban_ebpf::abi;
use nicban_protocol::{AllowOrigin, Outcome, Refusal, RefusalKind, Reply};

use super::{Engine, words};
use crate::{allow::Allow, clock::Now, host::Host, target, xdp::XdpError};

impl Engine {
    pub(super) fn allow_add(&mut self, network: &str, now: Now) -> Result<Reply, Refusal> {
        let network = allowable(network)?;
        if self.allow.get(network, AllowOrigin::Operator).is_some() {
            return Ok(words::done(Outcome::Unchanged));
        }
        // The kernel first: it may have no room, and what only the store has, a
        // second try would take for done.
        self.let_pass(operators(network))
            .map_err(|error| words::failed(&error))?;
        if let Err(error) = self.store.add_allowed(network, now.seconds()) {
            let undone = self.let_pass_no_more(network, AllowOrigin::Operator);
            self.note_undone(network, undone);
            return Err(words::refused(RefusalKind::Failed, words::chain(&error)));
        }
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
        let in_force = self.allow.get(network, AllowOrigin::Operator).is_some();
        // The kernel first, as above. What did not fit at the start is only stored.
        if in_force {
            self.let_pass_no_more(network, AllowOrigin::Operator)
                .map_err(|error| words::failed(&error))?;
        }
        match self.store.remove_allowed(network) {
            Ok(stored) if stored || in_force => Ok(words::done(Outcome::Ok)),
            Ok(_) => Err(words::refused(
                RefusalKind::NotFound,
                if self.allow.names(network) {
                    format!(
                        "{network} was not added by `nicban allow add`: it comes from the host or from [allow] in the configuration"
                    )
                } else {
                    format!("{network} is not on the allow list; see `nicban allow list`")
                },
            )),
            Err(error) => {
                if in_force {
                    let undone = self.let_pass(operators(network));
                    self.note_undone(network, undone);
                }
                Err(words::refused(RefusalKind::Failed, words::chain(&error)))
            }
        }
    }

    /// What was refused should not have happened, and now it has.
    fn note_undone(&mut self, network: IpNet, undone: Result<(), XdpError>) {
        if let Err(error) = undone {
            self.troubles.note(
                &format!("allow {network}"),
                format!(
                    "the allow list in the kernel is wrong about {network}; restart nicban: {}",
                    words::chain(&error)
                ),
            );
        }
    }

    /// Adds to the list, in the kernel and in memory.
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
        if !self.allow.names_besides(network, origin) {
            self.tables.disallow(&network)?;
        }
        self.allow.remove(network, origin);
        Ok(())
    }

    /// Takes away what has ended; what the kernel keeps is tried again.
    pub(super) fn expire_allowed(&mut self, now: Now) {
        let mut outcome = Ok(());
        for allow in self.allow.ended(now.seconds()) {
            outcome = outcome.and(self.let_pass_no_more(allow.network, allow.origin));
        }
        match outcome {
            Ok(()) => self.troubles.clear("allow expiry"),
            Err(error) => self.troubles.note(
                "allow expiry",
                format!(
                    "an address stays allowed beyond its time: {}",
                    words::chain(&error)
                ),
            ),
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

fn operators(network: IpNet) -> Allow {
    Allow {
        network,
        origin: AllowOrigin::Operator,
        until: None,
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
