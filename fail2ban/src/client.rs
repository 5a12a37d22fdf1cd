//! A blocking client of the daemon's socket.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use crate::{Reply, Request};

/// One connection to the daemon.
#[derive(Debug)]
pub struct Client {
    stream: BufReader<UnixStream>,
}

/// What went wrong between client and daemon.
#[derive(Debug)]
pub struct ClientError(String);

impl std::fmt::Display for ClientError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for ClientError {}

impl Client {
    /// Connects to the socket at `path`; each read and write takes at most `timeout`.
    pub fn connect(path: &Path, timeout: Duration) -> Result<Self, ClientError> {
        let fail = |source: std::io::Error| {
            ClientError(format!("cannot connect to {}: {source}", path.display()))
        };
        let stream = UnixStream::connect(path).map_err(fail)?;
        stream.set_read_timeout(Some(timeout)).map_err(fail)?;
        stream.set_write_timeout(Some(timeout)).map_err(fail)?;
        Ok(Self {
            stream: BufReader::new(stream),
        })
    }

    /// Sends a request, waits for its reply.
    pub fn call(&mut self, request: &Request) -> Result<Reply, ClientError> {
        let mut line = serde_json::to_vec(request).map_err(|e| ClientError(e.to_string()))?;
        line.push(b'\n');
        self.stream
            .get_mut()
            .write_all(&line)
            .map_err(|e| ClientError(e.to_string()))?;
        let mut reply = String::new();
        self.stream
            .read_line(&mut reply)
            .map_err(|e| ClientError(e.to_string()))?;
        serde_json::from_str(&reply).map_err(|e| ClientError(e.to_string()))
    }
}
