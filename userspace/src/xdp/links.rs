//! The program's attachments: one pinned link for each interface.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use aya::{
    Ebpf,
    programs::{
        ProgramError, Xdp, XdpMode,
        links::{FdLink, PinnedLink},
        xdp::{XdpLink, XdpLinkId},
    },
};
use nicban_protocol::AttachMode;
use nix::errno::Errno;

use super::{XdpError, bypass, object::program};

const PREFIX: &str = "link_";

/// How to attach.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attach {
    /// In the driver where it can, else generic.
    Auto,
    /// In the driver, or not at all.
    Native,
    /// Generic.
    Generic,
}

/// The program with its attachments.
#[derive(Debug)]
pub struct Links {
    object: Ebpf,
    pin_dir: PathBuf,
    attached: BTreeMap<String, FdLink>,
}

/// What becomes of an attachment when the daemon dies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// It stays.
    Pinned,
    /// It ends with the daemon: what is on trial must not outlive its judge.
    WhileAlive,
}

/// What [`Links::replace`] found.
#[derive(Debug, Default)]
pub struct Replaced {
    /// Interfaces that now run this program in place of the one before.
    pub adopted: Vec<String>,
    /// Interfaces that went away while the program was attached to them.
    pub gone: Vec<String>,
}

impl Links {
    /// The links of a loaded program; none is touched yet.
    pub(super) fn new(object: Ebpf, pin_dir: &Path) -> Self {
        Self {
            object,
            pin_dir: pin_dir.to_owned(),
            attached: BTreeMap::new(),
        }
    }

    /// Puts this program in the place of the one that the pinned links run.
    ///
    /// The kernel exchanges the pointer: each packet is judged by the one or the
    /// other, none by neither.
    pub fn replace(&mut self) -> Result<Replaced, XdpError> {
        let mut replaced = Replaced::default();
        for (interface, pin) in pinned_links(&self.pin_dir)? {
            let link = PinnedLink::from_pin(&pin).map_err(XdpError::link("open", &interface))?;
            let link = XdpLink::try_from(FdLink::from(link))
                .map_err(XdpError::link("adopt", &interface))?;
            match self.program()?.attach_to_link(link) {
                Ok(id) => {
                    let link = self.own(&interface, id)?;
                    self.attached.insert(interface.clone(), link);
                    replaced.adopted.push(interface);
                }
                // The link outlived its interface (kernel/bpf/syscall.c, link_update).
                Err(error) if errno_of(&error) == Some(Errno::ENOLINK) => {
                    remove_pin(&pin)?;
                    replaced.gone.push(interface);
                }
                Err(source) => {
                    return Err(XdpError::program("replace")(source));
                }
            }
        }
        Ok(replaced)
    }

    /// Attaches to an interface. Where [`Attach::Auto`] had to fall back to generic
    /// mode, what the driver said is returned with it.
    pub fn attach(
        &mut self,
        interface: &str,
        how: Attach,
        keep: Keep,
    ) -> Result<(AttachMode, Option<XdpError>), XdpError> {
        let attached = match how {
            Attach::Native => (self.attach_in(interface, AttachMode::Native)?, None),
            Attach::Generic => (self.attach_in(interface, AttachMode::Generic)?, None),
            Attach::Auto => match self.attach_in(interface, AttachMode::Native) {
                Err(refused @ XdpError::Refused { .. }) => (
                    self.attach_in(interface, AttachMode::Generic)?,
                    Some(refused),
                ),
                other => (other?, None),
            },
        };
        if keep == Keep::Pinned {
            self.keep(interface)?;
        }
        Ok(attached)
    }

    /// Pins an attachment, so that it outlives the daemon.
    pub fn keep(&mut self, interface: &str) -> Result<(), XdpError> {
        let link = self
            .attached
            .remove(interface)
            .ok_or_else(|| XdpError::NotAttached {
                interface: interface.to_owned(),
            })?;
        let pin = self.pin(interface);
        remove_pin(&pin)?;
        let link = link
            .pin(&pin)
            .map_err(|source| XdpError::pin("write", &pin, source))?;
        self.attached.insert(interface.to_owned(), link.into());
        Ok(())
    }

    /// Detaches from an interface; `false` where it was not attached.
    pub fn detach(&mut self, interface: &str) -> Result<bool, XdpError> {
        let link = self.attached.remove(interface);
        remove_pin(&self.pin(interface))?;
        // Closed last: the kernel lets go of a link with its last descriptor at once,
        // but with its last pin at some later time (bpf_link_put, bpf_link_put_direct
        // in kernel/bpf/syscall.c), when an attach that follows has found it busy.
        Ok(link.map(drop).is_some())
    }

