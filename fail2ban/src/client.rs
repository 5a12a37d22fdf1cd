//! A blocking client of the daemon's socket.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use crate::line::{LineError, Splitter, decode, encode};
use crate::{InvalidRequest, RefusalKind, Reply, Request};

/// What to do next, at the end of every error that a daemon may cure.
const NEXT: &str = "look at: systemctl status nicban.socket nicban";

/// Between two tries: long enough to cost nothing, far below what a person notices.
const PAUSE: Duration = Duration::from_millis(50);

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// A value is out of its bounds; nothing was sent.
    #[error("{0}")]
    Invalid(#[from] InvalidRequest),
    /// The request does not fit one line; nothing was sent.
    #[error("cannot send the request: {0}")]
    Unsendable(#[source] LineError),
    /// Nobody listens on the socket, or it may not be opened.
    #[error("cannot connect to {}: {source}; {}", .socket.display(), advice(.source))]
    Connect {
        /// Where the daemon should be.
        socket: PathBuf,
        /// The system's verdict.
        source: io::Error,
    },
    /// Setting up, sending or receiving failed.
    #[error("cannot {operation} {}: {source}; {NEXT}", .socket.display())]
    Io {
        /// What was tried.
        operation: &'static str,
        /// Where.
        socket: PathBuf,
        /// The system's verdict.
        source: io::Error,
    },
    /// The daemon took or gave nothing for too long. Whether it acted is unknown.
    #[error("no answer on {} within {} s; {NEXT}", .socket.display(), .timeout.as_secs_f32())]
    TimedOut {
        /// Where.
        socket: PathBuf,
        /// The limit.
        timeout: Duration,
    },
    /// The daemon hung up before it answered. Whether it acted is unknown.
    #[error("{} was closed before the answer came; {NEXT}", .socket.display())]
    Closed {
        /// Where.
        socket: PathBuf,
    },
    /// The answer cannot be read.
    #[error("the answer on {} is {source}; are nicban and nicban-action of one version?",
        .socket.display())]
    BadReply {
        /// Where.
        socket: PathBuf,
        /// What is wrong with it.
        source: LineError,
    },
}

fn advice(source: &io::Error) -> &'static str {
    if source.kind() == io::ErrorKind::PermissionDenied {
        "run this as root, or as a member of the socket's group"
    } else {
        NEXT
    }
}

impl ClientError {
    /// Whether a daemon that restarts explains it, so that asking again may help.
    ///
    /// Every request may be repeated: asking twice leaves what asking once leaves.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Connect { source, .. } => matches!(
                source.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused
            ),
            Self::Io { source, .. } => matches!(
                source.kind(),
                io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset
            ),
            Self::Closed { .. } => true,
            Self::Invalid(_)
            | Self::Unsendable(_)
            | Self::TimedOut { .. }
            | Self::BadReply { .. } => false,
        }
    }
}

/// One connection to the daemon.
#[derive(Debug)]
pub struct Client {
    socket: PathBuf,
    timeout: Duration,
    stream: UnixStream,
    lines: Splitter,
}

impl Client {
    /// Connects to the daemon at `path`.
    ///
    /// Each later read or write waits at most `timeout`, which is not zero. The connection
    /// itself waits only while the listener's backlog is full.
    pub fn connect(path: &Path, timeout: Duration) -> Result<Self, ClientError> {
        let stream = UnixStream::connect(path).map_err(|source| ClientError::Connect {
            socket: path.to_owned(),
            source,
        })?;
        stream
            .set_read_timeout(Some(timeout))
            .and_then(|()| stream.set_write_timeout(Some(timeout)))
            .map_err(|source| ClientError::Io {
                operation: "set the time limit of",
                socket: path.to_owned(),
                source,
            })?;
        Ok(Self {
            socket: path.to_owned(),
            timeout,
            stream,
            lines: Splitter::new(),
        })
    }

