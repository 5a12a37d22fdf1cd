//! A daemon's process, and what it says on its socket.

use std::fs::{self, File};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use nicban_protocol::{Ban, BanRow, Client, Outcome, Refusal, Reply, Request, Status};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::net::Namespace;
use crate::wait;

/// Far beyond what any request takes.
const TIMEOUT: Duration = Duration::from_secs(10);

/// How long a daemon may take to come up or to stop on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// How a program ended, and what it said.
#[derive(Debug)]
pub struct Ran {
    /// Its exit status; -1 where a signal ended it.
    pub code: i32,
    /// What it wrote to stdout.
    pub stdout: String,
    /// What it wrote to stderr.
    pub stderr: String,
}

impl Ran {
    /// Runs a command to its end.
    ///
    /// # Errors
    /// It can't be started.
    pub fn to_end(command: &mut Command) -> Result<Self> {
        let output = command
            .stdin(Stdio::null())
            .output()
            .with_context(|| format!("run {command:?}"))?;
        Ok(Self {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        })
    }

    /// What it wrote to stdout, if it ended well.
    ///
    /// # Errors
    /// It ended otherwise; the error holds what it said.
    pub fn well(self) -> Result<String> {
        ensure!(self.code == 0, "ended with {}: {}", self.code, self.stderr);
        Ok(self.stdout)
    }

    /// What it wrote to stderr, if it ended with `code`.
    ///
    /// # Errors
    /// It ended otherwise; the error holds what it said.
    pub fn with_code(self, code: i32) -> Result<String> {
        ensure!(
            self.code == code,
            "ended with {}, not {code}: {}{}",
            self.code,
            self.stdout,
            self.stderr
        );
        Ok(self.stderr)
    }
}

/// What a daemon is started with.
#[derive(Debug, Clone)]
pub struct Start {
    /// The `nicban` binary.
    pub program: PathBuf,
    /// The configuration, in TOML.
    pub config: String,
    /// The socket that the configuration names.
    pub socket: PathBuf,
    /// Environment variables: where the stand-ins are.
    pub environment: Vec<(String, String)>,
}

/// A daemon; killed on drop.
#[derive(Debug)]
pub struct Daemon {
    child: Child,
    socket: PathBuf,
    log: PathBuf,
}

impl Daemon {
    /// Starts one on a host, and waits until it answers. Its configuration and its
    /// log go into `folder`.
    ///
    /// # Errors
    /// It ends, or doesn't answer in time.
    pub fn start(host: &Namespace, folder: &Path, start: &Start) -> Result<Self> {
        let file = folder.join("nicban.toml");
        fs::write(&file, &start.config).with_context(|| format!("write {}", file.display()))?;
        let mut command = host.command(&start.program);
        remove_inherited(&mut command);
        command
            .args(["daemon", "--config"])
            .arg(&file)
            .env("HOME", folder)
            .envs(start.environment.iter().cloned())
            .stdin(Stdio::null());
        Self::spawn(&mut command, &start.socket, &folder.join("daemon.log"))?.ready()
    }

    /// Starts a command that becomes a daemon, and doesn't wait for it.
    ///
    /// # Errors
    /// The command can't be started.
    pub fn spawn(command: &mut Command, socket: &Path, log: &Path) -> Result<Self> {
        let output = File::options()
            .create(true)
            .append(true)
            .open(log)
            .with_context(|| format!("open {}", log.display()))?;
        let child = command
            .stdout(output.try_clone().context("share the log")?)
            .stderr(output)
            .spawn()
            .with_context(|| format!("start {command:?}"))?;
        Ok(Self {
            child,
            socket: socket.to_owned(),
            log: log.to_owned(),
        })
    }

    /// Waits until it answers.
    ///
    /// # Errors
    /// It ends, or doesn't answer in time.
    pub fn ready(mut self) -> Result<Self> {
        self.until_up()?;
        Ok(self)
    }

    /// As [`Self::ready`]; the status that it answers with.
    ///
    /// # Errors
    /// As [`Self::ready`].
    pub fn until_up(&mut self) -> Result<Status> {
        wait::until("the daemon answers", PATIENCE, || {
            if let Some(status) = self.child.try_wait().context("wait for the daemon")? {
                bail!("the daemon has ended ({status}):\n{}", self.log());
            }
            Ok(self.status().ok())
        })
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it and its predecessors on this site wrote.
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Whether it still runs.
    ///
    /// # Errors
    /// It can't be looked at.
    pub fn is_alive(&mut self) -> Result<bool> {
        let status = self.child.try_wait().context("wait for the daemon")?;
        Ok(status.is_none())
    }

    /// Fails with its log when it has ended.
    ///
    /// # Errors
    /// It has ended, or can't be looked at.
    pub fn expect_alive(&mut self) -> Result<()> {
        ensure!(self.is_alive()?, "the daemon has ended:\n{}", self.log());
        Ok(())
    }

    /// Waits for it to end by itself.
    ///
    /// # Errors
    /// It goes on.
    pub fn end(&mut self) -> Result<ExitStatus> {
        let deadline = Instant::now() + wait::patient(PATIENCE);
        loop {
            if let Some(status) = self.child.try_wait().context("wait for the daemon")? {
                return Ok(status);
            }
            ensure!(
                Instant::now() < deadline,
                "the daemon goes on:\n{}",
                self.log()
            );
            thread::sleep(Duration::from_millis(2));
        }
    }

    /// Sends it a signal.
    ///
    /// # Errors
    /// It has ended.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        let pid = i32::try_from(self.child.id()).context("a pid above i32")?;
        kill(Pid::from_raw(pid), signal).with_context(|| format!("send {signal}"))
    }

