//! A daemon for the tests of the commands: answers as it is told.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixListener;
use std::path::PathBuf;

use nicban_protocol::{Reply, Request};

use super::link::Link;

/// Listens until the test ends.
pub(super) struct Standin {
    folder: tempfile::TempDir,
}

impl Standin {
    /// Answers every request by `answer`, one connection after the other.
    pub(super) fn new(mut answer: impl FnMut(Request) -> Reply + Send + 'static) -> Self {
        let standin = Self {
            folder: tempfile::tempdir().unwrap(),
        };
        let listener = UnixListener::bind(standin.socket()).unwrap();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let stream = stream.unwrap();
                for line in BufReader::new(&stream).lines() {
                    let reply = answer(serde_json::from_str(&line.unwrap()).unwrap());
                    let mut reply = serde_json::to_vec(&reply).unwrap();
                    reply.push(b'\n');
                    (&stream).write_all(&reply).unwrap();
                }
            }
        });
        standin
    }

    fn socket(&self) -> PathBuf {
        self.folder.path().join("socket")
    }

    /// The commands' way to it.
    pub(super) fn link(&self) -> Link {
        Link::to(self.socket())
    }
}