    /// Sends one request and waits for its reply.
    ///
    /// The whole exchange waits at most about twice the connection's time limit. After an error the
    /// connection is of no more use: what comes next might be the answer to the request before.
    pub fn call(&mut self, request: &Request) -> Result<Reply, ClientError> {
        request.validate()?;
        let line = encode(request).map_err(ClientError::Unsendable)?;
        self.stream
            .write_all(&line)
            .map_err(|source| self.failed("write to", source))?;
        let reply = self.read_line()?;
        decode(&reply).map_err(|source| self.bad_reply(source))
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "the client is an edge: it waits on the real clock"
    )]
    fn read_line(&mut self) -> Result<Vec<u8>, ClientError> {
        let deadline = Instant::now() + self.timeout;
        let mut chunk = [0; 4096];
        loop {
            match self.lines.next_line() {
                Some(Ok(line)) => return Ok(line),
                Some(Err(source)) => return Err(self.bad_reply(source)),
                // A daemon that trickles bytes must not hold fail2ban for ever.
                None if Instant::now() >= deadline => return Err(self.timed_out()),
                None => {}
            }
            match self.stream.read(&mut chunk) {
                Ok(0) => {
                    return Err(ClientError::Closed {
                        socket: self.socket.clone(),
                    });
                }
                Ok(length) => self.lines.push(&chunk[..length]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(source) => return Err(self.failed("read from", source)),
            }
        }
    }

    fn failed(&self, operation: &'static str, source: io::Error) -> ClientError {
        match source.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => self.timed_out(),
            _ => ClientError::Io {
                operation,
                socket: self.socket.clone(),
                source,
            },
        }
    }

    fn timed_out(&self) -> ClientError {
        ClientError::TimedOut {
            socket: self.socket.clone(),
            timeout: self.timeout,
        }
    }

    fn bad_reply(&self, source: LineError) -> ClientError {
        ClientError::BadReply {
            socket: self.socket.clone(),
            source,
        }
    }
}

/// How long [`ask`] may take.
#[derive(Debug, Clone, Copy)]
pub struct Timing {
    /// For each read and write of one try; not zero.
    pub timeout: Duration,
    /// How long to go on trying while the daemon is away or stopping; zero tries once.
    pub patience: Duration,
}

