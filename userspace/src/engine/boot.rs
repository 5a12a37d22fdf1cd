//! How an engine comes to life: from the store, and from what the kernel still has.

use std::{
    collections::BTreeSet,
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use ipnet::IpNet;
use nicban_ebpf::abi;
use nicban_protocol::AllowOrigin;
use thiserror::Error;
use tokio::sync::watch;
use tracing::{error, info, warn};

use super::{
    Attachments, Engine, EngineConfig, Snapshot, attach::SSH_PEER_FOR, batch::Batch, tick::Tally,
    words,
};
use crate::{
    allow::{Allow, AllowList},
    bans::{Bans, Hold, KernelChange, Step, StoreChange, Unbanned},
    clock::Now,
    host::Host,
    nacl::roster::Roster,
    rank::Ranking,
    store::{self, Clock, Loaded, Store, StoreError, StoreErrorKind},
    target::Target,
    xdp::{self, XdpError},
};

/// Bans that nobody holds which the log names one by one.
const STRAYS_TOLD: usize = 100;

/// Why an engine can't start.
#[derive(Debug, Error)]
pub enum EngineError {
    /// The kernel refuses the program or its maps.
    #[error("cannot set up the XDP tier")]
    Xdp(#[from] XdpError),
    /// The store can't be used.
    #[error("cannot use the store")]
    Store(#[from] StoreError),
    /// The folder of the store can't be used.
    #[error("cannot use {path}")]
    StateDir {
        /// The folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl Engine {
    /// Loads program, maps and store, fills the one from the other, and only then
    /// puts the program in the place of an earlier one and attaches it.
    ///
    /// `boot_id` tells whether the store was last written since the machine booted.
    pub fn start(
        config: EngineConfig,
        host: Host,
        boot_id: String,
        now: Now,
    ) -> Result<Self, EngineError> {
        let state_dir = |source| EngineError::StateDir {
            path: config.state_dir.clone(),
            source,
        };
        fs::create_dir_all(&config.state_dir).map_err(state_dir)?;
        let attachments = Attachments::new(host, &config.state_dir).map_err(state_dir)?;
        let (kept, damaged) = read_store(&config, now)?;
        let loaded = xdp::load(&config.load)?;
        if !loaded.renewed.is_empty() {
            info!(maps = ?loaded.renewed, "made anew for this build or configuration");
        }
        let (publish, _) = watch::channel(Arc::new(Snapshot::default()));
        let mut engine = Self {
            bans: kept.bans,
            unbanned: Unbanned::new(first_mark(now)),
            allow: AllowList::default(),
            mode: config.mode,
            store: kept.store,
            tables: loaded.tables,
            counters: loaded.counters,
            links: loaded.links,
            program_log: loaded.log,
            attachments,
            ranking: Ranking::new(config.rank.clone()),
            tally: Tally::default(),
            roster: Roster::default(),
            vpc: Vec::new(),
            troubles: words::Troubles::default(),
            clock: Clock {
                boot_id,
                epoch: now.epoch(),
            },
            steps: Vec::new(),
            is_clock_stored: false,
            is_behind: false,
            publish,
            config,
        };
        if let Some(trouble) = damaged {
            engine.troubles.note("store", trouble);
        }
        let step = engine.take_up_the_clock(now)?;
        engine.restore(&kept.loaded, step, kept.left_out, now)?;
        engine.adopt()?;
        engine.attach_wanted(now);
        engine.count(now);
        engine.publish(now);
        Ok(engine)
    }

    /// Takes in what the store has, then makes the kernel's maps say the same.
    fn restore(
        &mut self,
        loaded: &Loaded,
        step: Option<Step>,
        left_out: u64,
        now: Now,
    ) -> Result<(), EngineError> {
        if left_out > 0 {
            self.troubles.note(
                "capacity",
                format!(
                    "{left_out} stored bans are not enforced: the maps are too small for them; raise max_bans or max_nets in [xdp] and restart nicban"
                ),
            );
        }
        for (jail, asked) in &loaded.flushes {
            let asked = step.map_or(*asked, |step| step.time(*asked));
            self.bans
                .restore_flush(jail, asked, self.config.flush_window, now.seconds());
        }
        self.mode = loaded.mode.unwrap_or(self.config.mode);
        let recovered = self.recover(now)?;
        let operators = [loaded.allowed.as_slice(), &recovered].concat();
        self.restore_allowed(&operators, now)?;
        self.restore_kernel(now)?;
        self.tables.set_mode(self.mode)?;
        let mut batch = Batch::default();
        self.serve_deadlines(now, &mut batch);
        self.settle(batch, now).give();
        info!(bans = self.bans.len(), "bans are in force");
        Ok(())
    }

    /// A store that was just begun knows of nothing, though the kernel may: the one before
    /// was damaged, or somebody removed it. Then what the kernel drops is taken over into
    /// the store, by a holder that stands in for those who are not known any more, and what
    /// an operator has allowed, which is returned.
    ///
    /// Until that is done the store is not said to be begun, so that a daemon which dies
    /// meanwhile leaves it to the next.
    fn recover(&mut self, now: Now) -> Result<Vec<IpNet>, EngineError> {
        if self.store.is_begun()? {
            return Ok(Vec::new());
        }
        let allowed = self.tables.allowed_by(abi::AllowOrigin::Operator)?;
        for network in &allowed {
            self.store.add_allowed(*network, now.seconds())?;
        }
        let mut changes = Vec::new();
        for (network, expires_at) in self.tables.bans()? {
            let Some(until) = words::until(expires_at, now) else {
                continue;
            };
            let Ok(target) = Target::from_network(network) else {
                continue;
            };
            if self.bans.get(&target).is_some() {
                continue;
            }
            let hold = Hold::recovered(now.seconds(), until);
            // What does not fit is left out of memory, as what the store has is.
            drop(self.bans.restore(target, hold.clone(), 0));
            changes.push(StoreChange::PutHold { target, hold });
        }
        if !changes.is_empty() || !allowed.is_empty() {
            warn!(
                bans = changes.len(),
                allowed = allowed.len(),
                "the store is a new one: took over what the kernel has"
            );
        }
        self.store.commit(&changes)?;
        self.store.begin()?;
        Ok(allowed)
    }

    fn restore_allowed(&mut self, operators: &[IpNet], now: Now) -> Result<(), XdpError> {
        let host = self.attachments.host_networks();
        // Only the kernel remembers whom an attach has allowed, and not for how long: a
        // daemon that comes back must not lock them out, and begins their time anew.
        let peers = self.tables.allowed_by(abi::AllowOrigin::SshPeer)?;
        let sources = [
            (AllowOrigin::Host, host.as_slice()),
            (AllowOrigin::Config, self.config.allow.as_slice()),
            (AllowOrigin::Operator, operators),
            (AllowOrigin::SshPeer, peers.as_slice()),
        ];
        let wanted: Vec<Allow> = sources
            .iter()
            .flat_map(|(origin, networks)| {
                networks.iter().map(|network| Allow {
                    network: *network,
                    origin: *origin,
                    until: (*origin == AllowOrigin::SshPeer).then(|| now.seconds() + SSH_PEER_FOR),
                })
            })
            .collect();
        // What is of no more use makes room first.
        let named: BTreeSet<IpNet> = wanted.iter().map(|allow| allow.network.trunc()).collect();
        for network in self.tables.allowed()? {
            if !named.contains(&network) {
                self.tables.disallow(&network)?;
            }
        }
        let mut left_out = 0_u64;
        for allow in wanted {
            match self.let_pass(allow) {
                Err(error) if error.is_full() => left_out += 1,
                other => other?,
            }
        }
        if left_out > 0 {
            self.troubles.note(
                "allow capacity",
                format!(
                    "{left_out} networks of the allow list are not allowed: the maps are too small for them; raise max_nets in [xdp] and restart nicban"
                ),
            );
        }
        Ok(())
    }

    /// Puts every ban in, and takes out what nobody holds: a ban that was not
    /// acknowledged before the last daemon died.
    fn restore_kernel(&mut self, now: Now) -> Result<(), XdpError> {
        let held: Vec<(Target, KernelChange)> = self
            .bans
            .iter()
            .map(|ban| (ban.target, KernelChange::Put(ban.end())))
            .collect();
        self.write_all(&held, now)?;
        drop(held);
        let in_kernel = self.tables.bans()?;
        let is_held = |network: &IpNet| {
            let target = Target::from_network(*network).ok();
            target.is_some_and(|target| self.bans.get(&target).is_some())
        };
        let stray: Vec<IpNet> = in_kernel
            .into_iter()
            .map(|(network, _)| network)
            .filter(|network| !is_held(network))
            .collect();
        // An import that was cut off leaves thousands.
        for network in stray.iter().take(STRAYS_TOLD) {
            warn!(%network, "taking out a ban that was never acknowledged");
        }
        if stray.len() > STRAYS_TOLD {
            warn!(all = stray.len(), "and more such bans");
        }
        self.tables.remove_all(&stray)
    }
}

/// The store, and what it had.
struct Kept {
    store: Store,
    bans: Bans,
    loaded: Loaded,
    /// Bans that the maps have no room for.
    left_out: u64,
}

impl Kept {
    fn read(config: &EngineConfig, path: &Path) -> Result<Self, StoreError> {
        let store = Store::open(path)?;
        let mut bans = Bans::new(config.limits, config.ipv6_prefix);
        let mut left_out = 0_u64;
        let loaded = store.load(|stored| {
            if bans
                .restore(stored.target, stored.hold, stored.offences)
                .is_err()
            {
                left_out += 1;
            }
        })?;
        Ok(Self {
            store,
            bans,
            loaded,
            left_out,
        })
    }
}

/// Reads the store; one that is damaged is set aside, and the trouble returned.
fn read_store(config: &EngineConfig, now: Now) -> Result<(Kept, Option<String>), EngineError> {
    let path = config.state_dir.join(store::FILE_NAME);
    match Kept::read(config, &path) {
        Err(damaged) if damaged.kind == StoreErrorKind::Corrupt => {
            let aside = store::set_aside(&path, now.seconds())?;
            let trouble = format!(
                "the store was damaged and has been set aside as {}; a new one was begun from what the kernel drops: {}",
                aside.display(),
                words::chain(&damaged)
            );
            error!("{trouble}");
            Ok((Kept::read(config, &path)?, Some(trouble)))
        }
        other => Ok((other?, None)),
    }
}

/// More than any mark of a daemon before: a clock that only goes forward counts faster than
/// unbans come, and nobody keeps a mark over a reboot.
fn first_mark(now: Now) -> u64 {
    u64::try_from(now.boot.as_nanos()).unwrap_or(0)
}
