//! What the kernel has, past the daemon: pinned maps, links, the program.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};
use serde_json::Value;

use crate::process;

/// A folder of pins, read with bpftool.
#[derive(Debug, Clone)]
pub struct Pins(PathBuf);

impl Pins {
    pub(super) fn new(folder: &Path) -> Self {
        Self(folder.to_owned())
    }

    /// A pin's path.
    pub fn path(&self, pin: &str) -> PathBuf {
        self.0.join(pin)
    }

    /// The id of the pinned program.
    ///
    /// # Errors
    /// It is not pinned.
    pub fn program_id(&self) -> Result<u64> {
        let shown = self.show("prog", "prog")?;
        shown["id"].as_u64().context("a program without an id")
    }

    /// The id of an interface's link, and of the program that it runs.
    ///
    /// # Errors
    /// It is not pinned.
    pub fn link(&self, interface: &str) -> Result<(u64, u64)> {
        let shown = self.show("link", &format!("link_{interface}"))?;
        let number = |key: &str| shown[key].as_u64().with_context(|| format!("no {key}"));
        Ok((number("id")?, number("prog_id")?))
    }

    /// The entries of a map, as `bpftool -j map dump` tells them.
    ///
    /// # Errors
    /// It is not pinned.
    pub fn dump(&self, map: &str) -> Result<Vec<Value>> {
        let text = bpftool(&["map", "dump", "pinned"], &self.0.join(map))?;
        serde_json::from_str(&text).with_context(|| format!("bpftool wrote {text}"))
    }

    /// The addresses in `bans_v4`.
    ///
    /// # Errors
    /// It is not pinned.
    pub fn banned_v4(&self) -> Result<BTreeSet<Ipv4Addr>> {
        let octet = |byte: &Value| {
            let digits = byte.as_str()?.strip_prefix("0x")?;
            u8::from_str_radix(digits, 16).ok()
        };
        self.dump("bans_v4")?
            .iter()
            .map(|entry| {
                let octets: Option<Vec<u8>> = entry["key"].as_array()?.iter().map(octet).collect();
                Some(Ipv4Addr::from(<[u8; 4]>::try_from(octets?).ok()?))
            })
            .collect::<Option<_>>()
            .context("bpftool wrote a key of another kind")
    }

    fn show(&self, kind: &str, pin: &str) -> Result<Value> {
        let text = bpftool(&[kind, "show", "pinned"], &self.0.join(pin))?;
        serde_json::from_str(&text).with_context(|| format!("bpftool wrote {text}"))
    }
}

fn bpftool(words: &[&str], pin: &Path) -> Result<String> {
    let program = process::find_program("bpftool")?;
    process::run(Command::new(program).arg("-j").args(words).arg(pin))
}
