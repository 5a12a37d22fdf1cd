//! A real fail2ban of one's own: the stock configuration, the shipped action and jail.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use std::{env, fs, iter};

use anyhow::{Context as _, Result};

use super::edition::Edition;
use crate::net::Namespace;
use crate::process::{self, Process};
use crate::wait;

/// What a fail2ban is started with.
#[derive(Debug, Clone)]
pub struct Fail2banConfig {
    /// Which fail2ban.
    pub edition: Edition,
    /// nicban's files for it: the folder with `action.d` and `jail.d`.
    pub shipped: PathBuf,
    /// Settings of its jails beyond those, as `jail.local` takes them.
    pub jail_local: String,
    /// The `nicban-action` binary; `nicban` lies beside it.
    pub action: PathBuf,
    /// The daemon's socket.
    pub socket: PathBuf,
}

/// A running fail2ban.
#[derive(Debug)]
pub struct Fail2ban {
    process: Process,
    edition: Edition,
    settings: PathBuf,
    socket: PathBuf,
}

impl Fail2ban {
    /// Starts it in the foreground, and waits until its `sshd` jail is up.
    ///
    /// # Errors
    /// fail2ban is not installed, refuses its configuration, or isn't up within
    /// thirty seconds.
    pub fn start(host: &Namespace, folder: &Path, config: &Fail2banConfig) -> Result<Self> {
        let (settings, socket) = (folder.join("fail2ban"), folder.join("fail2ban.sock"));
        let edition = config.edition.clone();
        let client = edition.program("fail2ban-client")?;
        let client = format!(
            "{} -c {} -s {}",
            client.display(),
            settings.display(),
            socket.display()
        );
        write_settings(&settings, folder, config, &client)?;
        let process = Process::spawn(
            "fail2ban",
            edition
                .modules(&mut host.command(edition.program("fail2ban-server")?))
                .env("PATH", beside(&config.action)?)
                .args(["-f", "-x", "-c"])
                .arg(&settings)
                .arg("-s")
                .arg(&socket)
                .arg("-p")
                .arg(folder.join("fail2ban.pid"))
                .arg("start"),
        )?;
        let mut fail2ban = Self {
            process,
            edition,
            settings,
            socket,
        };
        wait::until(
            "fail2ban's sshd jail is up",
            Duration::from_secs(30),
            || {
                fail2ban.process.expect_alive()?;
                Ok(fail2ban.client(&["status", "sshd"]).ok())
            },
        )?;
        Ok(fail2ban)
    }

    /// Runs fail2ban-client against it.
    ///
    /// # Errors
    /// The command is refused.
    pub fn client(&self, arguments: &[&str]) -> Result<String> {
        let mut command = Command::new(self.edition.program("fail2ban-client")?);
        process::run(
            self.edition
                .modules(&mut command)
                .arg("-c")
                .arg(&self.settings)
                .arg("-s")
                .arg(&self.socket)
                .args(arguments),
        )
    }

    /// Gives it other jails, as `jail.local` takes them; a reload makes them work.
    ///
    /// # Errors
    /// The file can't be written.
    pub fn set_jails(&self, jail_local: &str) -> Result<()> {
        fs::write(self.settings.join("jail.local"), jail_local).context("write fail2ban's jails")
    }

    /// Stops it as systemd does, and waits until it is gone.
    ///
    /// # Errors
    /// It doesn't end within thirty seconds.
    pub fn stop(&mut self) -> Result<()> {
        self.client(&["stop"])?;
        self.process.wait(Duration::from_secs(30)).map(drop)
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.process.pid()
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
}

/// `PATH` with the folder that a program lies in before all others.
fn beside(program: &Path) -> Result<OsString> {
    let folder = program.parent().context("a program without a folder")?;
    let inherited = env::var_os("PATH").unwrap_or_default();
    let folders = iter::once(folder.to_owned()).chain(env::split_paths(&inherited));
    env::join_paths(folders).context("put the program's folder into PATH")
}

fn write_settings(
    settings: &Path,
    folder: &Path,
    config: &Fail2banConfig,
    client: &str,
) -> Result<()> {
    copy_stock(&config.edition.stock(), settings)?;
    for kind in ["action.d", "jail.d"] {
        copy_files(&config.shipped.join(kind), &settings.join(kind))?;
    }
    let write = |name: &str, text: &str| {
        fs::write(settings.join(name), text).with_context(|| format!("write fail2ban's {name}"))
    };
    write(
        "fail2ban.local",
        &format!(
            "[DEFAULT]\nlogtarget = STDERR\ndbfile = {}\n",
            folder.join("fail2ban.sqlite3").display()
        ),
    )?;
    write(
        "action.d/nicban.local",
        &format!(
            "[Init]\nnicban = {}\nsocket = {}\nclient = {client}\n",
            config.action.display(),
            config.socket.display()
        ),
    )?;
    write("jail.local", &config.jail_local)
}

/// The distribution's own files, and none of what this machine's owner has added:
/// their jails watch other logs.
fn copy_stock(stock: &Path, settings: &Path) -> Result<()> {
    for kind in ["action.d", "filter.d", "jail.d"] {
        copy_files(&stock.join(kind), &settings.join(kind))?;
    }
    copy_files(stock, settings)
}

fn copy_files(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to).with_context(|| format!("make {}", to.display()))?;
    let entries = fs::read_dir(from).with_context(|| format!("read {}", from.display()))?;
    for entry in entries {
        let path = entry
            .with_context(|| format!("read {}", from.display()))?
            .path();
        let Some(name) = path.file_name() else {
            continue;
        };
        if path
            .extension()
            .is_some_and(|kind| kind == "conf" || kind == "py")
        {
            fs::copy(&path, to.join(name)).with_context(|| format!("copy {}", path.display()))?;
        }
    }
    Ok(())
}