    /// Stops it as systemd does, and expects a good end.
    ///
    /// # Errors
    /// It ends badly, or not at all.
    pub fn stop(mut self) -> Result<()> {
        self.signal(Signal::SIGTERM)?;
        let status = self.end()?;
        ensure!(status.success(), "stopped with {status}:\n{}", self.log());
        Ok(())
    }

    /// Ends it without a warning, as a crash or the OOM killer does.
    ///
    /// # Errors
    /// It has ended already.
    pub fn kill(mut self) -> Result<()> {
        self.expect_alive()?;
        self.child.kill().context("kill the daemon")?;
        self.child.wait().context("wait for the daemon").map(drop)
    }

    /// A connection to its socket.
    ///
    /// # Errors
    /// It doesn't listen.
    pub fn client(&self) -> Result<Client> {
        Ok(Client::connect(&self.socket, TIMEOUT)?)
    }

    /// Asks it something.
    ///
    /// # Errors
    /// It doesn't answer.
    pub fn ask(&self, request: &Request) -> Result<Reply> {
        Ok(self.client()?.call(request)?)
    }

    /// Asks it to do something: what changed.
    ///
    /// # Errors
    /// It doesn't answer, or refuses.
    pub fn does(&self, request: &Request) -> Result<Outcome> {
        match self.ask(request)? {
            Reply::Done { outcome, .. } => Ok(outcome),
            Reply::Attached { interfaces, .. } if interfaces.is_empty() => Ok(Outcome::Unchanged),
            Reply::Attached { .. } => Ok(Outcome::Ok),
            other => bail!("{request:?} was answered by {other:?}"),
        }
    }

    /// Asks it to do what it should refuse: the refusal.
    ///
    /// # Errors
    /// It doesn't answer, or does it.
    pub fn refuses(&self, request: &Request) -> Result<Refusal> {
        match self.ask(request)? {
            Reply::Refused(refusal) => Ok(refusal),
            other => bail!("{request:?} was answered by {other:?}"),
        }
    }

    /// A ban by a holder, `bantime` seconds from `time` on.
    ///
    /// # Errors
    /// It doesn't answer, or refuses.
    pub fn ban(&self, holder: &str, address: &str, time: i64, bantime: i64) -> Result<Outcome> {
        self.does(&Request::Ban(ban(holder, address, time, bantime)))
    }

    /// A holder lets go of an address.
    ///
    /// # Errors
    /// It doesn't answer, or refuses.
    pub fn unban(&self, holder: &str, address: &str) -> Result<Outcome> {
        self.does(&Request::Unban {
            address: address.to_owned(),
            holder: Some(holder.to_owned()),
        })
    }

    /// Its state at a glance; the counters are up to a tick old.
    ///
    /// # Errors
    /// It doesn't answer, or answers something else.
    pub fn status(&self) -> Result<Status> {
        let mut client = self.client()?;
        // The status is published after the answers: one more question to the engine,
        // and what was answered before is in it.
        client.call(&Request::Check {
            holder: "test".to_owned(),
        })?;
        match client.call(&Request::Status {})? {
            Reply::Status(status) => Ok(*status),
            other => bail!("the status is {other:?}"),
        }
    }

    /// Waits until the status is as it should be.
    ///
    /// # Errors
    /// It isn't in time; the error tells what it is.
    pub fn until_status(&self, what: &str, is: impl Fn(&Status) -> bool) -> Result<Status> {
        let found = wait::until(what, Duration::from_secs(8), || {
            Ok(Some(self.status()?).filter(&is))
        });
        found.with_context(|| format!("the status: {:?}\n{}", self.status(), self.log()))
    }

    /// Every ban in force.
    ///
    /// # Errors
    /// It doesn't answer, or answers something else.
    pub fn bans(&self) -> Result<Vec<BanRow>> {
        let mut client = self.client()?;
        let (mut rows, mut after) = (Vec::new(), None);
        loop {
            let request = Request::List {
                after,
                address: None,
                holder: None,
            };
            match client.call(&request)? {
                Reply::Bans { bans, next } => {
                    rows.extend(bans);
                    after = next;
                }
                other => bail!("the list is {other:?}"),
            }
            if after.is_none() {
                return Ok(rows);
            }
        }
    }

    /// An address's ban, if there is one.
    ///
    /// # Errors
    /// It doesn't answer, or answers something else.
    pub fn ban_of(&self, address: IpAddr) -> Result<Option<BanRow>> {
        let request = Request::List {
            after: None,
            address: Some(address.to_string()),
            holder: None,
        };
        match self.ask(&request)? {
            Reply::Bans { bans, .. } => Ok(bans.into_iter().next()),
            other => bail!("the list is {other:?}"),
        }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // One that was stopped or killed has been waited for already.
        if let Ok(None) = self.child.try_wait()
            && let Err(error) = self.child.kill().and_then(|()| self.child.wait())
        {
            eprintln!("end the daemon: {error}");
        }
        if thread::panicking() {
            eprintln!("--- the daemon's log ---\n{}", self.log());
        }
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

/// A ban as a jail tells it.
pub fn ban(holder: &str, address: &str, time: i64, bantime: i64) -> Ban {
    Ban {
        holder: holder.to_owned(),
        address: address.to_owned(),
        time,
        bantime,
        bancount: 1,
        failures: 5,
        restored: false,
        reason: None,
    }
}
