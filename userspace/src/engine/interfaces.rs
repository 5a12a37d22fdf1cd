//! The machine's interfaces, and the program on those that it should guard.

use std::{collections::BTreeMap, path::Path, time::Duration};

use ipnet::IpNet;
use nicban_protocol::{AttachMode, Attachment};
use tracing::{info, warn};

use super::{Detached, Engine, words};
use crate::{
    clock::Now,
    host::{Host, Interface, XdpMode},
    xdp::{Keep, XdpError},
};

/// Between two tries to attach where another program is in the way: not every driver
/// tells when that one goes.
const TRY_AGAIN: Duration = Duration::from_secs(5);

/// The attachments, as the engine wants and has them.
#[derive(Debug)]
pub struct Attachments {
    /// What the kernel last told of the machine.
    host: Host,
    /// Interfaces that the program is attached to.
    pub(super) attached: BTreeMap<String, Attached>,
    /// What the operator wants left alone.
    pub(super) detached: Detached,
    /// When to try again where another program is in the way, on the boot clock.
    try_again: Option<Duration>,
}

/// One attachment.
#[derive(Debug)]
pub(super) struct Attached {
    /// The interface's index: another index under the same name is another interface.
    index: u32,
    mode: AttachMode,
    /// Why native mode was refused, where it was tried.
    refusal: Option<String>,
    /// When it is undone unless confirmed, on the boot clock.
    pub(super) confirm_by: Option<Duration>,
}

impl Attachments {
    pub(super) fn new(host: Host, state_dir: &Path) -> std::io::Result<Self> {
        Ok(Self {
            host,
            attached: BTreeMap::new(),
            detached: Detached::load(state_dir)?,
            try_again: None,
        })
    }

    /// Why a network of the host is protected.
    pub(super) fn why_protected(&self, network: IpNet) -> Option<String> {
        let protected = self.host.protected();
        let found = protected.iter().find(|item| item.network == network)?;
        Some(found.why.to_string())
    }

    /// Networks that the host itself needs.
    pub(super) fn host_networks(&self) -> Vec<IpNet> {
        let protected = self.host.protected();
        protected.iter().map(|item| item.network).collect()
    }

    fn rows(&self, wanted: &[String], now: Now) -> Vec<Attachment> {
        let mut names: Vec<&String> = wanted.iter().chain(self.attached.keys()).collect();
        names.sort();
        names.dedup();
        names
            .into_iter()
            .map(|name| {
                let attached = self.attached.get(name);
                Attachment {
                    interface: name.clone(),
                    mode: attached.map(|attached| attached.mode),
                    confirm_within_s: attached
                        .and_then(|attached| attached.confirm_by)
                        .map(|by| by.saturating_sub(now.boot).as_secs()),
                }
            })
            .collect()
    }
}

impl Engine {
    /// The attachments as `status` shows them.
    pub(super) fn attachments(&self, now: Now) -> Vec<Attachment> {
        self.attachments.rows(&self.wanted(), now)
    }

    /// Interfaces that the program should be attached to.
    pub(super) fn wanted(&self) -> Vec<String> {
        if !self.config.interfaces.is_empty() {
            return self.config.interfaces.clone();
        }
        self.attachments
            .host
            .default_interfaces()
            .map(|interface| interface.name.clone())
            .collect()
    }

    /// Takes over the links that an earlier daemon pinned.
    pub(super) fn adopt(&mut self) -> Result<(), XdpError> {
        let replaced = self.links.replace()?;
        for name in replaced.adopted {
            let Some(interface) = self.attachments.host.interface(&name) else {
                continue;
            };
            info!(interface = name, "took over the attachment");
            let attached = Attached {
                index: interface.index,
                mode: mode_of(interface),
                refusal: None,
                confirm_by: None,
            };
            self.attachments.attached.insert(name, attached);
        }
        for name in replaced.gone {
            warn!(
                interface = name,
                "the interface is gone, and its attachment with it"
            );
        }
        Ok(())
    }

    /// The machine has changed: protect its addresses, attach to what came up.
    pub(super) fn follow_the_host(&mut self, host: Host, now: Now) {
        self.allow_the_host(&host);
        self.attachments.host = host;
        self.forget_gone_interfaces();
        self.attach_wanted(now);
    }

    fn forget_gone_interfaces(&mut self) {
        let host = &self.attachments.host;
        let gone: Vec<String> = self
            .attachments
            .attached
            .iter()
            .filter(|(name, attached)| {
                host.interface(name)
                    .is_none_or(|interface| interface.index != attached.index)
            })
            .map(|(name, _)| name.clone())
            .collect();
        for name in gone {
            warn!(interface = name, "the interface is gone");
            self.attachments.attached.remove(&name);
            if let Err(error) = self.links.detach(&name) {
                warn!(error = %words::chain(&error), "cannot remove its pin");
            }
        }
    }

