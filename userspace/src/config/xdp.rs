//! `[xdp]`: the tier on the host.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use nicban_protocol::Mode;
use thiserror::Error;

use super::reader::Section;
use super::{Bounded, values};
use crate::target::Ipv6Prefix;
use crate::xdp::{Attach, ProgramLog};

/// Entries of a map: 1 to 16 Mi.
pub type MapSize = Bounded<1, 16_777_216>;

/// `[xdp]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Xdp {
    /// The interfaces; empty means those of the default routes.
    pub interfaces: Vec<InterfaceName>,
    /// Where program, links and maps are pinned; on a BPF file system. Absolute.
    pub pin_dir: PathBuf,
    /// Whether banned packets are dropped, unless `nicban observe` or `nicban
    /// enforce` has said otherwise since.
    pub mode: Mode,
    /// Where in the receive path to attach.
    pub attach: Attach,
    /// Addresses that can be banned at a time, for each family.
    pub max_bans: MapSize,
    /// Networks that can be banned at a time, for each family, and as many allowed.
    pub max_nets: MapSize,
    /// Offenders that are counted at a time, for each family.
    pub max_offenders: MapSize,
    /// An IPv6 ban covers the whole network of this length around its address.
    pub ipv6_prefix: Ipv6Prefix,
    /// How long the kernel goes on dropping after a ban's end when the daemon is dead.
    pub expiry_grace: Duration,
    /// What the XDP program logs.
    pub program_log: ProgramLog,
}

impl Default for Xdp {
    fn default() -> Self {
        Self {
            interfaces: Vec::new(),
            pin_dir: PathBuf::from("/sys/fs/bpf/nicban"),
            mode: Mode::Enforce,
            attach: Attach::Auto,
            max_bans: MapSize::of::<1_048_576>(),
            max_nets: MapSize::of::<16_384>(),
            max_offenders: MapSize::of::<65_536>(),
            ipv6_prefix: Ipv6Prefix::default(),
            expiry_grace: Duration::from_mins(10),
            program_log: ProgramLog::Off,
        }
    }
}

/// The name of a network interface that the kernel would accept.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InterfaceName(String);

/// The longest name, in bytes: `IFNAMSIZ` (linux/if.h) less its final zero.
const LONGEST_NAME: usize = 15;

/// A name that no interface can have.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "{0:?} is not an interface's name: 1 to {LONGEST_NAME} bytes without blanks, slashes or colons"
)]
pub struct InvalidName(String);

impl InterfaceName {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for InterfaceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for InterfaceName {
    type Err = InvalidName;

    /// The rules of the kernel's `dev_valid_name` (net/core/dev.c).
    fn from_str(name: &str) -> Result<Self, InvalidName> {
        let stranger = |c: char| c.is_whitespace() || c == '/' || c == ':' || c == '\0';
        let length_ok = (1..=LONGEST_NAME).contains(&name.len());
        if length_ok && name != "." && name != ".." && !name.contains(stranger) {
            Ok(Self(name.to_owned()))
        } else {
            Err(InvalidName(name.to_owned()))
        }
    }
}

impl Xdp {
    pub(super) fn read(section: &mut Section<'_, '_>) -> Self {
        let default = Self::default();
        let grace = Duration::ZERO..=Duration::from_hours(7 * 24);
        Self {
            interfaces: section.get(
                "interfaces",
                default.interfaces,
                values::list(
                    "interface names",
                    values::parsed("an interface's name in quotes"),
                ),
            ),
            pin_dir: section.get("pin_dir", default.pin_dir, values::path(4000)),
            mode: section.get(
                "mode",
                default.mode,
                values::word(&[("enforce", Mode::Enforce), ("observe", Mode::Observe)]),
            ),
            attach: section.get(
                "attach",
                default.attach,
                values::word(&[
                    ("auto", Attach::Auto),
                    ("native", Attach::Native),
                    ("generic", Attach::Generic),
                ]),
            ),
            max_bans: section.get("max_bans", default.max_bans, MapSize::parse),
            max_nets: section.get("max_nets", default.max_nets, MapSize::parse),
            max_offenders: section.get("max_offenders", default.max_offenders, MapSize::parse),
            ipv6_prefix: section.get("ipv6_prefix", default.ipv6_prefix, |value| {
                let (shortest, longest) = Ipv6Prefix::RANGE.into_inner();
                let bits = values::integer(shortest.into()..=longest.into())(value)?;
                u8::try_from(bits)
                    .ok()
                    .and_then(Ipv6Prefix::new)
                    .ok_or_else(|| format!("{shortest} to {longest} bits"))
            }),
            expiry_grace: section.get(
                "expiry_grace",
                default.expiry_grace,
                values::duration(grace),
            ),
            program_log: section.get(
                "program_log",
                default.program_log,
                values::word(&[
                    ("off", ProgramLog::Off),
                    ("error", ProgramLog::Error),
                    ("warn", ProgramLog::Warn),
                    ("info", ProgramLog::Info),
                    ("debug", ProgramLog::Debug),
                    ("trace", ProgramLog::Trace),
                ]),
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::InterfaceName;

    #[test]
    fn names_follow_the_kernels_rules() {
        for good in ["eth0", "ens5.100", "enp0s31f6", "a", "wlan0-mon_15byt"] {
            assert!(good.parse::<InterfaceName>().is_ok(), "{good}");
        }
        for bad in [
            "",
            ".",
            "..",
            "eth 0",
            "eth/0",
            "eth0:1",
            "sixteen_bytes_xx",
        ] {
            assert!(bad.parse::<InterfaceName>().is_err(), "{bad}");
        }
    }
}
