//! What root does beside a daemon that is not root.

use anyhow::{Result, ensure};

use crate::machine::{ENABLE, INSTALL, Machine};

const BAD: &str = "198.51.100.7";

#[test]
fn the_commands_work_from_outside_of_the_sandbox() -> Result<()> {
    let machine = Machine::boot(&[INSTALL, ENABLE].concat())?;
    let wire = machine.wire()?;
    machine.shell(&format!("nicban ban {BAD} --for 10m"))?;
    wire.blocked(BAD)?;
    ensure!(machine.shell("nicban list")?.contains(BAD));
    ensure!(
        machine
            .shell("nicban status")?
            .contains("eth0       native")
    );
    let dump = machine.shell("bpftool map dump pinned /sys/fs/bpf/nicban/bans_v4")?;
    ensure!(dump.contains("\"address\": [198,51,100,7"), "{dump}");

    // With nothing running, and what root has noted is the daemon's to take back.
    machine.shell("systemctl stop nicban.socket nicban.service")?;
    machine.shell("nicban detach --direct && nicban nacl release --direct")?;
    wire.arrives(BAD)?;
    for mark in ["detached", "released", "nicban.db"] {
        let owner = machine.shell(&format!("stat -c %U:%G /var/lib/nicban/{mark}"))?;
        ensure!(owner.trim() == "nicban:nicban", "{mark} is {owner}'s");
    }
    machine.shell("systemctl start nicban.socket nicban.service")?;
    wire.arrives(BAD)?;
    machine.shell("echo yes | script -q -E never -ec 'nicban attach --confirm 60s' /dev/null")?;
    wire.blocked(BAD)?;
    machine.shell(
        "nicban nacl resume && nicban detach && nicban attach && nicban unban 198.51.100.7",
    )?;
    let left = machine.shell("ls /var/lib/nicban")?;
    ensure!(
        !left.contains("detached") && !left.contains("released"),
        "{left}"
    );
    wire.arrives(BAD)?;
    machine.shell("rm /sys/fs/bpf/nicban/link_eth0 && rm -r /sys/fs/bpf/nicban")?;
    machine.shell("systemctl restart nicban.service")?;
    machine.shell(&format!("nicban ban {BAD} --for 10m"))?;
    wire.blocked(BAD)
}

#[test]
fn who_attaches_over_ssh_is_allowed() -> Result<()> {
    let machine = Machine::boot(INSTALL)?;
    let wire = machine.wire()?;
    machine.shell("systemctl start nicban.socket nicban.service")?;
    machine.shell(&format!("nicban ban {BAD} --for 10m"))?;
    machine.shell(&format!(
        "SSH_CONNECTION='{BAD} 50000 192.0.2.1 22' nicban attach"
    ))?;
    ensure!(machine.shell("nicban allow list")?.contains(BAD));
    wire.arrives(BAD)
}

/// A file of root's, and in the place of each file that a command writes by itself a
/// link to it, as whoever has taken over the daemon could put it there.
const LINKS: &str = r"
systemctl stop nicban.socket nicban.service
echo precious >/etc/precious
chmod 644 /etc/precious
cd /var/lib/nicban
for file in detached released nicban.db; do
    setpriv --reuid nicban --regid nicban --clear-groups ln -sf /etc/precious $file
done
";

#[test]
fn root_follows_no_link_that_the_daemon_has_put() -> Result<()> {
    let machine = Machine::boot(&[INSTALL, ENABLE].concat())?;
    machine.shell(LINKS)?;
    for command in ["nicban detach --direct", "nicban nacl release --direct"] {
        let ran = machine.ran(command)?;
        ensure!(ran.code == 1, "{command}: {ran:?}");
        ensure!(
            ran.stderr.contains("ermission denied"),
            "{command}: {ran:?}"
        );
        let precious = machine.shell("cat /etc/precious; stat -c '%a %U' /etc/precious")?;
        ensure!(precious == "precious\n644 root\n", "{command}: {precious}");
    }
    // What matters most is done all the same.
    let wire = machine.wire()?;
    ensure!(!machine.shell("ls /sys/fs/bpf/nicban")?.contains("link_"));
    wire.arrives(BAD)
}