    /// Tries once more where another program was in the way.
    pub(super) fn attach_where_it_was_busy(&mut self, now: Now) {
        let due = self.attachments.try_again;
        if due.is_some_and(|due| due <= now.boot) {
            self.attach_wanted(now);
        }
    }

    /// Attaches to every wanted interface that is there and not attached yet,
    /// unless the operator has detached.
    pub(super) fn attach_wanted(&mut self, now: Now) {
        let wanted = self.wanted();
        if wanted.is_empty() {
            self.troubles.note(
                "interfaces",
                "nothing is dropped: there is no default route, so no interface to attach to; name one in [xdp] interfaces"
                    .to_owned(),
            );
        } else {
            self.troubles.clear("interfaces");
        }
        self.attachments.try_again = None;
        for name in wanted {
            let subject = format!("attach {name}");
            if self.attachments.detached.has(&name) {
                self.troubles.clear(&subject);
                continue;
            }
            match self.attach_one(&name, None, now) {
                Ok(_) => self.troubles.clear(&subject),
                Err(error) => {
                    if matches!(error, XdpError::Busy { .. }) {
                        self.attachments.try_again = Some(now.boot + TRY_AGAIN);
                    }
                    self.troubles.note(
                        &subject,
                        format!(
                            "{name} is not protected: {}",
                            self.with_owner(&name, &error)
                        ),
                    );
                }
            }
        }
    }

    pub(super) fn attach_one(
        &mut self,
        name: &str,
        confirm_by: Option<Duration>,
        now: Now,
    ) -> Result<AttachMode, XdpError> {
        if let Some(attached) = self.attachments.attached.get(name) {
            return Ok(attached.mode);
        }
        let index = match self.attachments.host.interface(name) {
            Some(interface) => interface.index,
            None => {
                return Err(XdpError::NoInterface {
                    interface: name.to_owned(),
                });
            }
        };
        let keep = match confirm_by {
            None => Keep::Pinned,
            Some(_) => Keep::WhileAlive,
        };
        let (mode, refusal) = self.links.attach(name, self.config.attach, keep)?;
        let refusal = refusal.map(|error| words::chain(&error));
        match mode {
            AttachMode::Native => info!(interface = name, "attached in native mode"),
            AttachMode::Generic => warn!(
                interface = name,
                refusal = refusal
                    .as_deref()
                    .unwrap_or("none: the configuration asks for it"),
                "attached in GENERIC mode, where a drop costs about as much as with iptables"
            ),
        }
        let attached = Attached {
            index,
            mode,
            refusal,
            confirm_by: confirm_by.filter(|by| *by > now.boot),
        };
        self.attachments.attached.insert(name.to_owned(), attached);
        Ok(mode)
    }

    /// What `status` warns of: interfaces that are wanted but free, or slow.
    pub(super) fn attachment_warnings(&self) -> Vec<String> {
        let wanted = self.wanted();
        let attached = &self.attachments.attached;
        let free = wanted
            .iter()
            .filter(|name| self.attachments.detached.has(name) && !attached.contains_key(*name));
        let free = free.map(|name| {
            format!("{name} is not protected: the operator has detached it; `nicban attach {name}` puts it back")
        });
        let generic = attached
            .iter()
            .filter(|(_, it)| it.mode == AttachMode::Generic);
        let generic = generic.map(|(name, it)| {
            let why = it.refusal.as_deref().unwrap_or("the configuration asks for it");
            format!("{name} runs in GENERIC mode, where a drop costs about as much as with iptables: {why}")
        });
        free.chain(generic).collect()
    }

    /// The error, with the program that stands in the way named.
    pub(super) fn with_owner(&self, name: &str, error: &XdpError) -> String {
        let line = words::chain(error);
        let other = match error {
            XdpError::Busy { .. } => self.attachments.host.interface(name),
            _ => None,
        };
        match other.and_then(|interface| interface.xdp.first()) {
            Some(program) => format!(
                "{line} (it is program {}, in {} mode)",
                program.id, program.mode
            ),
            None => line,
        }
    }
}

fn mode_of(interface: &Interface) -> AttachMode {
    let generic = interface
        .xdp
        .iter()
        .all(|program| program.mode == XdpMode::Generic);
    if generic && !interface.xdp.is_empty() {
        AttachMode::Generic
    } else {
        AttachMode::Native
    }
}
