//! The nicban daemon on a host.

use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use nicban_protocol::{BanRow, Client, Reply, Request, Status};
use nix::sys::signal::Signal;

use crate::net::Namespace;
use crate::process::Process;
use crate::wait;

/// The socket's time limit: far beyond what any request takes.
const TIMEOUT: Duration = Duration::from_secs(10);

/// What a daemon is started with.
#[derive(Debug, Clone)]
pub struct DaemonConfig {
    /// The `nicban` binary.
    pub program: PathBuf,
    /// The configuration, in TOML.
    pub config: String,
    /// The socket that the configuration names.
    pub socket: PathBuf,
    /// Environment variables: where the stand-ins are.
    pub environment: Vec<(String, String)>,
}

/// A running daemon.
#[derive(Debug)]
pub struct Daemon {
    process: Process,
    socket: PathBuf,
}

impl Daemon {
    /// Starts it, and waits until it answers. Its configuration goes into `folder`.
    ///
    /// # Errors
    /// It ends, or doesn't answer within twenty seconds.
    pub fn start(host: &Namespace, folder: &Path, config: &DaemonConfig) -> Result<Self> {
        let file = folder.join("nicban.toml");
        fs::write(&file, &config.config).with_context(|| format!("write {}", file.display()))?;
        let mut command = host.command(&config.program);
        remove_inherited(&mut command);
        command
            .args(["daemon", "--config"])
            .arg(&file)
            .env("HOME", folder)
            .envs(config.environment.iter().cloned());
        let process = Process::spawn("nicban daemon", &mut command)?;
        let mut daemon = Self {
            process,
            socket: config.socket.clone(),
        };
        wait::until("the nicban daemon answers", Duration::from_secs(20), || {
            daemon.process.expect_alive()?;
            Ok(daemon.status().ok())
        })?;
        Ok(daemon)
    }

    /// Its state at a glance.
    ///
    /// # Errors
    /// It doesn't answer, or answers something else.
    pub fn status(&self) -> Result<Status> {
        match self.ask(&Request::Status {})? {
            Reply::Status(status) => Ok(*status),
            other => bail!("the daemon answered {other:?} when asked for its status"),
        }
    }

    /// Every ban in force.
    ///
    /// # Errors
    /// It doesn't answer, or answers something else.
    pub fn bans(&self) -> Result<Vec<BanRow>> {
        let mut bans = Vec::new();
        let mut after = None;
        loop {
            let request = Request::List {
                after,
                address: None,
                holder: None,
            };
            match self.ask(&request)? {
                Reply::Bans { bans: page, next } => {
                    bans.extend(page);
                    after = next;
                }
                other => bail!("the daemon answered {other:?} when asked for its bans"),
            }
            if after.is_none() {
                return Ok(bans);
            }
        }
    }

    /// An address's ban, if there is one.
    ///
    /// # Errors
    /// It doesn't answer, or answers something else.
    pub fn ban(&self, address: IpAddr) -> Result<Option<BanRow>> {
        let request = Request::List {
            after: None,
            address: Some(address.to_string()),
            holder: None,
        };
        match self.ask(&request)? {
            Reply::Bans { bans, .. } => Ok(bans.into_iter().next()),
            other => bail!("the daemon answered {other:?} when asked for {address}"),
        }
    }

    /// Ends it without a warning, as a crash or the OOM killer does.
    ///
    /// # Errors
    /// It has ended already.
    pub fn kill(&mut self) -> Result<()> {
        self.process.expect_alive()?;
        self.process.signal(Signal::SIGKILL)?;
        self.process.wait(TIMEOUT).map(drop)
    }

    /// What it wrote to its log lately.
    pub fn output(&self) -> String {
        self.process.output()
    }

    /// Fails when it has ended.
    ///
    /// # Errors
    /// It has ended.
    pub fn expect_alive(&mut self) -> Result<()> {
        self.process.expect_alive()
    }

    /// Asks it something.
    ///
    /// # Errors
    /// It doesn't answer.
    pub fn ask(&self, request: &Request) -> Result<Reply> {
        Ok(Client::connect(&self.socket, TIMEOUT)?.call(request)?)
    }
}

/// What a caller's shell may hold of AWS, of proxies and of systemd: a service
/// starts without it, and with it the daemon would talk to somebody else.
fn remove_inherited(command: &mut Command) {
    for (name, _) in std::env::vars_os() {
        let upper = name.to_string_lossy().to_ascii_uppercase();
        let foreign = ["AWS_", "LISTEN_", "NOTIFY_", "WATCHDOG_"];
        if foreign.iter().any(|prefix| upper.starts_with(prefix)) || upper.ends_with("_PROXY") {
            command.env_remove(name);
        }
    }
}