    /// The program.
    pub fn program(&mut self) -> Result<&mut Xdp, XdpError> {
        program(&mut self.object)
    }

    fn attach_in(&mut self, interface: &str, attached: AttachMode) -> Result<AttachMode, XdpError> {
        let (name, mode) = match attached {
            AttachMode::Native => ("native", XdpMode::Driver),
            AttachMode::Generic => ("generic", XdpMode::Skb),
        };
        let id = self.program()?.attach(interface, mode).map_err(|source| {
            match (&source, errno_of(&source)) {
                (ProgramError::UnknownInterface { .. }, _) | (_, Some(Errno::ENODEV)) => {
                    XdpError::NoInterface {
                        interface: interface.to_owned(),
                    }
                }
                (_, Some(Errno::EBUSY | Errno::EEXIST)) => XdpError::Busy {
                    interface: interface.to_owned(),
                },
                _ => XdpError::Refused {
                    interface: interface.to_owned(),
                    mode: name,
                    source: Box::new(source),
                },
            }
        })?;
        let link = self.own(interface, id)?;
        self.attached.insert(interface.to_owned(), link);
        Ok(attached)
    }

    /// Takes the link out of the program's hands. Where the kernel knows no links,
    /// the attachment is a netlink one, which can't be pinned: it is undone.
    fn own(&mut self, interface: &str, id: XdpLinkId) -> Result<FdLink, XdpError> {
        let link = self
            .program()?
            .take_link(id)
            .map_err(XdpError::program("own the link of"))?;
        FdLink::try_from(link).map_err(|_netlink| XdpError::NoLink {
            interface: interface.to_owned(),
        })
    }

    fn pin(&self, interface: &str) -> PathBuf {
        self.pin_dir.join(pin_name(interface))
    }
}

/// Detaches what is pinned in a folder, without a daemon and without loading
/// anything; the names of the interfaces that were freed.
///
/// A daemon that hangs holds its links open, pinned or not. So the program is told
/// first to drop nothing, where all interfaces are to be freed; a daemon that starts
/// tells it anew.
pub fn detach_pinned(pin_dir: &Path, interface: Option<&str>) -> Result<Vec<String>, XdpError> {
    let mut detached = Vec::new();
    let passing = match interface {
        None => bypass::drop_nothing(pin_dir),
        Some(_) => Ok(()),
    };
    for (name, pin) in pinned_links(pin_dir)? {
        if interface.is_none_or(|only| only == name) {
            // Held until the pin is gone, as in `Links::detach`; a link that can't be
            // opened must not keep its pin.
            let link = PinnedLink::from_pin(&pin);
            remove_pin(&pin)?;
            drop(link);
            detached.push(name);
        }
    }
    passing.map(|()| detached)
}

fn pinned_links(pin_dir: &Path) -> Result<Vec<(String, PathBuf)>, XdpError> {
    let entries = match fs::read_dir(pin_dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(source) => return Err(XdpError::file("list", pin_dir, source)),
    };
    let mut links = Vec::new();
    for entry in entries {
        let entry = entry.map_err(|source| XdpError::file("list", pin_dir, source))?;
        let name = entry.file_name();
        if let Some(interface) = name.to_str().and_then(interface_of) {
            links.push((interface, entry.path()));
        }
    }
    links.sort();
    Ok(links)
}

fn remove_pin(pin: &Path) -> Result<(), XdpError> {
    match fs::remove_file(pin) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(XdpError::file("remove", pin, error))
        }
        _ => Ok(()),
    }
}

/// `link_IFACE`, with a dot written `%2e` and a percent sign `%25`: the BPF file
/// system takes no dots (kernel/bpf/inode.c, `bpf_lookup`), and VLAN interfaces have them.
fn pin_name(interface: &str) -> String {
    format!(
        "{PREFIX}{}",
        interface.replace('%', "%25").replace('.', "%2e")
    )
}

fn interface_of(pin: &str) -> Option<String> {
    let interface = pin.strip_prefix(PREFIX)?;
    Some(interface.replace("%2e", ".").replace("%25", "%"))
}

fn errno_of(error: &ProgramError) -> Option<Errno> {
    match error {
        ProgramError::SyscallError(call) => call.io_error.raw_os_error().map(Errno::from_raw),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pin_is_named_after_its_interface_and_back() {
        for interface in ["eth0", "eth0.100", "odd%name", "%2e"] {
            let pin = pin_name(interface);
            assert!(!pin.contains('.'), "{pin}");
            assert_eq!(interface_of(&pin).as_deref(), Some(interface));
        }
        assert_eq!(interface_of("bans_v4"), None);
    }
}
