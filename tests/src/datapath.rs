//! The XDP program, loaded for one test, in a pin folder of its own.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, Result, ensure};
use aya::programs::{TestRun as _, TestRunOptions};
use ipnet::IpNet;
use nicban::clock::Now;
use nicban::rank::Counter;
use nicban::target::Ipv6Prefix;
use nicban::xdp::{self, Counters, Links, LoadOptions, ProgramLog, ProgramLogger, Tables};
use nicban_ebpf::abi::{AllowOrigin, Family};
use nicban_protocol::{FamilyCounters, Mode};
use serde_json::Value;

use crate::net::{Scratch, prepare};
use crate::process;

/// What the program decided on a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It goes on to the kernel.
    Pass,
    /// It ends here.
    Drop,
    /// Anything else, by its number in `enum xdp_action` (include/uapi/linux/bpf.h):
    /// the program never means it.
    Other(u32),
}

/// The loaded program and its maps. The pins are removed on drop.
pub struct Datapath {
    /// The maps that the engine writes.
    pub tables: Tables,
    /// The maps that the program counts in.
    pub counters: Counters,
    /// The program.
    pub links: Links,
    /// What the program logs, where it logs at all.
    pub log: Option<ProgramLogger>,
    /// Maps that the last load made anew, though there was one.
    pub renewed: Vec<&'static str>,
    options: LoadOptions,
    pins: Arc<Scratch>,
}

impl Datapath {
    /// Loads the program in enforce mode, with room for a few dozen entries.
    ///
    /// # Errors
    /// The kernel or this machine's set-up does not let it.
    pub fn load() -> Result<Self> {
        Self::load_with(|_| ())
    }

    /// As [`Self::load`], with other options.
    ///
    /// # Errors
    /// As [`Self::load`].
    pub fn load_with(change: impl FnOnce(&mut LoadOptions)) -> Result<Self> {
        prepare()?;
        let pins = Arc::new(Scratch::pins("datapath"));
        let mut options = LoadOptions {
            pin_dir: pins.path().to_owned(),
            max_bans: 64,
            max_nets: 64,
            max_offenders: 64,
            ipv6_prefix: Ipv6Prefix::default(),
            log: ProgramLog::Off,
        };
        change(&mut options);
        let mut datapath = Self::open(options, pins)?;
        datapath.tables.set_mode(Mode::Enforce)?;
        Ok(datapath)
    }

    /// Loads the program again upon the same pins, as a restarted daemon does;
    /// everything of the first load is closed before.
    ///
    /// # Errors
    /// As [`Self::load`].
    pub fn reload(self, change: impl FnOnce(&mut LoadOptions)) -> Result<Self> {
        let Self {
            tables,
            counters,
            links,
            mut options,
            pins,
            ..
        } = self;
        drop((tables, counters, links));
        change(&mut options);
        Self::open(options, pins)
    }

    /// Loads the program again upon the same pins, while this one goes on: what a
    /// restarted daemon does while the program of the one before is attached.
    ///
    /// # Errors
    /// As [`Self::load`].
    pub fn successor(&self, change: impl FnOnce(&mut LoadOptions)) -> Result<Self> {
        let mut options = self.options.clone();
        change(&mut options);
        Self::open(options, Arc::clone(&self.pins))
    }

    fn open(options: LoadOptions, pins: Arc<Scratch>) -> Result<Self> {
        let loaded = xdp::load(&options)?;
        Ok(Self {
            tables: loaded.tables,
            counters: loaded.counters,
            links: loaded.links,
            log: loaded.log,
            renewed: loaded.renewed,
            options,
            pins,
        })
    }

    /// The verdict on a frame of at least 14 bytes: the kernel runs no shorter ones.
    ///
    /// # Errors
    /// The kernel refuses the run.
    pub fn run(&mut self, frame: &[u8]) -> Result<Verdict> {
        self.run_many(frame, 1)
    }

    /// The verdict on the last of `times` equal frames.
    ///
    /// # Errors
    /// As [`Self::run`].
    pub fn run_many(&mut self, frame: &[u8], times: u32) -> Result<Verdict> {
        self.test(TestRunOptions {
            data_in: Some(frame),
            repeat: times,
            ..TestRunOptions::default()
        })
    }

