//! The requests to attach, to confirm and to detach.

use std::time::Duration;

use ipnet::IpNet;
use nicban_protocol::{AllowOrigin, AttachMode, Outcome, Refusal, RefusalKind, Reply};
use tracing::warn;

use super::{Engine, words};
use crate::{allow::Allow, clock::Now};

/// How long the peer of the SSH session that attaches is allowed, in seconds.
pub(super) const SSH_PEER_FOR: i64 = 3600;

/// What came of attaching to several interfaces.
#[derive(Default)]
struct Tried {
    attached: Vec<String>,
    /// The same, each with its mode, for people.
    modes: Vec<String>,
    /// Why the first of the others could not be had.
    refusal: Option<Refusal>,
}

impl Tried {
    /// What is attached now, for people.
    fn note(&self, confirm_s: Option<u64>) -> String {
        let modes = self.modes.join(", ");
        match confirm_s {
            None => format!("attached to {modes}"),
            Some(seconds) => {
                format!("attached to {modes}; `nicban confirm` within {seconds} s keeps it")
            }
        }
    }
}

/// The peer of an SSH session, allowed.
struct SshPeer {
    network: IpNet,
    /// What an earlier attach had allowed it.
    before: Option<Allow>,
}

impl Engine {
    pub(super) fn attach(
        &mut self,
        interface: Option<&str>,
        confirm_s: Option<u64>,
        ssh_peer: Option<&str>,
        now: Now,
    ) -> Result<Reply, Refusal> {
        let names = match interface {
            Some(name) => vec![name.to_owned()],
            None => self.wanted(),
        };
        if names.is_empty() {
            return Err(words::refused(
                RefusalKind::NotFound,
                "there is no default route, so no interface to attach to; name one, or set [xdp] interfaces",
            ));
        }
        let attached = &self.attachments.attached;
        let free: Vec<String> = names
            .iter()
            .filter(|name| !attached.contains_key(*name))
            .cloned()
            .collect();
        if free.is_empty() {
            return Ok(Reply::Attached {
                interfaces: free,
                note: format!("attached to {}", names.join(", ")),
            });
        }
        // Before the first packet is dropped; whom nothing begins to drop needs it not.
        let peer = ssh_peer.map(|peer| self.allow_ssh_peer(peer, now));
        let peer = peer.transpose()?;
        let tried = self.try_each(free, confirm_s, now);
        if tried.attached.is_empty()
            && let Some(peer) = peer
        {
            self.disallow_ssh_peer(&peer);
        }
        // An attachment on trial is not what the operator wants yet.
        if confirm_s.is_none() && !tried.attached.is_empty() {
            self.remember_attached(&tried.attached)?;
        }
        let note = tried.note(confirm_s);
        match tried.refusal {
            None => Ok(Reply::Attached {
                interfaces: tried.attached,
                note,
            }),
            Some(refusal) if tried.attached.is_empty() => Err(refusal),
            Some(Refusal { kind, message }) => {
                Err(words::refused(kind, format_args!("{message}; {note}")))
            }
        }
    }

    /// One that can't be had must not keep the others unprotected.
    fn try_each(&mut self, free: Vec<String>, confirm_s: Option<u64>, now: Now) -> Tried {
        let confirm_by = confirm_s.map(|seconds| now.boot + Duration::from_secs(seconds));
        let mut tried = Tried::default();
        for name in free {
            match self.attach_one(&name, confirm_by, now) {
                Ok(mode) => {
                    self.troubles.clear(&format!("attach {name}"));
                    tried.modes.push(match mode {
                        AttachMode::Native => format!("{name} in native mode"),
                        AttachMode::Generic => format!("{name} in GENERIC mode, which is slow"),
                    });
                    tried.attached.push(name);
                }
                Err(error) => {
                    let kind = words::failed(&error).kind;
                    let refusal = words::refused(kind, self.with_owner(&name, &error));
                    tried.refusal.get_or_insert(refusal);
                }
            }
        }
        tried
    }

