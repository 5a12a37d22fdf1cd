//! `[metrics]`: Prometheus.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::str::FromStr;

use super::reader::Section;
use super::values;

/// `[metrics]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Metrics {
    /// Whether to serve them.
    pub enabled: bool,
    /// Where.
    pub listen: Loopback,
}

/// Outside 9100 to 9999, which the registry of Prometheus' exporters has given away.
const DEFAULT_PORT: u16 = 10_187;

impl Default for Metrics {
    fn default() -> Self {
        Self {
            enabled: true,
            listen: Loopback(SocketAddr::new(
                IpAddr::V4(Ipv4Addr::LOCALHOST),
                DEFAULT_PORT,
            )),
        }
    }
}

/// A TCP address on loopback: the metrics name those who attack, and have no password.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Loopback(SocketAddr);

impl Loopback {
    /// The address; port 0 lets the kernel choose.
    pub const fn get(self) -> SocketAddr {
        self.0
    }
}

impl FromStr for Loopback {
    type Err = String;

    fn from_str(written: &str) -> Result<Self, String> {
        written
            .parse::<SocketAddr>()
            .ok()
            .filter(|address| address.ip().to_canonical().is_loopback())
            .map(Self)
            .ok_or_else(|| {
                "a loopback address and a port, such as \"127.0.0.1:10187\" or \"[::1]:10187\"; \
                 to reach the metrics from elsewhere, put a proxy with a password before them"
                    .to_owned()
            })
    }
}

impl Metrics {
    pub(super) fn read(section: &mut Section<'_, '_>) -> Self {
        let default = Self::default();
        Self {
            enabled: section.get("enabled", default.enabled, values::boolean),
            listen: section.get(
                "listen",
                default.listen,
                values::parsed("an address and a port in quotes"),
            ),
        }
    }
}
