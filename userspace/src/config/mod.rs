//! The configuration: a TOML file in, values that can't be wrong out.
//!
//! Every key is documented in `packaging/nicban.toml`, with its unit, range,
//! default and reason.

mod bounded;
mod daemon;
mod error;
mod log;
mod metrics;
mod nacl;
mod networks;
mod principal;
mod rank;
mod reader;
mod values;
mod xdp;

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ipnet::IpNet;

pub use bounded::Bounded;
pub use daemon::{Daemon, SocketMode};
pub use error::{ConfigError, Problem};
pub use log::{Log, LogLevel, LogTarget};
pub use metrics::{Loopback, Metrics};
pub use nacl::{Nacl, NaclEnabled, Quota, Region, RuleNumbers, Subnet};
pub use principal::{Group, PrincipalError, User};
pub use rank::Rank;
pub use xdp::{InterfaceName, InvalidName, MapSize, Xdp};

use reader::{Reader, Section};

/// The file that is read unless another is named; it need not exist.
pub const DEFAULT_FILE: &str = "/etc/nicban/nicban.toml";

/// The whole configuration.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Config {
    /// `[daemon]`: the process and its socket.
    pub daemon: Daemon,
    /// `[xdp]`: the tier on the host.
    pub xdp: Xdp,
    /// `[allow]`: what is never dropped.
    pub allow: Allow,
    /// `[fail2ban]`: how its requests are read.
    pub fail2ban: Fail2ban,
    /// `[rank]`: how offenders are compared.
    pub rank: Rank,
    /// `[nacl]`: the tier at the subnet.
    pub nacl: Nacl,
    /// `[metrics]`: Prometheus.
    pub metrics: Metrics,
    /// `[log]`: the daemon's own words.
    pub log: Log,
}

/// `[allow]`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Allow {
    /// Networks that are never dropped, beside the host's own addresses, its
    /// gateways and link-local. None has a prefix of 0 bits, nor bits beyond its prefix.
    pub networks: Vec<IpNet>,
}

impl Allow {
    fn read(section: &mut Section<'_, '_>) -> Self {
        Self {
            networks: section.get("networks", Vec::new(), networks::parse),
        }
    }
}

/// `[fail2ban]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fail2ban {
    /// How long a flush waits for the stop that makes it a restart: 0 s to 1 min.
    pub flush_hold: Duration,
}

impl Default for Fail2ban {
    fn default() -> Self {
        Self {
            flush_hold: Duration::from_secs(2),
        }
    }
}

impl Fail2ban {
    fn read(section: &mut Section<'_, '_>) -> Self {
        let range = Duration::ZERO..=Duration::from_mins(1);
        Self {
            flush_hold: section.get(
                "flush_hold",
                Self::default().flush_hold,
                values::duration(range),
            ),
        }
    }
}

impl Config {
    /// Reads `path`, which must exist; without one [`DEFAULT_FILE`], which need
    /// not: its absence gives the defaults.
    pub fn load(path: Option<&Path>) -> Result<Self, ConfigError> {
        let file = path.unwrap_or(Path::new(DEFAULT_FILE));
        match std::fs::read_to_string(file) {
            Ok(text) => Self::parse(&text, file),
            Err(error) if error.kind() == ErrorKind::NotFound && path.is_none() => {
                Ok(Self::default())
            }
            Err(source) => Err(ConfigError::Read {
                file: PathBuf::from(file),
                source,
            }),
        }
    }

    /// Reads `text`; `file` is the name that errors give.
    pub fn parse(text: &str, file: &Path) -> Result<Self, ConfigError> {
        let invalid = |problems| ConfigError::Invalid {
            file: file.to_owned(),
            problems,
        };
        let (config, problems, _) = read(text).map_err(|problem| invalid(vec![problem]))?;
        if problems.is_empty() {
            Ok(config)
        } else {
            Err(invalid(problems))
        }
    }
}

/// The configuration, its problems, and the keys that there are.
fn read(text: &str) -> Result<(Config, Vec<Problem>, BTreeSet<String>), Problem> {
    let mut reader = Reader::new(text)?;
    let rank = reader.section("rank", Rank::read);
    let config = Config {
        daemon: reader.section("daemon", Daemon::read),
        xdp: reader.section("xdp", Xdp::read),
        allow: reader.section("allow", Allow::read),
        fail2ban: reader.section("fail2ban", Fail2ban::read),
        nacl: reader.section("nacl", |section| Nacl::read(section, &rank)),
        metrics: reader.section("metrics", Metrics::read),
        log: reader.section("log", Log::read),
        rank,
    };
    let (problems, keys) = reader.finish();
    Ok((config, problems, keys))
}

#[cfg(test)]
mod tests;
