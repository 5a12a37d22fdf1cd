//! What the service may do, and that it needs all of it.

use anyhow::{Result, ensure};
use nicban_tests::daemon::HONEST;

use crate::machine::{INSTALL, Machine};

const BAD: &str = "198.51.100.7";
const BAD_V6: &str = "2001:db8:bad::1";

/// The bits 12, 38 and 39: `CAP_NET_ADMIN`, `CAP_PERFMON` and `CAP_BPF` (`linux/capability.h`).
const GRANTED: &str = "000000c000001000";

/// The same without `CAP_PERFMON`, which goes when the program is loaded.
const HELD: &str = "0000008000001000";

#[test]
fn it_drops_packets_with_no_more_than_the_unit_grants() -> Result<()> {
    let machine = Machine::boot(INSTALL)?;
    machine.shell("systemctl enable --now nicban.socket nicban.service")?;
    let user = machine.shell("id -u nicban")?;
    let (user, pid) = (user.trim(), machine.main_pid()?);
    ensure!(user != "0", "the daemon's user is root");
    let threads = machine.shell(&format!("ls /proc/{pid}/task"))?;
    ensure!(threads.lines().count() > 2, "{threads}");
    for thread in threads.lines() {
        let status = machine.shell(&format!("cat /proc/{pid}/task/{thread}/status"))?;
        for line in [
            format!("Uid:\t{user}\t{user}\t{user}\t{user}\n"),
            format!("CapPrm:\t{HELD}\n"),
            format!("CapEff:\t{HELD}\n"),
            format!("CapAmb:\t{HELD}\n"),
            format!("CapInh:\t{HELD}\n"),
            format!("CapBnd:\t{GRANTED}\n"),
            "NoNewPrivs:\t1\n".to_owned(),
            "Seccomp:\t2\n".to_owned(),
        ] {
            ensure!(status.contains(&line), "not {line}{status}");
        }
    }
    for (path, mode) in [
        ("/run/nicban", "755 root root"),
        ("/run/nicban/nicban.sock", "660 root root"),
        ("/var/lib/nicban", "700 nicban nicban"),
        ("/var/lib/nicban/nicban.db", "600 nicban nicban"),
        ("/var/lib/nicban/nicban.db-wal", "600 nicban nicban"),
        ("/sys/fs/bpf", "1700 root root"),
        ("/sys/fs/bpf/nicban", "700 nicban nicban"),
        ("/sys/fs/bpf/nicban/bans_v4", "600 nicban nicban"),
    ] {
        let found = machine.shell(&format!("stat -c '%a %U %G' {path}"))?;
        ensure!(found.trim() == mode, "{path} is {found}");
    }
    // The kernel's tunables, as the service sees them.
    let mounts = machine.shell(&format!("cat /proc/{}/mounts", machine.main_pid()?))?;
    for (folder, options) in [
        ("/proc", "ro,"),
        ("/sys", "ro,"),
        ("/sys/fs/bpf", "ro,"),
        ("/sys/fs/bpf/nicban", "rw,"),
    ] {
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
    for (fewer, missing) in [
        ("CAP_NET_ADMIN CAP_PERFMON", "CAP_BPF"),
        ("CAP_BPF CAP_PERFMON", "CAP_NET_ADMIN"),
        ("CAP_BPF CAP_NET_ADMIN", "CAP_PERFMON"),
    ] {
        machine.set(&format!(
            "CapabilityBoundingSet=\\nCapabilityBoundingSet={fewer}\\n\
             AmbientCapabilities=\\nAmbientCapabilities={fewer}\\nRestart=no"
        ))?;
        let ran = machine.ran(attach)?;
        ensure!(ran.code != 0, "{fewer} is enough");
        // Behind the name stands what the kernel said: it is not nicban that refuses.
        let complaint = format!("the daemon runs without {missing}, which the kernel asks for");
        let journal = machine.journal()?;
        let told = journal.iter().rev().find(|(priority, _)| priority == "3");
        ensure!(
            told.is_some_and(|(_, said)| said.contains(&complaint)
                && said.contains("cannot load the XDP program")),
            "without {missing}: {journal:#?}"
        );
        machine.shell("systemctl stop nicban.service nicban.socket; rm -rf /sys/fs/bpf/nicban")?;
    }
    machine.set("Restart=no")?;
    machine.shell(attach)?;
    Ok(())
}

/// What the probe is to find out: where it can make something, and what it can read.
/// Nothing but folders can be made on a BPF file system by hand.
const PROBE: &str = r#"
can() { if "$@" 2>/dev/null; then echo "can $*"; else echo "cannot $*"; fi; }
exec >/var/lib/nicban/found
id -u
for folder in / /etc /etc/nicban /etc/systemd/system /usr/bin /var /var/lib /var/log /run /run/nicban     /boot /dev /sys /sys/fs/bpf /sys/fs/cgroup /proc/sys/net; do
    can mkdir "$folder/probe"
done
can mkdir /var/lib/nicban/probe
can mkdir /sys/fs/bpf/nicban/probe
can mkdir /tmp/probe
can cat /etc/shadow
can cat /root/secret
can cat /proc/1/environ
can cat /proc/kallsyms
can ls /sys/fs/bpf/other
can cp /var/lib/nicban/found /usr/bin/nicban
can cp /var/lib/nicban/found /etc/nicban/nicban.toml
can sh -c 'echo 1 >/proc/sys/net/ipv4/ip_forward'
can rm /run/nicban/nicban.sock
can chown root /var/lib/nicban/probe
can mount -t tmpfs none /tmp
can unshare --user true
can kill -0 1
rmdir /var/lib/nicban/probe /sys/fs/bpf/nicban/probe
"#;

#[test]
fn what_runs_in_its_place_reads_and_writes_no_more_than_its_own() -> Result<()> {
    let machine = Machine::boot(INSTALL)?;
    machine.shell(&format!(
        "cat >/usr/local/bin/probe <<'END'\n{PROBE}END\n\
         echo secret >/root/secret; mkdir /sys/fs/bpf/other"
    ))?;
    machine.set("ExecStartPre=/bin/sh /usr/local/bin/probe")?;
    machine.shell("systemctl start nicban.service")?;
    let found = machine.shell("cat /var/lib/nicban/found")?;
    let user = machine.shell("id -u nicban")?;
    ensure!(found.starts_with(&user) && user.trim() != "0", "{found}");
    let can: Vec<&str> = found
        .lines()
        .filter_map(|line| line.strip_prefix("can "))
        .filter(|line| !line.contains("uid"))
        .collect();
    ensure!(
        can == [
            "mkdir /var/lib/nicban/probe",
            "mkdir /sys/fs/bpf/nicban/probe",
            "mkdir /tmp/probe",
        ],
        "{found}"
    );
    let tried = PROBE.matches("\ncan ").count() + 16;
    let cannot = found
        .lines()
        .filter(|line| line.starts_with("cannot "))
        .count();
    ensure!(
        can.len() + cannot == tried,
        "{tried} were to be tried: {found}"
    );
    Ok(())
}
