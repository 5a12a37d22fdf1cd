//! A host to be guarded, an outside, and a daemon's folders.

use std::fs;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};
use nix::unistd::Uid;

use super::{Daemon, DaemonConfig, Pins, Program, Ran, Start, Target, Wire, program};
use crate::net::{Link, Namespace, Scratch, veth};

/// The host's address.
pub const HOST: &str = "192.0.2.1";
/// The host's IPv6 address.
pub const HOST_V6: &str = "2001:db8::1";
/// Where packets for the host go.
pub const TARGET: Target = Target {
    mac: MAC,
    v4: Ipv4Addr::new(192, 0, 2, 1),
    v6: Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1),
};

/// The host's gateway.
pub const GATEWAY: &str = "192.0.2.254";
/// The host's IPv6 gateway.
pub const GATEWAY_V6: &str = "2001:db8::fe";
/// A client that nobody bans.
pub const HONEST: &str = "203.0.113.200";
/// The same over IPv6.
pub const HONEST_V6: &str = "2001:db8:600d::1";

/// The MAC address of the host's interfaces.
const MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];
/// The same, as it is written.
pub const MAC_TEXT: &str = "02:00:00:00:00:01";

/// The host and the outside, connected by a cable between their `eth0`.
#[derive(Debug)]
pub struct Site {
    host: Namespace,
    outside: Namespace,
    folder: Scratch,
    pins: Scratch,
}

impl Site {
    /// A site without a daemon.
    ///
    /// # Errors
    /// Not root, or the namespaces can't be made.
    pub fn new() -> Result<Self> {
        let site = Self {
            host: Namespace::new("host")?,
            outside: Namespace::new("outside")?,
            folder: Scratch::new("daemon")?,
            pins: Scratch::pins("pins"),
        };
        site.cable("eth0")?;
        site.host
            .add_address("eth0", format!("{HOST}/24").parse()?)?;
        site.host
            .add_address("eth0", format!("{HOST_V6}/64").parse()?)?;
        for gateway in [GATEWAY, GATEWAY_V6] {
            site.host.add_route(&["default", "via", gateway])?;
        }
        Ok(site)
    }

    /// The host to be guarded.
    pub fn host(&self) -> &Namespace {
        &self.host
    }

    /// Where the offenders are.
    pub fn outside(&self) -> &Namespace {
        &self.outside
    }

    /// Connects the two by one more cable, of the same name at both ends.
    ///
    /// # Errors
    /// There is such an interface already.
    pub fn cable(&self, interface: &str) -> Result<()> {
        veth(
            Link::with_mac(&self.host, interface, MAC_TEXT),
            Link::new(&self.outside, interface),
        )
    }

    /// Packets over the first cable.
    ///
    /// # Errors
    /// As [`Self::wire_on`].
    pub fn wire(&self) -> Result<Wire<'_>> {
        self.wire_on("eth0")
    }

    /// Packets over a cable; one wire for each interface at a time.
    ///
    /// # Errors
    /// There is no such interface.
    pub fn wire_on(&self, interface: &str) -> Result<Wire<'_>> {
        Wire::new((&self.outside, interface), (&self.host, TARGET), interface)
    }

    /// A configuration for a daemon of this site, on `eth0`.
    pub fn config(&self) -> DaemonConfig {
        DaemonConfig::new(self.folder.path(), self.pins.path())
    }

    /// Where the daemon's files are.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Where the daemon listens.
    pub fn socket(&self) -> PathBuf {
        self.folder.path().join("socket")
    }

    /// What the daemon has pinned.
    pub fn pins(&self) -> Pins {
        Pins::new(self.pins.path())
    }

    /// Writes a configuration for the daemon and the commands.
    ///
    /// # Errors
    /// It can't be written.
    pub fn write(&self, config: &DaemonConfig) -> Result<PathBuf> {
        let file = self.folder.path().join("nicban.toml");
        fs::write(&file, config.to_toml()).with_context(|| format!("write {}", file.display()))?;
        Ok(file)
    }

    /// Starts a daemon, and waits until it answers.
    ///
    /// # Errors
    /// It ends, or doesn't answer in time.
    pub fn start(&self, config: &DaemonConfig) -> Result<Daemon> {
        let start = Start {
            program: program(Program::Nicban)?,
            config: config.to_toml(),
            socket: self.socket(),
            environment: Vec::new(),
        };
        Daemon::start(&self.host, self.folder.path(), &start)
    }

    /// Starts a daemon that inherits a listening socket, as systemd hands it over
    /// (`sd_listen_fds(3)`), and doesn't wait for it.
    ///
    /// # Errors
    /// It can't be started.
    pub fn start_activated(&self, config: &DaemonConfig, listener: OwnedFd) -> Result<Daemon> {
        let inner = self.host.command(program(Program::Nicban)?);
        let mut command = Command::new("sh");
        // The socket comes as stdin, and every later program keeps the shell's pid.
        command
            .args([
                "-c",
                "exec 3<&0 </dev/null; export LISTEN_FDS=1 LISTEN_PID=$$; exec \"$@\"",
                "sh",
            ])
            .arg(inner.get_program())
            .args(inner.get_args())
            .args(["daemon", "--config"])
            .arg(self.write(config)?)
            .stdin(listener);
        Daemon::spawn(&mut command, &self.socket(), &self.log())
    }

    /// Runs a daemon that is expected to end by itself, soon.
    ///
    /// # Errors
    /// It goes on for ten seconds.
    pub fn start_in_vain(&self, config: &DaemonConfig) -> Result<Ran> {
        let file = self.folder.path().join("in_vain.toml");
        fs::write(&file, config.to_toml()).with_context(|| format!("write {}", file.display()))?;
        let mut command = self.host.command("timeout");
        command
            .arg("10")
            .arg(program(Program::Nicban)?)
            .args(["daemon", "--config"])
            .arg(file);
        Ran::to_end(&mut command)
    }

    /// Runs one of the operator's commands.
    ///
    /// # Errors
    /// It can't be started.
    pub fn nicban(&self, words: &[&str]) -> Result<Ran> {
        Ran::to_end(&mut self.nicban_command(words)?)
    }

    /// One of the operator's commands, with the configuration written last.
    ///
    /// # Errors
    /// The program is not built.
    pub fn nicban_command(&self, words: &[&str]) -> Result<Command> {
        let mut command = self.host.command(program(Program::Nicban)?);
        command
            .args(words)
            .arg("--config")
            .arg(self.folder.path().join("nicban.toml"));
        Ok(command)
    }

    /// Runs what fail2ban would.
    ///
    /// # Errors
    /// It can't be started.
    pub fn action(&self, words: &[&str]) -> Result<Ran> {
        let mut command = Command::new(program(Program::Action)?);
        command.arg("--socket").arg(self.socket()).args(words);
        Ran::to_end(&mut command)
    }

    /// Runs what fail2ban would, as another user.
    ///
    /// # Errors
    /// It can't be started.
    pub fn action_as(&self, user: Uid, words: &[&str]) -> Result<Ran> {
        let mut command = Command::new("setpriv");
        command
            .arg(format!("--reuid={user}"))
            .arg(format!("--regid={user}"))
            .args(["--clear-groups", "--"])
            .arg(program(Program::Action)?)
            .arg("--socket")
            .arg(self.socket())
            .args(words);
        Ran::to_end(&mut command)
    }

    fn log(&self) -> PathBuf {
        self.folder.path().join("daemon.log")
    }
}
