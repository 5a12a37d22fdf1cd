//! What Prometheus reads of a host's daemon.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use crate::net::Namespace;

/// How long the daemon may take over an answer.
const TIMEOUT: Duration = Duration::from_secs(5);

/// One answer of the metrics' listener.
#[derive(Debug, Clone)]
pub struct Scrape(String);

impl Scrape {
    /// Scrapes the daemon's default address, as the host sees it: the port is its
    /// namespace's own.
    ///
    /// # Errors
    /// Nothing listens there, or it answers something else than metrics.
    pub fn of(host: &Namespace) -> Result<Self> {
        let mut stream = host
            .enter(|| TcpStream::connect("127.0.0.1:10187"))?
            .context("connect to the metrics")?;
        stream.set_read_timeout(Some(TIMEOUT))?;
        stream
            .write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
        let mut text = String::new();
        stream.read_to_string(&mut text)?;
        ensure!(text.starts_with("HTTP/1.1 200"), "no metrics: {text}");
        Ok(Self(text))
    }

    /// The value of a series, given as it is written.
    pub fn value(&self, series: &str) -> Option<u64> {
        self.0
            .lines()
            .find_map(|line| line.strip_prefix(series)?.strip_prefix(' ')?.parse().ok())
    }
}
