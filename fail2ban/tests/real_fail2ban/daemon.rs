//! A daemon that takes notes and does nothing else.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use nicban_protocol::{Ban, Outcome, Refusal, RefusalKind, Reply, Request, decode, encode};

/// fail2ban polls log files once in a while, and the machine may be busy.
const PATIENCE: Duration = Duration::from_mins(1);

/// The address that the daemon refuses to ban.
pub(crate) const PROTECTED: &str = "192.0.2.99";

/// What was asked so far, in order.
#[derive(Default)]
struct Notes {
    requests: Mutex<Vec<Request>>,
    changed: Condvar,
}

/// The daemon. It serves until the test ends.
pub(crate) struct Daemon {
    notes: Arc<Notes>,
    /// So many requests have been taken by the test.
    taken: usize,
    /// So many of them by [`Daemon::wait_bans`].
    banned: usize,
}

impl Daemon {
    /// Listens at `socket`.
    pub(crate) fn listen(socket: &Path) -> Self {
        let listener = UnixListener::bind(socket).unwrap();
        let notes = Arc::new(Notes::default());
        let shared = Arc::clone(&notes);
        thread::spawn(move || {
            for stream in listener.incoming() {
                serve(&stream.unwrap(), &shared);
            }
        });
        Self {
            notes,
            taken: 0,
            banned: 0,
        }
    }

    /// What was asked since the last call.
    pub(crate) fn take(&mut self) -> Vec<Request> {
        let requests = self.notes.requests.lock().unwrap();
        let new = requests[self.taken..].to_vec();
        self.taken = requests.len();
        new
    }

    /// The next `count` requests, once they are there.
    pub(crate) fn wait(&mut self, count: usize) -> Vec<Request> {
        let deadline = Instant::now() + PATIENCE;
        let mut requests = self.notes.requests.lock().unwrap();
        while requests.len() < self.taken + count {
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(
                !left.is_zero(),
                "fail2ban asked for {:?}, and {count} requests were awaited",
                &requests[self.taken..]
            );
            requests = self.notes.changed.wait_timeout(requests, left).unwrap().0;
        }
        let new = requests[self.taken..self.taken + count].to_vec();
        self.taken += count;
        new
    }

    /// The next `count` requests, all of them bans.
    pub(crate) fn wait_bans(&mut self, count: usize) -> Vec<Ban> {
        let ban = |request| match request {
            Request::Ban(ban) => ban,
            other => panic!("a ban was awaited, not {other:?}"),
        };
        self.banned += count;
        self.wait(count).into_iter().map(ban).collect()
    }

    /// How many bans [`Daemon::wait_bans`] has given so far.
    pub(crate) fn banned(&self) -> usize {
        self.banned
    }
}

fn serve(stream: &UnixStream, notes: &Notes) {
    let mut line = Vec::new();
    BufReader::new(stream).read_until(b'\n', &mut line).unwrap();
    let request: Request = decode(&line).unwrap();
    let reply = match &request {
        Request::Ban(ban) if ban.address == PROTECTED => Reply::Refused(Refusal {
            kind: RefusalKind::Protected,
            message: "on the allow list\nNOTICE [forged] Unban 192.0.2.1".into(),
        }),
        _ => Reply::Done {
            outcome: Outcome::Enforced,
            note: None,
        },
    };
    // Noted before it is answered: what fail2ban has finished is in the notes.
    notes.requests.lock().unwrap().push(request);
    notes.changed.notify_all();
    (&mut &*stream).write_all(&encode(&reply).unwrap()).unwrap();
}
