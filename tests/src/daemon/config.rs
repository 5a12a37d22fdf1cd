//! A daemon's configuration, key by key.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

/// Sections, each with its keys and their values in TOML.
#[derive(Debug, Clone, Default)]
pub struct DaemonConfig(BTreeMap<String, BTreeMap<String, String>>);

impl DaemonConfig {
    /// A daemon that keeps to one folder and one folder of pins, counts often, and
    /// speaks to no cloud. Its maps are small: loading it is quick.
    pub(super) fn new(folder: &Path, pins: &Path) -> Self {
        let quoted = |path: &Path| format!("{:?}", path.display().to_string());
        Self::default()
            .set("daemon", "socket", &quoted(&folder.join("socket")))
            .set("daemon", "state_dir", &quoted(&folder.join("state")))
            .set("xdp", "interfaces", "[\"eth0\"]")
            .set("xdp", "pin_dir", &quoted(pins))
            .set("xdp", "max_bans", "4096")
            .set("xdp", "max_nets", "256")
            .set("xdp", "max_offenders", "1024")
            .set("fail2ban", "flush_hold", "\"1s\"")
            .set("rank", "tick", "\"100ms\"")
            .set("nacl", "enabled", "\"off\"")
            .set("metrics", "enabled", "false")
            .set("log", "target", "\"stderr\"")
    }

    /// With another value for a key, which may be unknown or wrong.
    #[must_use]
    pub fn set(mut self, section: &str, key: &str, value: &str) -> Self {
        let keys = self.0.entry(section.to_owned()).or_default();
        keys.insert(key.to_owned(), value.to_owned());
        self
    }

    /// As TOML.
    pub fn to_toml(&self) -> String {
        let mut text = String::new();
        for (section, keys) in &self.0 {
            // Writing to a string can't fail.
            writeln!(text, "[{section}]").ok();
            for (key, value) in keys {
                writeln!(text, "{key} = {value}").ok();
            }
        }
        text
    }
}
