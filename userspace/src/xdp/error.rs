//! What the kernel refuses, and upon what.

use std::{io, path::PathBuf};

use aya::{
    EbpfError,
    maps::MapError,
    pin::PinError,
    programs::{ProgramError, links::LinkError},
};
use thiserror::Error;

/// An operation on the program, a map or a link that failed.
#[derive(Debug, Error)]
pub enum XdpError {
    /// The pin folder can't be made.
    #[error(
        "cannot make {path}: {source}; is the BPF file system mounted (mount -t bpf bpf /sys/fs/bpf)?"
    )]
    PinDir {
        /// The folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A pin can't be read, written or removed.
    #[error("cannot {operation} {path}")]
    Pin {
        /// What was tried.
        operation: &'static str,
        /// The pin.
        path: PathBuf,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The kernel does not take the object: its verifier's words are in the source.
    #[error("cannot load the XDP program")]
    Load(#[source] Box<EbpfError>),
    /// The kernel refuses for want of capabilities.
    #[error(
        "the daemon runs without {capabilities}, which the kernel asks for; nicban.service grants it in CapabilityBoundingSet= and AmbientCapabilities="
    )]
    Powerless {
        /// Those that it lacks.
        capabilities: String,
        /// What was refused.
        source: Box<XdpError>,
    },
    /// The program's log can't be read.
    #[error("cannot read what the XDP program logs")]
    Log(#[source] Box<aya_log::Error>),
    /// The object lacks something that this build counts on.
    #[error("the XDP object has no {what} `{name}`")]
    Missing {
        /// `map` or `program`.
        what: &'static str,
        /// Its name.
        name: &'static str,
    },
    /// A program operation failed.
    #[error("cannot {operation} the XDP program")]
    Program {
        /// What was tried.
        operation: &'static str,
        /// Why.
        source: Box<ProgramError>,
    },
    /// A map operation failed.
    #[error("cannot {operation} {subject} in map `{map}`")]
    Map {
        /// What was tried.
        operation: &'static str,
        /// The entry.
        subject: String,
        /// The map.
        map: &'static str,
        /// Why.
        source: Box<MapError>,
    },
    /// A map's memory can't be had.
    #[error("cannot map the memory of `{map}`")]
    Memory {
        /// The map.
        map: &'static str,
        /// Why.
        source: io::Error,
    },
    /// The map holds as many entries as it can.
    #[error(
        "map `{map}` is full: {subject} does not fit; raise `max_bans` or `max_nets` in [xdp] and restart nicban"
    )]
    Full {
        /// The map.
        map: &'static str,
        /// The entry.
        subject: String,
    },
    /// The interface has an XDP program of somebody else.
    #[error(
        "{interface} already runs another XDP program; take that one off first (see `bpftool net show dev {interface}`)"
    )]
    Busy {
        /// The interface.
        interface: String,
    },
    /// The interface is not there.
    #[error("there is no interface {interface}")]
    NoInterface {
        /// The interface.
        interface: String,
    },
    /// There is no attachment to keep.
    #[error("the program is not attached to {interface}")]
    NotAttached {
        /// The interface.
        interface: String,
    },
    /// The driver has no native XDP, and generic mode was ruled out.
    #[error("{interface} refuses XDP in {mode} mode")]
    Refused {
        /// The interface.
        interface: String,
        /// `native` or `generic`.
        mode: &'static str,
        /// Why.
        source: Box<ProgramError>,
    },
    /// The kernel has no BPF links for XDP, which came with 5.9.
    #[error(
        "the kernel cannot pin an attachment to {interface}: BPF links for XDP need Linux 5.9 or later"
    )]
    NoLink {
        /// The interface.
        interface: String,
    },
    /// A link operation failed.
    #[error("cannot {operation} the link of {interface}")]
    Link {
        /// What was tried.
        operation: &'static str,
        /// The interface.
        interface: String,
        /// Why.
        source: Box<LinkError>,
    },
}

impl XdpError {
    pub(super) fn program(operation: &'static str) -> impl FnOnce(ProgramError) -> Self {
        move |source| Self::Program {
            operation,
            source: Box::new(source),
        }
    }

    pub(super) fn link(
        operation: &'static str,
        interface: &str,
    ) -> impl FnOnce(LinkError) -> Self + use<> {
        let interface = interface.to_owned();
        move |source| Self::Link {
            operation,
            interface,
            source: Box::new(source),
        }
    }

    pub(super) fn pin(operation: &'static str, path: impl Into<PathBuf>, source: PinError) -> Self {
        Self::Pin {
            operation,
            path: path.into(),
            source: Box::new(source),
        }
    }

    pub(super) fn file(
        operation: &'static str,
        path: impl Into<PathBuf>,
        source: io::Error,
    ) -> Self {
        Self::Pin {
            operation,
            path: path.into(),
            source: Box::new(source),
        }
    }

    /// Whether the cause is a full map, which is the configuration's to mend.
    pub fn is_full(&self) -> bool {
        matches!(self, Self::Full { .. })
    }
}
