//! A network namespace: a host of its own, as far as packets go.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::path::PathBuf;
use std::process::Command;
use std::thread;

use anyhow::{Context as _, Result};
use ipnet::IpNet;
use nix::sched::{CloneFlags, setns};

use super::leftovers::{self, own_name, prepare};
use crate::process;

/// A network namespace with its loopback up; removed on drop, with every
/// process that still runs in it.
#[derive(Debug)]
pub struct Namespace {
    name: String,
}

impl Namespace {
    /// A new namespace, named after its role and this process.
    ///
    /// # Errors
    /// Not root, or `ip netns add` fails.
    pub fn new(role: &str) -> Result<Self> {
        prepare()?;
        let name = own_name(role);
        process::run(Command::new("ip").args(["netns", "add", &name]))?;
        let namespace = Self { name };
        namespace.ip(&["link", "set", "lo", "up"])?;
        Ok(namespace)
    }

    /// Its name, for `ip netns exec`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// A command that will run in it.
    ///
    /// `nsenter` and not `ip netns exec`, which also mounts a fresh `/sys`: that
    /// hides the BPF file system.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new("nsenter");
        command
            .arg(format!("--net={}", self.path().display()))
            .arg("--")
            .arg(program);
        command
    }

    /// Runs a command in it to its end, and gives what it wrote to stdout.
    ///
    /// # Errors
    /// The command can't be started, or fails.
    pub fn run(&self, command: &[&str]) -> Result<String> {
        self.run_with_input(command, "")
    }

    /// As [`Self::run`], with `input` on stdin.
    ///
    /// # Errors
    /// As [`Self::run`].
    pub fn run_with_input(&self, command: &[&str], input: &str) -> Result<String> {
        let (program, arguments) = command.split_first().context("an empty command")?;
        process::run_with_input(self.command(program).args(arguments), input)
    }

    /// Starts a command in it that runs until it is dropped.
    ///
    /// # Errors
    /// The command can't be started.
    pub fn spawn(&self, command: &[&str]) -> Result<process::Process> {
        let (program, arguments) = command.split_first().context("an empty command")?;
        process::Process::spawn(program, self.command(program).args(arguments))
    }

    /// Runs a closure on a thread inside it. A socket that the closure makes
    /// stays in the namespace, wherever it is used afterwards.
    ///
    /// # Errors
    /// The namespace can't be entered.
    pub fn enter<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T> {
        let path = self.path();
        let file = File::open(&path).with_context(|| format!("open {}", path.display()))?;
        let inside = || {
            setns(&file, CloneFlags::CLONE_NEWNET)
                .with_context(|| format!("enter {}", path.display()))?;
            Ok(work())
        };
        thread::scope(|scope| match scope.spawn(inside).join() {
            Ok(result) => result,
            Err(panic) => std::panic::resume_unwind(panic),
        })
    }

    /// Runs `ip` in it.
    ///
    /// # Errors
    /// The command fails.
    pub fn ip(&self, arguments: &[&str]) -> Result<String> {
        process::run(Command::new("ip").args(["-n", &self.name]).args(arguments))
    }

    /// Gives an interface an address, usable at once.
    ///
    /// # Errors
    /// The interface is unknown, or has the address already.
    pub fn add_address(&self, interface: &str, address: IpNet) -> Result<()> {
        let address_text = address.to_string();
        let mut arguments = vec!["address", "add", &address_text, "dev", interface];
        if matches!(address, IpNet::V6(_)) {
            // No duplicate address detection: it keeps an address unusable for a second.
            arguments.push("nodad");
        }
        self.ip(&arguments).map(drop)
    }

    /// Adds a route, given as `ip route add` takes it.
    ///
    /// # Errors
    /// The command fails.
    pub fn add_route(&self, route: &[&str]) -> Result<()> {
        let family = if route.iter().any(|word| word.contains(':')) {
            "-6"
        } else {
            "-4"
        };
        self.ip(&[&[family, "route", "add"], route].concat())
            .map(drop)
    }

    /// Sets a variable below `/proc/sys/net`, such as `ipv4/ip_forward`.
    ///
    /// # Errors
    /// The variable is unknown, or doesn't take the value.
    pub fn sysctl(&self, variable: &str, value: &str) -> Result<()> {
        self.enter(|| fs::write(format!("/proc/sys/net/{variable}"), value))?
            .with_context(|| format!("set net/{variable} to {value} in {}", self.name))
    }

    /// Makes it forward packets of both families.
    ///
    /// # Errors
    /// A sysctl can't be written.
    pub fn make_router(&self) -> Result<()> {
        self.sysctl("ipv4/ip_forward", "1")?;
        self.sysctl("ipv6/conf/all/forwarding", "1")
    }

    fn path(&self) -> PathBuf {
        PathBuf::from("/run/netns").join(&self.name)
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        leftovers::remove_namespace(&self.name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_and_closures_run_inside() {
        let namespace = Namespace::new("test").unwrap();
        let links = namespace.run(&["ip", "-o", "link"]).unwrap();
        assert_eq!(
            links.lines().count(),
            1,
            "a loopback and nothing else: {links}"
        );
        let inside = namespace
            .enter(|| fs::read_link("/proc/thread-self/ns/net").unwrap())
            .unwrap();
        assert_ne!(inside, fs::read_link("/proc/thread-self/ns/net").unwrap());
    }

    #[test]
    fn a_dropped_namespace_is_gone_with_its_processes() {
        let namespace = Namespace::new("test").unwrap();
        let path = namespace.path();
        // setsid: a daemon is not our child any more.
        namespace
            .run(&["sh", "-c", "setsid sleep 61 >/dev/null 2>&1 &"])
            .unwrap();
        // It may not have become `sleep` yet.
        let daemon = crate::wait::until(
            "the daemon starts",
            std::time::Duration::from_secs(10),
            || {
                let pids = namespace.run(&["ip", "netns", "pids", namespace.name()])?;
                Ok(pids
                    .lines()
                    .find(|pid| {
                        fs::read_to_string(format!("/proc/{pid}/cmdline"))
                            .is_ok_and(|command| command.contains("sleep"))
                    })
                    .map(str::to_owned))
            },
        )
        .unwrap();
        drop(namespace);
        assert!(!path.exists());
        let state = fs::read_to_string(format!("/proc/{daemon}/stat")).unwrap_or_default();
        assert!(state.is_empty() || state.contains(") Z"), "{state}");
    }

    #[test]
    fn a_sysctl_is_the_namespaces_own() {
        let namespace = Namespace::new("test").unwrap();
        namespace.make_router().unwrap();
        let inside = namespace
            .run(&["cat", "/proc/sys/net/ipv4/ip_forward"])
            .unwrap();
        assert_eq!(inside.trim(), "1");
    }
}
