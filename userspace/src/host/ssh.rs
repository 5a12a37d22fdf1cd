//! Who is at the other end of the SSH session that runs this process.

use std::fs;
use std::net::IpAddr;

/// How far up to look; a chain of sudo, screen and shells is short.
const MOST_ANCESTORS: usize = 32;

/// The peer of the SSH session that this process was started in, if any.
///
/// sshd tells its children in `SSH_CONNECTION`, and sudo takes the variable
/// away; so the environment of the ancestors is looked at as well, as far as
/// `/proc` lets us.
pub fn ssh_peer() -> Option<IpAddr> {
    from_variables(|name| std::env::var(name).ok()).or_else(|| {
        let mut process = parent_of("self")?;
        for _ in 0..MOST_ANCESTORS {
            let environment = fs::read(format!("/proc/{process}/environ")).unwrap_or_default();
            let found = from_variables(|name| variable(&environment, name));
            if found.is_some() {
                return found;
            }
            process = parent_of(&process).filter(|parent| parent != "0")?;
        }
        None
    })
}

/// `SSH_CONNECTION` and, in old versions, `SSH_CLIENT` begin with the peer's
/// address (sshd(8), ssh(1)).
fn from_variables(variable: impl Fn(&str) -> Option<String>) -> Option<IpAddr> {
    ["SSH_CONNECTION", "SSH_CLIENT"]
        .into_iter()
        .find_map(|name| {
            let value = variable(name)?;
            let address = value.split_whitespace().next()?;
            // A link-local peer comes with its zone: fe80::1%eth0.
            let address = address.split('%').next().unwrap_or(address);
            address
                .parse::<IpAddr>()
                .ok()
                .map(|address| address.to_canonical())
        })
}

/// A variable of an environment as `/proc/PID/environ` shows it (proc(5)).
fn variable(environment: &[u8], name: &str) -> Option<String> {
    environment.split(|byte| *byte == 0).find_map(|entry| {
        let entry = std::str::from_utf8(entry).ok()?;
        let (key, value) = entry.split_once('=')?;
        (key == name).then(|| value.to_owned())
    })
}

fn parent_of(process: &str) -> Option<String> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    parent_in(&stat).map(str::to_owned)
}

/// The parent's number in `/proc/PID/stat`. The name before it may itself hold
/// blanks and brackets (proc(5)), so the last bracket counts.
fn parent_in(stat: &str) -> Option<&str> {
    let (_, rest) = stat.rsplit_once(')')?;
    rest.split_whitespace().nth(1)
}

#[cfg(test)]
mod tests {
    use super::{from_variables, parent_in, variable};

    fn peer(name: &str, value: &str) -> Option<String> {
        from_variables(|asked| (asked == name).then(|| value.to_owned()))
            .map(|address| address.to_string())
    }

    #[test]
    fn the_peer_comes_first() {
        let peer_of = |value| peer("SSH_CONNECTION", value);
        assert_eq!(
            peer_of("192.0.2.7 50000 192.0.2.1 22").as_deref(),
            Some("192.0.2.7")
        );
        assert_eq!(
            peer_of("2001:db8::7 50000 2001:db8::1 22").as_deref(),
            Some("2001:db8::7")
        );
        assert_eq!(
            peer_of("fe80::7%eth0 50000 fe80::1%eth0 22").as_deref(),
            Some("fe80::7")
        );
        assert_eq!(
            peer_of("::ffff:192.0.2.7 1 ::1 22").as_deref(),
            Some("192.0.2.7")
        );
        assert_eq!(peer_of("UNKNOWN 65535 UNKNOWN 65535"), None);
        assert_eq!(peer_of(""), None);
        assert_eq!(
            peer("SSH_CLIENT", "192.0.2.8 50000 22").as_deref(),
            Some("192.0.2.8")
        );
        assert_eq!(peer("SSH_TTY", "192.0.2.8"), None);
    }

    #[test]
    fn variables_are_found_by_their_whole_name() {
        let environment = b"NOT_SSH_CLIENT=a\0SSH_CLIENT=b c\0\xff=x\0PATH=/bin\0";
        assert_eq!(variable(environment, "SSH_CLIENT").as_deref(), Some("b c"));
        assert_eq!(variable(environment, "PATH").as_deref(), Some("/bin"));
        assert_eq!(variable(environment, "SSH"), None);
    }

    #[test]
    fn a_name_with_brackets_does_not_hide_the_parent() {
        assert_eq!(parent_in("42 (sudo) S 41 42 42 0"), Some("41"));
        assert_eq!(parent_in("42 (a) S 9 (b) R 7 8"), Some("7"));
        assert_eq!(parent_in("garbage"), None);
    }
}
