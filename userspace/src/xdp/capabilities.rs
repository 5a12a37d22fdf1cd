//! What the kernel asks of whoever loads and attaches the program.

use std::fs;

use super::XdpError;

/// The capabilities by their bits (`linux/capability.h`).
const NEEDED: [(u32, &str); 3] = [(39, "CAP_BPF"), (12, "CAP_NET_ADMIN"), (38, "CAP_PERFMON")];

/// It stands in for all of them (`bpf_capable`, `perfmon_capable` in
/// `linux/capability.h`; `bpf_prog_load` in kernel/bpf/syscall.c).
const SYS_ADMIN: u32 = 21;

/// Names the capabilities that the thread lacks, in front of what the kernel said: its
/// `EPERM`, or its verifier's words, tell nobody which one it was.
pub(super) fn blame(error: XdpError) -> XdpError {
    let status = fs::read_to_string("/proc/thread-self/status").unwrap_or_default();
    let missing = missing(&status);
    if missing.is_empty() {
        return error;
    }
    XdpError::Powerless {
        capabilities: missing.join(" and "),
        source: Box::new(error),
    }
}

/// What is not in the effective set, as `/proc/PID/status` shows it (proc(5)); nothing
/// where it does not say.
fn missing(status: &str) -> Vec<&'static str> {
    let effective = status
        .lines()
        .find_map(|line| line.strip_prefix("CapEff:"))
        .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    let Some(effective) = effective else {
        return Vec::new();
    };
    let has = |bit: u32| effective >> bit & 1 == 1;
    NEEDED
        .into_iter()
        .filter(|(bit, _)| !has(*bit) && !has(SYS_ADMIN))
        .map(|(_, name)| name)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::missing;

    fn with(effective: &str) -> Vec<&'static str> {
        missing(&format!(
            "Name:\tnicban\nCapEff:\t{effective}\nCapBnd:\t0\n"
        ))
    }

    #[test]
    fn what_is_missing_is_named() {
        assert!(with("000000c000001000").is_empty());
        assert_eq!(with("000000c000000000"), ["CAP_NET_ADMIN"]);
        assert_eq!(with("0000004000001000"), ["CAP_BPF"]);
        assert_eq!(with("0000008000001000"), ["CAP_PERFMON"]);
        assert_eq!(with("0"), ["CAP_BPF", "CAP_NET_ADMIN", "CAP_PERFMON"]);
    }

    #[test]
    fn an_administrator_lacks_nothing_and_the_unknown_is_not_blamed() {
        assert!(with("0000000000200000").is_empty());
        assert!(missing("").is_empty());
        assert!(missing("CapEff:\tnonsense\n").is_empty());
    }
}
