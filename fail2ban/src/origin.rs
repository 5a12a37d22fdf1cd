//! Which of fail2ban's threads started this process.
//!
//! fail2ban runs one and the same `actionflush` at a jail's stop and at `unban --all`, and the
//! two mean the opposite. But a jail stops in its own thread, which is named after it, and
//! `unban --all` is carried out by the server's main thread. Linux lists a process under the
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

/// Whether a jail's own thread started this process.
///
/// Nothing that goes wrong here is an error: then the answer is no, and the daemon decides by
/// what follows.
pub(crate) fn is_jail_thread() -> bool {
    let mut child = std::process::id();
    for _ in 0..MAX_GENERATIONS {
        let Ok(parent) = parent_of(child) else {
            return false;
        };
        if starter(parent, child).is_ok_and(|name| name.starts_with(JAIL_THREAD)) {
            return true;
        }
        child = parent;
    }
    false
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

/// The name of the thread of `parent` that started `child`.
fn starter(parent: u32, child: u32) -> io::Result<String> {
    let child = child.to_string();
    for thread in fs::read_dir(format!("/proc/{parent}/task"))? {
        let thread = thread?.path();
        // A thread may end while we look.
        if lists(&thread, &child).unwrap_or(false) {
            return fs::read_to_string(thread.join("comm"));
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
                    let name = starter(std::process::id(), child.id()).unwrap();
                    assert_eq!(parent_of(child.id()).unwrap(), std::process::id());
                    drop(child.stdin.take());
                    child.wait().unwrap();
                    name
                })
                .unwrap()
                .join()
                .unwrap()
        };
        assert_eq!(found("f2b/a.sshd"), "f2b/a.sshd\n");
        assert_eq!(found("fail2ban-server"), "fail2ban-server\n");
    }
}