/// Asks one request over a connection of its own, again and again while the daemon restarts.
///
/// Under socket activation a request waits in the listening socket, and there is nothing to
/// repeat. Without it the socket is gone for a moment, and a ban must not be.
#[expect(
    clippy::disallowed_methods,
    reason = "the client is an edge: it waits on the real clock"
)]
pub fn ask(path: &Path, timing: Timing, request: &Request) -> Result<Reply, ClientError> {
    let deadline = Instant::now() + timing.patience;
    loop {
        let outcome = Client::connect(path, timing.timeout).and_then(|mut c| c.call(request));
        let again = match &outcome {
            Ok(Reply::Refused(refusal)) => refusal.kind == RefusalKind::Unavailable,
            Ok(_) => false,
            Err(error) => error.is_transient(),
        };
        if !again || Instant::now() + PAUSE > deadline {
            return outcome;
        }
        thread::sleep(PAUSE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{MAX_LINE, Outcome, Refusal};
    use std::io::{BufRead, BufReader};
    use std::os::unix::net::UnixListener;

    const LONG: Duration = Duration::from_secs(30);
    const ONCE: Timing = Timing {
        timeout: LONG,
        patience: Duration::ZERO,
    };
    const DONE: &[u8] = b"{\"reply\":\"done\",\"outcome\":\"ok\"}\n";

    fn check() -> Request {
        Request::Check {
            holder: "sshd".into(),
        }
    }

    fn ok() -> Reply {
        Reply::Done {
            outcome: Outcome::Ok,
            note: None,
        }
    }

    /// Serves one connection after another, each with the next answer, then gives the requests.
    fn serve(listener: UnixListener, answers: Vec<Vec<u8>>) -> thread::JoinHandle<Vec<String>> {
        thread::spawn(move || {
            let mut seen = Vec::new();
            for answer in answers {
                let (mut stream, _) = listener.accept().unwrap();
                let mut line = String::new();
                BufReader::new(&stream).read_line(&mut line).unwrap();
                seen.push(line);
                // The client may have hung up on an answer that is too long.
                stream.write_all(&answer).ok();
            }
            seen
        })
    }

    fn scene(
        answers: Vec<Vec<u8>>,
    ) -> (tempfile::TempDir, PathBuf, thread::JoinHandle<Vec<String>>) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s");
        let server = serve(UnixListener::bind(&path).unwrap(), answers);
        (folder, path, server)
    }

    #[test]
    fn one_line_out_one_line_in() {
        let (_folder, path, server) = scene(vec![DONE.to_vec()]);
        assert_eq!(ask(&path, ONCE, &check()).unwrap(), ok());
        assert_eq!(
            server.join().unwrap(),
            ["{\"op\":\"check\",\"holder\":\"sshd\"}\n"]
        );
    }

    #[test]
    fn a_connection_carries_many_requests() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s");
        let listener = UnixListener::bind(&path).unwrap();
        let server = thread::spawn(move || {
            let (stream, _) = listener.accept().unwrap();
            BufReader::new(&stream)
                .lines()
                .map(|_| (&stream).write_all(DONE).unwrap())
                .count()
        });
        let mut client = Client::connect(&path, LONG).unwrap();
        for _ in 0..3 {
            assert_eq!(client.call(&check()).unwrap(), ok());
        }
        drop(client);
        assert_eq!(server.join().unwrap(), 3);
    }

    #[test]
    fn nobody_there_is_said_with_the_path_and_the_next_step() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("gone");
        let error = ask(&path, ONCE, &check()).unwrap_err();
        assert!(matches!(error, ClientError::Connect { .. }));
        let text = error.to_string();
        assert!(text.contains(path.to_str().unwrap()), "{text}");
        assert!(
            text.contains("systemctl status nicban.socket nicban"),
            "{text}"
        );
    }

    #[test]
    fn a_daemon_that_restarts_loses_no_ban() {
        let unavailable = encode(&Reply::Refused(Refusal {
            kind: RefusalKind::Unavailable,
            message: "stopping".into(),
        }))
        .unwrap();
        // Hangs up without an answer, then says that it is stopping, then is back.
        let (_folder, path, server) = scene(vec![Vec::new(), unavailable, DONE.to_vec()]);
        let patient = Timing {
            timeout: LONG,
            patience: LONG,
        };
        assert_eq!(ask(&path, patient, &check()).unwrap(), ok());
        assert_eq!(server.join().unwrap().len(), 3);
    }

    #[test]
    fn a_socket_that_appears_late_is_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s");
        let late = path.clone();
        let asker = thread::spawn(move || {
            ask(
                &late,
                Timing {
                    timeout: LONG,
                    patience: LONG,
                },
                &check(),
            )
        });
        // A dead socket file first: it refuses, which is the other face of a restart.
        drop(UnixListener::bind(&path).unwrap());
        std::fs::remove_file(&path).unwrap();
        let server = serve(UnixListener::bind(&path).unwrap(), vec![DONE.to_vec()]);
        assert_eq!(asker.join().unwrap().unwrap(), ok());
        server.join().unwrap();
    }

    #[test]
    fn without_patience_a_hang_up_is_an_error() {
        let (_folder, path, server) = scene(vec![Vec::new()]);
        assert!(matches!(
            ask(&path, ONCE, &check()),
            Err(ClientError::Closed { .. })
        ));
        server.join().unwrap();
    }

    #[test]
    fn silence_ends_at_the_time_limit() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s");
        let _listener = UnixListener::bind(&path).unwrap();
        let hasty = Timing {
            timeout: Duration::from_millis(20),
            patience: LONG,
        };
        assert!(matches!(
            ask(&path, hasty, &check()),
            Err(ClientError::TimedOut { .. })
        ));
    }

    #[test]
    fn a_bad_answer_is_an_error() {
        for answer in [b"ok\n".to_vec(), vec![b' '; 2 * MAX_LINE]] {
            let (_folder, path, server) = scene(vec![answer]);
            assert!(matches!(
                ask(&path, ONCE, &check()),
                Err(ClientError::BadReply { .. })
            ));
            server.join().unwrap();
        }
    }

    #[test]
    fn an_invalid_request_is_not_sent() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s");
        let listener = UnixListener::bind(&path).unwrap();
        listener.set_nonblocking(true).unwrap();
        let mut client = Client::connect(&path, LONG).unwrap();
        let request = Request::Stop {
            holder: "a\nb".into(),
        };
        assert!(matches!(
            client.call(&request),
            Err(ClientError::Invalid(_))
        ));
        let (stream, _) = listener.accept().unwrap();
        stream.set_nonblocking(true).unwrap();
        let nothing = (&stream).read(&mut [0; 1]).unwrap_err();
        assert_eq!(nothing.kind(), io::ErrorKind::WouldBlock);
    }
}
