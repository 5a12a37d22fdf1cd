//! Which of fail2ban's threads started this process.
//!
//! fail2ban runs one and the same `actionflush` at a jail's stop and at `unban --all`, and the
//! two mean the opposite. But a jail stops in its own thread, which is named after it, and
//! `unban --all` is carried out by the server's main thread, as is the flush of an action that
//! a reload takes out of its jail. Linux lists a process under the
//! thread that started it (`/proc/PID/task/TID/children`, `proc_pid_task` in proc(5)).
//!
//! The daemon alone could only wait whether a stop follows, and for how long? Between the two
//! fail2ban logs each ban (measured: 4,000 bans, 0.2 s), and unbans each by those actions of
//! the jail that have no flush (400 bans and one command each, 5.8 s); systemd may kill it
//! meanwhile, and then the stop never comes.

use std::path::Path;
use std::{fs, io};

/// How the thread of a jail that carries out its bans is called, up to the jail's name
/// (`Actions.__init__` in fail2ban's `server/actions.py`). The kernel cuts it at 15 bytes.
const JAIL_THREAD: &str = "f2b/a.";

/// This process, a shell or two, fail2ban.
const MAX_GENERATIONS: usize = 4;

/// How the server's main thread is called: as its program, which the kernel cuts at 15 bytes.
const SERVER_THREAD: &str = "fail2ban-server";

/// Which of fail2ban's threads it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Starter {
    /// A jail's own: the jail stops.
    Jail,
    /// The server's main thread: somebody asked for it, and the jail goes on.
    Server,
    /// Not to be seen.
    Unknown,
}

/// Which of fail2ban's threads started this process.
///
/// Nothing that goes wrong here is an error: then nothing is known, and the daemon decides by
/// what follows.
pub(crate) fn starter() -> Starter {
    let mut child = std::process::id();
    for _ in 0..MAX_GENERATIONS {
        let Ok(parent) = parent_of(child) else {
            break;
        };
        match starting_thread(parent, child).map(|thread| thread.role(parent)) {
            Ok(Starter::Unknown) | Err(_) => child = parent,
            Ok(known) => return known,
        }
    }
    Starter::Unknown
}

/// A thread of a process.
#[derive(Debug, PartialEq, Eq)]
struct Thread {
    id: u32,
    name: String,
}

impl Thread {
    /// What it is in fail2ban, if `process` is fail2ban.
    ///
    /// The main thread's number is the process's. Where fail2ban cannot name its threads, all of
    /// them are called as the main one: then a jail's thread must not pass for it.
    fn role(&self, process: u32) -> Starter {
        if self.name.starts_with(JAIL_THREAD) {
            Starter::Jail
        } else if self.id == process && self.name == SERVER_THREAD {
            Starter::Server
        } else {
            Starter::Unknown
        }
    }
}

fn parent_of(process: u32) -> io::Result<u32> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat"))?;
    parse_parent(&stat).ok_or_else(|| io::Error::from(io::ErrorKind::InvalidData))
}

/// The fourth field. The second is the program's name in brackets, and may hold anything.
fn parse_parent(stat: &str) -> Option<u32> {
    let (_, after_name) = stat.rsplit_once(") ")?;
    after_name.split(' ').nth(1)?.parse().ok()
}

/// The thread of `parent` that started `child`.
fn starting_thread(parent: u32, child: u32) -> io::Result<Thread> {
    let child = child.to_string();
    for thread in fs::read_dir(format!("/proc/{parent}/task"))? {
        let thread = thread?.path();
        // A thread may end while we look.
        if lists(&thread, &child).unwrap_or(false) {
            let number = thread
                .file_name()
                .and_then(|name| name.to_str()?.parse().ok());
            return Ok(Thread {
                id: number.ok_or(io::ErrorKind::InvalidData)?,
                name: fs::read_to_string(thread.join("comm"))?
                    .trim_end()
                    .to_owned(),
            });
        }
    }
    Err(io::ErrorKind::NotFound.into())
}

fn lists(thread: &Path, child: &str) -> io::Result<bool> {
    let children = fs::read_to_string(thread.join("children"))?;
    Ok(children.split_ascii_whitespace().any(|pid| pid == child))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};
    use std::thread;

    #[test]
    fn the_parent_stands_behind_any_name() {
        assert_eq!(parse_parent("42 (sh) S 41 42 42 0 -1"), Some(41));
        assert_eq!(parse_parent("42 (a) S 7 (b) R 41 42"), Some(41));
        assert_eq!(parse_parent("42 (sh"), None);
        assert_eq!(parse_parent(""), None);
    }

    #[test]
    fn a_child_is_listed_under_the_thread_that_started_it() {
        let found = |name: &str| {
            thread::Builder::new()
                .name(name.to_owned())
                .spawn(|| {
                    let mut child = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
                    let thread = starting_thread(std::process::id(), child.id()).unwrap();
                    assert_eq!(parent_of(child.id()).unwrap(), std::process::id());
                    drop(child.stdin.take());
                    child.wait().unwrap();
                    thread
                })
                .unwrap()
                .join()
                .unwrap()
        };
        let own = std::process::id();
        assert_eq!(found("f2b/a.sshd").role(own), Starter::Jail);
        let nameless = found("fail2ban-server");
        assert_eq!(nameless.name, "fail2ban-server");
        assert_eq!(nameless.role(own), Starter::Unknown);
    }

    #[test]
    fn only_fail2bans_own_main_thread_is_the_server() {
        let role = |id, name: &str| {
            let name = name.to_owned();
            Thread { id, name }.role(7)
        };
        assert_eq!(role(7, "fail2ban-server"), Starter::Server);
        assert_eq!(role(8, "fail2ban-server"), Starter::Unknown);
        assert_eq!(role(7, "bash"), Starter::Unknown);
        assert_eq!(role(8, "f2b/a.sshd"), Starter::Jail);
        assert_eq!(role(8, "f2b/f.sshd"), Starter::Unknown);
    }
}
