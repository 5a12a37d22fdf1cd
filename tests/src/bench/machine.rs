//! What the figures were measured on.

use std::fs;
use std::process::Command;

use serde::Serialize;

use crate::daemon::Ran;
use crate::process;

/// The machine, its kernel, and the peers' versions.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Machine {
    pub(super) cpu: String,
    pub(super) cores: usize,
    pub(super) memory_gib: f64,
    pub(super) kernel: String,
    /// Each peer and its version; "not installed" where it is missing.
    pub(super) versions: Vec<(&'static str, String)>,
}

/// The programs, and what makes them tell their version.
const PEERS: [(&str, &[&str]); 6] = [
    ("xdp-filter", &["load", "--version"]),
    ("nft", &["--version"]),
    ("ipset", &["--version"]),
    ("iptables", &["--version"]),
    ("fail2ban-server", &["--version"]),
    ("bpftool", &["version"]),
];

impl Machine {
    /// This one.
    pub(super) fn look() -> Self {
        Self {
            cpu: cpu_model(&read("/proc/cpuinfo")),
            cores: std::thread::available_parallelism().map_or(1, Into::into),
            memory_gib: gib(memory(&read("/proc/meminfo"), "MemTotal")),
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            versions: PEERS
                .into_iter()
                .map(|(name, arguments)| (name, version(name, arguments)))
                .collect(),
        }
    }

    /// In a line.
    pub(super) fn line(&self) -> String {
        format!(
            "{}, {} cores, {:.0} GiB, Linux {}",
            self.cpu, self.cores, self.memory_gib, self.kernel
        )
    }

    /// The peers' versions, in a line.
    pub(super) fn peers(&self) -> String {
        let told = self
            .versions
            .iter()
            .map(|(name, version)| format!("{name} {version}"));
        told.collect::<Vec<_>>().join(", ")
    }
}

/// Bytes of memory that can be had.
pub(super) fn available() -> u64 {
    memory(&read("/proc/meminfo"), "MemAvailable")
}

fn read(file: &str) -> String {
    fs::read_to_string(file).unwrap_or_default()
}

fn cpu_model(cpuinfo: &str) -> String {
    cpuinfo
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(": "))
        .map_or_else(
            || "unknown processor".to_owned(),
            |(_, model)| model.to_owned(),
        )
}

/// A line of `/proc/meminfo`, in bytes; 0 if it isn't there.
fn memory(meminfo: &str, name: &str) -> u64 {
    meminfo
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
        .and_then(|rest| rest.trim().strip_suffix(" kB")?.parse::<u64>().ok())
        .map_or(0, |kib| kib * 1024)
}

#[expect(
    clippy::cast_precision_loss,
    reason = "shown with no digit after the point"
)]
fn gib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 30)
}

fn version(program: &str, arguments: &[&str]) -> String {
    let Ok(path) = process::find_program(program) else {
        return "not installed".to_owned();
    };
    // Some tell it on stderr.
    let said = Ran::to_end(Command::new(path).args(arguments))
        .map_or_else(|_| String::new(), |ran| ran.stdout + &ran.stderr);
    number_in(&said).map_or_else(|| "of unknown version".to_owned(), str::to_owned)
}

/// The first word that is a version: digits and points, after a `v` or not.
fn number_in(said: &str) -> Option<&str> {
    said.split_whitespace()
        .map(|word| word.trim_start_matches('v').trim_end_matches([',', ';']))
        .find(|word| {
            word.contains('.')
                && word.starts_with(|first: char| first.is_ascii_digit())
                && word
                    .chars()
                    .all(|letter| letter.is_ascii_digit() || letter == '.')
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_found_in_what_the_programs_say() {
        for (said, version) in [
            ("nftables v1.0.6 (Lester Gooch #5)", Some("1.0.6")),
            ("ipset v7.17, protocol version: 7", Some("7.17")),
            ("Fail2Ban v1.0.2", Some("1.0.2")),
            ("no number", None),
        ] {
            assert_eq!(number_in(said), version, "{said}");
        }
    }

    #[test]
    fn memory_is_read_in_bytes() {
        let meminfo = "MemTotal:       24576 kB\nMemAvailable:    1024 kB\n";
        assert_eq!(memory(meminfo, "MemTotal"), 24 << 20);
        assert_eq!(memory(meminfo, "MemAvailable"), 1 << 20);
        assert_eq!(memory(meminfo, "SwapTotal"), 0);
    }

    #[test]
    fn this_machine_has_a_kernel_and_memory() {
        let machine = Machine::look();
        assert!(
            machine.kernel.contains('.') && machine.memory_gib > 0.0,
            "{machine:?}"
        );
    }
}
