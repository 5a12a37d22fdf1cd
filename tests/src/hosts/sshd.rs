//! A real sshd with accounts of its own.

use std::fs;
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, Result};

use super::auth_log::AuthLog;
use super::keys::Keys;
use crate::net::Namespace;
use crate::process::{Process, find_program};
use crate::wait;

/// The host's own passwords: root's is none, so that only a key opens it. The
/// machine's shadow file is out of reach, so that no guess ever meets a real password.
const PASSWORDS: &str = "root:*:19000:0:99999:7:::\nsshd:!:19000::::::\n";

/// Starts sshd in a mount namespace of its own, where the host's accounts are
/// those of the files given: passwd, shadow, sshd, its configuration.
const START: &str =
    r#"mount --bind "$1" /etc/passwd && mount --bind "$2" /etc/shadow && exec "$3" -D -e -f "$4""#;

/// The folder that sshd's unprivileged half is locked into (Debian's build).
const PRIVSEP_FOLDER: &str = "/run/sshd";

/// A running sshd on port 22 of a host.
#[derive(Debug)]
pub struct Sshd {
    process: Process,
    log: PathBuf,
}

impl Sshd {
    /// Starts it, and waits until it answers. `visitor` may log in as root.
    ///
    /// # Errors
    /// sshd is not installed, or doesn't come up within ten seconds.
    pub fn start(host: &Namespace, folder: &Path, visitor: &Keys) -> Result<Self> {
        let log_path = folder.join("auth.log");
        let config = write_files(folder, visitor)?;
        let mut log = AuthLog::create(&log_path)?;
        let mut command = host.command("unshare");
        command
            .args(["--mount", "--propagation", "private", "sh", "-c"])
            .arg(START)
            .arg("sshd")
            .args([
                folder.join("passwd"),
                folder.join("shadow"),
                find_program("sshd")?,
                config,
            ]);
        let mut process = Process::spawn_with("sshd", &mut command, move |line| {
            if let Err(error) = log.append(SystemTime::now(), line) {
                eprintln!("{error:#}");
            }
        })?;
        let listens = || {
            Ok(host
                .enter(|| TcpStream::connect("127.0.0.1:22").is_ok())?
                .then_some(()))
        };
        wait::until("sshd listens", Duration::from_secs(10), || {
            process.expect_alive()?;
            listens()
        })?;
        Ok(Self {
            process,
            log: log_path,
        })
    }

    /// The log that fail2ban is to read.
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// Fails when it has ended.
    ///
    /// # Errors
    /// It has ended.
    pub fn expect_alive(&mut self) -> Result<()> {
        self.process.expect_alive()
    }
}

fn write_files(folder: &Path, visitor: &Keys) -> Result<PathBuf> {
    fs::create_dir_all(PRIVSEP_FOLDER).with_context(|| format!("make {PRIVSEP_FOLDER}"))?;
    let host_key = Keys::generate(folder, "host_key")?;
    fs::write(folder.join("passwd"), accounts(folder)).context("write the accounts")?;
    let shadow = folder.join("shadow");
    fs::write(&shadow, PASSWORDS).context("write the passwords")?;
    fs::set_permissions(&shadow, fs::Permissions::from_mode(0o600))
        .context("protect the passwords")?;
    let config = folder.join("sshd_config");
    fs::write(&config, config_text(&host_key.private, &visitor.public))
        .context("write sshd's configuration")?;
    Ok(config)
}

/// The host's own accounts. Root has a home and a shell of its own, since a login
/// would run what the machine's root has in its `.bashrc`.
fn accounts(home: &Path) -> String {
    format!(
        "root:x:0:0:root:{}:/bin/sh\nsshd:x:65533:65534::{PRIVSEP_FOLDER}:/usr/sbin/nologin\n",
        home.display()
    )
}

/// What differs from sshd's defaults, and why.
fn config_text(host_key: &Path, authorised: &Path) -> String {
    format!(
        "HostKey {}\n\
         AuthorizedKeysFile {}\n\
         # The keys lie in a temporary folder, which others may write to.\n\
         StrictModes no\n\
         PidFile none\n\
         UseDNS no\n\
         # PAM would ask the machine's own modules.\n\
         UsePAM no\n\
         PermitRootLogin prohibit-password\n\
         # All attackers at a time are more than sshd's own limit lets in.\n\
         MaxStartups 500\n\
         PrintMotd no\n\
         PrintLastLog no\n",
        host_key.display(),
        authorised.display()
    )
}