    /// The verdict on a frame of which only the first `linear` bytes stand in the
    /// linear part, as a driver with multi-buffer receive may leave it.
    ///
    /// # Errors
    /// As [`Self::run`]; also on a kernel before 6.18, which can't be told.
    pub fn run_split(&mut self, frame: &[u8], linear: u32) -> Result<Verdict> {
        // `struct xdp_md`: data, data_end, data_meta, ingress_ifindex,
        // rx_queue_index, egress_ifindex.
        let context: Vec<u8> = [0, linear, 0, 0, 0, 0]
            .into_iter()
            .flat_map(u32::to_ne_bytes)
            .collect();
        self.test(TestRunOptions {
            data_in: Some(frame),
            ctx_in: Some(&context),
            ..TestRunOptions::default()
        })
    }

    fn test(&mut self, options: TestRunOptions<'_>) -> Result<Verdict> {
        let ran = self.links.program()?.test_run(options)?;
        Ok(match ran.return_value {
            1 => Verdict::Drop,
            2 => Verdict::Pass,
            other => Verdict::Other(other),
        })
    }

    /// Bans a network for ever.
    ///
    /// # Errors
    /// It is no network, or the map does not take it.
    pub fn ban(&mut self, network: &str) -> Result<()> {
        Ok(self.tables.put(&net(network)?, 0)?)
    }

    /// Lifts a ban.
    ///
    /// # Errors
    /// It is no network, or the map does not let go of it.
    pub fn unban(&mut self, network: &str) -> Result<()> {
        Ok(self.tables.remove(&net(network)?)?)
    }

    /// Puts a network on the allow list.
    ///
    /// # Errors
    /// It is no network, or the map does not take it.
    pub fn allow(&mut self, network: &str) -> Result<()> {
        Ok(self.tables.allow(&net(network)?, AllowOrigin::Operator)?)
    }

    /// Takes a network off the allow list.
    ///
    /// # Errors
    /// It is no network, or the map does not let go of it.
    pub fn disallow(&mut self, network: &str) -> Result<()> {
        Ok(self.tables.disallow(&net(network)?)?)
    }

    /// The verdicts of a family so far, summed over the CPUs.
    ///
    /// # Errors
    /// The map can't be read.
    pub fn verdicts(&self, family: Family) -> Result<FamilyCounters> {
        Ok(self.counters.verdicts()?[family as usize])
    }

    /// The drops by offender so far, summed over the CPUs.
    ///
    /// # Errors
    /// A map can't be read.
    pub fn hits(&self) -> Result<BTreeMap<IpNet, Counter>> {
        Ok(self.counters.offenders()?.into_iter().collect())
    }

    /// The folder of the pins.
    pub fn pins(&self) -> &Path {
        self.pins.path()
    }

    /// What bpftool says of a pinned map, as it prints it for programs.
    ///
    /// # Errors
    /// bpftool is not installed, or fails.
    pub fn dump(&self, map: &str) -> Result<Value> {
        let pin = self.pins().join(map);
        bpftool(&["map", "dump", "pinned", &pin.to_string_lossy()])
    }

    /// The program's size in bytes, before the kernel compiles it.
    ///
    /// # Errors
    /// As [`Self::dump`].
    pub fn size(&self) -> Result<u64> {
        let pin = self.pins().join("prog");
        let program = bpftool(&["prog", "show", "pinned", &pin.to_string_lossy()])?;
        program["bytes_xlated"]
            .as_u64()
            .with_context(|| format!("no size in {program}"))
    }
}

/// Now, in ns of `CLOCK_BOOTTIME`: what bans' ends are compared with.
///
/// # Errors
/// The clock can't be read.
pub fn boot_ns() -> Result<u64> {
    let boot = Now::read().context("read CLOCK_BOOTTIME")?.boot;
    u64::try_from(boot.as_nanos()).context("an uptime of centuries")
}

/// A network, or the single address that stands for one.
///
/// # Errors
/// It is neither.
pub fn net(text: &str) -> Result<IpNet> {
    nicban::target::parse_network(text).with_context(|| format!("read {text}"))
}

fn bpftool(arguments: &[&str]) -> Result<Value> {
    let program = process::find_program("bpftool")?;
    let output = process::run(
        std::process::Command::new(program)
            .arg("-j")
            .args(arguments),
    )?;
    let value: Value =
        serde_json::from_str(&output).with_context(|| format!("read bpftool's {output}"))?;
    ensure!(value.get("error").is_none(), "bpftool: {value}");
    Ok(value)
}
