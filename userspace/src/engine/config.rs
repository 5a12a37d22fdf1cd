//! What the engine is told at its start.

use std::{path::PathBuf, time::Duration};

use ipnet::IpNet;
use nicban_protocol::Mode;

use crate::{
    bans::Limits,
    config::Config,
    nacl::{docket::Fading, market::Measure},
    rank::RankConfig,
    target::Ipv6Prefix,
    xdp::{Attach, LoadOptions},
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
    /// What slots go by.
    pub compete: Measure,
    /// How failures fade, where slots go by them.
    pub fading: Fading,
    /// How rates are measured.
    pub rank: RankConfig,
    /// Between two readings of the counters.
    pub tick: Duration,
    /// Bans that fit the maps.
    pub limits: Limits,
    /// The length at which single IPv6 addresses are banned.
    pub ipv6_prefix: Ipv6Prefix,
}

impl From<&Config> for EngineConfig {
    fn from(config: &Config) -> Self {
        let Config { xdp, daemon, .. } = config;
        let max_bans = xdp.max_bans.get();
        let max_nets = xdp.max_nets.get();
        Self {
            load: LoadOptions {
                pin_dir: xdp.pin_dir.clone(),
                max_bans,
                max_nets,
                max_offenders: xdp.max_offenders.get(),
                ipv6_prefix: xdp.ipv6_prefix,
                log: xdp.program_log,
            },
            interfaces: xdp.interfaces.iter().map(ToString::to_string).collect(),
            attach: xdp.attach,
            mode: xdp.mode,
            state_dir: daemon.state_dir.clone(),
            grace: xdp.expiry_grace,
            flush_window: whole_seconds(config.fail2ban.flush_hold),
            allow: config.allow.networks.clone(),
            compete: config.nacl.compete,
            fading: Fading {
                half_life: config.nacl.blind_half_life,
            },
            rank: config.rank.ranking(),
            tick: config.rank.tick,
            limits: Limits {
                hash_v4: max_bans as usize,
                hash_v6: max_bans as usize,
                trie_v4: max_nets as usize,
                trie_v6: max_nets as usize,
            },
            ipv6_prefix: xdp.ipv6_prefix,
        }
    }
}

/// Rounded up: a flush must not be carried out before the stop could come.
fn whole_seconds(span: Duration) -> i64 {
    let seconds = span.as_secs() + u64::from(span.subsec_nanos() > 0);
    i64::try_from(seconds).unwrap_or(i64::MAX)
}
