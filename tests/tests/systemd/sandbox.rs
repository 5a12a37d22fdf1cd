//! What the service may do, and that it needs all of it.

use anyhow::{Result, ensure};
use nicban_tests::daemon::HONEST;

use crate::machine::{INSTALL, Machine};

const BAD: &str = "198.51.100.7";
const BAD_V6: &str = "2001:db8:bad::1";

/// The bits 12, 38 and 39: `CAP_NET_ADMIN`, `CAP_PERFMON` and `CAP_BPF` (`linux/capability.h`).
const CAPABILITIES: &str = "000000c000001000";

#[test]
fn it_drops_packets_with_no_more_than_the_unit_grants() -> Result<()> {
    let machine = Machine::boot(INSTALL)?;
    machine.shell("systemctl enable --now nicban.socket nicban.service")?;
    let process = machine.shell(&format!("cat /proc/{}/status", machine.main_pid()?))?;
    for set in ["CapPrm", "CapEff", "CapBnd"] {
        let line = format!("{set}:\t{CAPABILITIES}\n");
        ensure!(process.contains(&line), "not {line}{process}");
    }
    for line in [
        "NoNewPrivs:\t1\n",
        "Seccomp:\t2\n",
        "CapAmb:\t0000000000000000\n",
    ] {
        ensure!(process.contains(line), "not {line}{process}");
    }
    for (path, mode) in [
        ("/run/nicban", "755 root root"),
        ("/run/nicban/nicban.sock", "660 root root"),
        ("/var/lib/nicban", "700 root root"),
        ("/var/lib/nicban/nicban.db", "600 root root"),
        ("/sys/fs/bpf/nicban", "700 root root"),
        ("/sys/fs/bpf/nicban/bans_v4", "600 root root"),
    ] {
        let found = machine.shell(&format!("stat -c '%a %U %G' {path}"))?;
        ensure!(found.trim() == mode, "{path} is {found}");
    }
    // The kernel's tunables, as the service sees them.
    let mounts = machine.shell(&format!("cat /proc/{}/mounts", machine.main_pid()?))?;
    for (folder, options) in [("/proc", "ro,"), ("/sys", "ro,"), ("/sys/fs/bpf", "rw,")] {
        let mount = mounts.lines().rev().find_map(|line| {
            let mut words = line.split(' ').skip(1);
            (words.next() == Some(folder)).then(|| words.nth(1).unwrap_or_default())
        });
        ensure!(
            mount.is_some_and(|found| found.starts_with(options)),
            "{folder}: {mounts}"
        );
    }

    let wire = machine.wire()?;
    // Not attached yet: the first attach is the operator's.
    machine.shell(&format!("nicban ban {BAD} --for 10m"))?;
    wire.arrives(BAD)?;
    machine.shell("nicban attach")?;
    machine.shell(&format!("nicban ban {BAD_V6} --for 10m"))?;
    for source in [BAD, BAD_V6] {
        wire.blocked(source)?;
        machine.shell(&format!("nicban unban {source}"))?;
        wire.arrives(source)?;
    }
    wire.arrives(HONEST)?;
    for (priority, message) in machine.journal()? {
        ensure!(priority == "6", "<{priority}>{message}");
        ensure!(message.starts_with("nicban::"), "{message}");
    }
    Ok(())
}

#[test]
fn it_needs_every_capability_that_the_unit_grants() -> Result<()> {
    let machine = Machine::boot(INSTALL)?;
    let attach = "systemctl start nicban.service && nicban attach";
    for fewer in [
        "CAP_NET_ADMIN CAP_PERFMON",
        "CAP_BPF CAP_PERFMON",
        "CAP_BPF CAP_NET_ADMIN",
    ] {
        machine.set(&format!(
            "CapabilityBoundingSet=\\nCapabilityBoundingSet={fewer}\\nRestart=no"
        ))?;
        let ran = machine.ran(attach)?;
        ensure!(ran.code != 0, "{fewer} is enough");
        machine.shell("systemctl stop nicban.service nicban.socket; rm -rf /sys/fs/bpf/nicban")?;
    }
    machine.set("Restart=no")?;
    machine.shell(attach)?;
    Ok(())
}
