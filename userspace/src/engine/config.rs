//! What the engine is told at its start.

use std::{path::PathBuf, time::Duration};

use ipnet::IpNet;
use nicban_protocol::Mode;

use crate::{
    bans::Limits,
    config::{AttachPreference, Config},
    rank::RankConfig,
    target::Ipv6Prefix,
    xdp::{Attach, LoadOptions, ProgramLog},
};

/// The engine's part of the configuration, in the engine's types.
#[derive(Debug, Clone)]
pub struct EngineConfig {
    /// How the program is loaded.
    pub load: LoadOptions,
    /// Interfaces to attach to; empty means those of the default routes.
    pub interfaces: Vec<String>,
    /// How to attach.
    pub attach: Attach,
    /// The mode, unless the operator has set another since.
    pub mode: Mode,
    /// The folder of the store.
    pub state_dir: PathBuf,
    /// How long the kernel drops on after a ban's end, should the daemon be dead.
    pub grace: Duration,
    /// How long a flush waits for a stop, in whole seconds.
    pub flush_window: i64,
    /// Networks that are never dropped.
    pub allow: Vec<IpNet>,
    /// How rates are measured.
    pub rank: RankConfig,
    /// Between two readings of the counters.
    pub tick: Duration,
    /// Bans that fit the maps.
    pub limits: Limits,
    /// The length at which single IPv6 addresses are banned.
    pub ipv6_prefix: Ipv6Prefix,
}