    pub(super) fn confirm(&mut self) -> Result<Reply, Refusal> {
        let pending: Vec<String> = self
            .attachments
            .attached
            .iter()
            .filter(|(_, attached)| attached.confirm_by.is_some())
            .map(|(name, _)| name.clone())
            .collect();
        if pending.is_empty() {
            return Err(words::refused(
                RefusalKind::NotFound,
                "no attachment waits for confirmation; see `nicban status`",
            ));
        }
        for name in &pending {
            self.links
                .keep(name)
                .map_err(|error| words::failed(&error))?;
            if let Some(attached) = self.attachments.attached.get_mut(name) {
                attached.confirm_by = None;
            }
        }
        self.remember_attached(&pending)?;
        Ok(words::noted(
            Outcome::Ok,
            format!("stays attached to {}", pending.join(", ")),
        ))
    }

    pub(super) fn detach(&mut self, interface: Option<&str>) -> Result<Reply, Refusal> {
        let names: Vec<String> = match interface {
            Some(name) if self.attachments.attached.contains_key(name) => vec![name.to_owned()],
            Some(name) => {
                return Err(words::refused(
                    RefusalKind::NotFound,
                    format_args!("nicban is not attached to {name}; see `nicban status`"),
                ));
            }
            None => self.attachments.attached.keys().cloned().collect(),
        };
        for name in &names {
            self.links
                .detach(name)
                .map_err(|error| words::failed(&error))?;
            self.attachments.attached.remove(name);
        }
        self.remember_detached(interface)?;
        Ok(words::noted(
            Outcome::Ok,
            if names.is_empty() {
                "nothing was attached".to_owned()
            } else {
                format!("detached from {}; the bans are kept", names.join(", "))
            },
        ))
    }

    /// Undoes attachments that nobody confirmed in time.
    pub(super) fn roll_back_unconfirmed(&mut self, now: Now) {
        let late: Vec<String> = self
            .attachments
            .attached
            .iter()
            .filter(|(_, attached)| attached.confirm_by.is_some_and(|by| by <= now.boot))
            .map(|(name, _)| name.clone())
            .collect();
        for name in late {
            warn!(
                interface = name,
                "nobody confirmed the attachment: detached again"
            );
            self.attachments.attached.remove(&name);
            if let Err(error) = self.links.detach(&name) {
                self.troubles.note("roll back", words::chain(&error));
            }
            if let Err(refusal) = self.remember_detached(Some(&name)) {
                self.troubles.note("roll back", refusal.message);
            }
        }
    }

    fn allow_ssh_peer(&mut self, peer: &str, now: Now) -> Result<SshPeer, Refusal> {
        let network = crate::target::parse_network(peer).map_err(words::invalid)?;
        let before = self.allow.get(network, AllowOrigin::SshPeer).copied();
        self.let_pass(Allow {
            network,
            origin: AllowOrigin::SshPeer,
            until: Some(now.seconds() + SSH_PEER_FOR),
        })
        .map_err(|error| words::failed(&error))?;
        Ok(SshPeer { network, before })
    }

    fn disallow_ssh_peer(&mut self, peer: &SshPeer) {
        let undone = match peer.before {
            Some(allow) => self.let_pass(allow),
            None => self.let_pass_no_more(peer.network, AllowOrigin::SshPeer),
        };
        if let Err(error) = undone {
            warn!(
                peer = %peer.network,
                error = %words::chain(&error),
                "nothing was attached, and the SSH peer stays allowed for its hour"
            );
        }
    }

    fn remember_detached(&mut self, interface: Option<&str>) -> Result<(), Refusal> {
        let written = self.attachments.detached.add(interface);
        self.remembered(written)
    }

    fn remember_attached(&mut self, names: &[String]) -> Result<(), Refusal> {
        let others = self.wanted();
        let written = self.attachments.detached.remove(names, &others);
        self.remembered(written)
    }

    fn remembered(&self, written: std::io::Result<()>) -> Result<(), Refusal> {
        written.map_err(|error| {
            words::refused(
                RefusalKind::Failed,
                format_args!(
                    "done, but a restart will not know of it: cannot write {}: {error}",
                    self.attachments.detached.file().display()
                ),
            )
        })
    }
}
