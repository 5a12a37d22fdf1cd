//! The programs that nicban's is measured beside: see `ebpf/src/baselines.rs`.

use anyhow::{Context as _, Result};
use aya::maps::{Array, HashMap};
use aya::programs::{TestRun as _, TestRunOptions, TestRunResult, Xdp};
use aya::{Ebpf, EbpfLoader};

static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/nicban-baselines"));

/// `enum xdp_action` in include/uapi/linux/bpf.h.
pub(super) const XDP_DROP: u32 = 1;
/// As [`XDP_DROP`].
pub(super) const XDP_PASS: u32 = 2;

/// One frame in so many comes from the innocent, as the program has it.
pub(super) const INNOCENT_SHARE: u32 = 16;

/// Whom frames come from, as the program puts it into them.
#[derive(Debug, Clone, Copy)]
pub(super) struct Source {
    /// The IPv4 header's checksum.
    pub(super) checksum: [u8; 2],
    pub(super) address: [u8; 4],
    /// Where its packets go.
    pub(super) port: u16,
}

impl Source {
    fn octets(self) -> [u8; 8] {
        let ([c0, c1], [a0, a1, a2, a3]) = (self.checksum, self.address);
        let [p0, p1] = self.port.to_be_bytes();
        [c0, c1, a0, a1, a2, a3, p0, p1]
    }
}

/// One of the programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Baseline {
    /// Returns `XDP_DROP`.
    Drop,
    /// Returns `XDP_PASS`.
    Pass,
    /// Looks an IPv4 source up in a kernel hash.
    LookupV4,
    /// Looks the /64 of an IPv6 source up in a kernel hash.
    LookupV6,
    /// Sends each frame from one of some sources.
    Flood,
}

impl Baseline {
    fn name(self) -> &'static str {
        match self {
            Self::Drop => "bare_drop",
            Self::Pass => "bare_pass",
            Self::LookupV4 => "lookup_v4",
            Self::LookupV6 => "lookup_v6",
            Self::Flood => "flood",
        }
    }
}

/// A loaded program; gone when dropped, attachments too.
#[derive(Debug)]
pub(super) struct Loaded {
    object: Ebpf,
    baseline: Baseline,
}

impl Loaded {
    /// One that needs no maps.
    pub(super) fn bare(baseline: Baseline) -> Result<Self> {
        Self::load(baseline, EbpfLoader::new().map_max_entries("sources", 1))
    }

    /// [`Baseline::LookupV4`] with these addresses in its hash.
    pub(super) fn lookup_v4(addresses: impl ExactSizeIterator<Item = [u8; 4]>) -> Result<Self> {
        let room = u32::try_from(addresses.len().max(1)).context("too many addresses")?;
        let mut loaded = Self::load(
            Baseline::LookupV4,
            EbpfLoader::new()
                .map_max_entries("bare_v4", room)
                .map_max_entries("sources", 1),
        )?;
        let mut map: HashMap<_, u32, u64> = loaded.map("bare_v4")?.try_into()?;
        for address in addresses {
            map.insert(u32::from_ne_bytes(address), 0, 0)
                .context("fill the hash")?;
        }
        Ok(loaded)
    }

    /// [`Baseline::LookupV6`] with these halves of addresses in its hash.
    pub(super) fn lookup_v6(halves: impl ExactSizeIterator<Item = [u8; 8]>) -> Result<Self> {
        let room = u32::try_from(halves.len().max(1)).context("too many addresses")?;
        let mut loaded = Self::load(
            Baseline::LookupV6,
            EbpfLoader::new()
                .map_max_entries("bare_v6", room)
                .map_max_entries("sources", 1),
        )?;
        let mut map: HashMap<_, u64, u64> = loaded.map("bare_v6")?.try_into()?;
        for half in halves {
            map.insert(u64::from_ne_bytes(half), 0, 0)
                .context("fill the hash")?;
        }
        Ok(loaded)
    }

    /// [`Baseline::Flood`] from these sources, with one frame in [`INNOCENT_SHARE`] from
    /// the innocent ones, if there are any; so many ns from one frame to the next, and 0
    /// for as fast as can be.
    pub(super) fn flood(sources: &[Source], innocent: &[Source], interval: u32) -> Result<Self> {
        let count = |sources: &[Source]| u32::try_from(sources.len()).context("too many sources");
        let (flooding, innocents) = (count(sources)?, count(innocent)?);
        let mut loaded = Self::load(
            Baseline::Flood,
            EbpfLoader::new()
                .map_max_entries("sources", flooding + innocents)
                .override_global("SOURCE_COUNT", &flooding, true)
                .override_global("INNOCENT_COUNT", &innocents, true)
                .override_global("INTERVAL", &interval, true),
        )?;
        let mut map: Array<_, u64> = loaded.map("sources")?.try_into()?;
        for (index, source) in (0..).zip(sources.iter().chain(innocent)) {
            map.set(index, u64::from_le_bytes(source.octets()), 0)
                .context("set a source")?;
        }
        Ok(loaded)
    }

    fn load(baseline: Baseline, loader: &mut EbpfLoader<'_>) -> Result<Self> {
        let object = loader.load(OBJECT).context("load the baselines")?;
        let mut own = Self { object, baseline };
        let name = baseline.name();
        own.program()?
            .load()
            .with_context(|| format!("load the program {name}"))?;
        Ok(own)
    }

    fn map(&mut self, name: &str) -> Result<&mut aya::maps::Map> {
        self.object
            .map_mut(name)
            .with_context(|| format!("the baselines have no map {name}"))
    }

    /// The program.
    pub(super) fn program(&mut self) -> Result<&mut Xdp> {
        let name = self.baseline.name();
        let program = self
            .object
            .program_mut(name)
            .with_context(|| format!("the baselines have no program {name}"))?;
        Ok(program.try_into()?)
    }

    /// Runs it by `BPF_PROG_TEST_RUN`.
    pub(super) fn test_run(&mut self, options: TestRunOptions<'_>) -> Result<TestRunResult> {
        let name = self.baseline.name();
        self.program()?
            .test_run(options)
            .with_context(|| format!("run the program {name}"))
    }
}
