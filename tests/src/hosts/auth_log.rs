//! The log that fail2ban reads, in the format that a machine's syslog writes.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::Path;
use std::time::SystemTime;

use anyhow::{Context as _, Result};

/// A log of sshd's own lines, which come without a time, host and process.
#[derive(Debug)]
pub struct AuthLog {
    file: File,
}

impl AuthLog {
    /// An empty log.
    ///
    /// # Errors
    /// The file can't be made.
    pub fn create(path: &Path) -> Result<Self> {
        let file = OpenOptions::new()
            .create(true)
            .append(true)
            .open(path)
            .with_context(|| format!("create the log {}", path.display()))?;
        Ok(Self { file })
    }

    /// Appends a line of sshd's.
    ///
    /// # Errors
    /// The file system refuses it.
    pub fn append(&mut self, now: SystemTime, message: &str) -> Result<()> {
        let line = format!("{}\n", syslog_line(now, message));
        self.file
            .write_all(line.as_bytes())
            .context("write to the log")
    }
}

/// A line as rsyslog writes it.
fn syslog_line(now: SystemTime, message: &str) -> String {
    let time = humantime::format_rfc3339_micros(now);
    format!("{time} bastion sshd[{}]: {message}", session(message))
}

/// What tells sshd's sessions apart. In a machine's log it is the session's pid,
/// by which fail2ban's filter joins the lines of one session. sshd writes no pid
/// to stderr, but the client's port does as well.
fn session(message: &str) -> u16 {
    let mut words = message
        .split(' ')
        .skip_while(|word| *word != "port")
        .skip(1);
    words.next().and_then(|port| port.parse().ok()).unwrap_or(1)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_line_has_time_host_and_session() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        assert_eq!(
            syslog_line(
                now,
                "Failed password for root from 203.0.113.1 port 40123 ssh2"
            ),
            "2023-11-14T22:13:20.000000Z bastion sshd[40123]: Failed password for root from 203.0.113.1 port 40123 ssh2"
        );
    }

    #[test]
    fn a_line_of_no_session_has_the_listeners() {
        assert_eq!(session("Server listening on 0.0.0.0 port 22."), 1);
        assert_eq!(session("Received signal 15; terminating."), 1);
    }
}
