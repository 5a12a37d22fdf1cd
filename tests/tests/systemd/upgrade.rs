//! From a daemon that ran as root to one that does not.

use std::fmt::Write as _;

use anyhow::{Result, ensure};
use nicban_tests::daemon::HONEST;

use crate::machine::{ENABLE, INSTALL, Machine};

const BAD: &str = "198.51.100.7";
const BAD_V6: &str = "2001:db8:bad::1";
const LATER: &str = "198.51.100.8";

/// The service as it was before it had a user: root with three capabilities, in the
/// whole BPF file system, and nobody who hands it its pins.
const AS_ROOT: &str = r"
folder=/etc/systemd/system/nicban.service.d
mkdir -p $folder
printf '[Service]\nUser=root\nGroup=root\nAmbientCapabilities=\nTemporaryFileSystem=\nBindPaths=\nReadWritePaths=/sys/fs/bpf\n' >$folder/as-root.conf
rm /etc/systemd/system/nicban-pins.service
ln -s /dev/null /etc/systemd/system/nicban-pins.service
";

/// As whoever installed that version has it: no user, and units without a word of one.
const BEFORE: &str = "! id nicban >/dev/null 2>&1 || userdel nicban\n";

/// What the installation of this version makes of it.
const NO_LONGER_AS_ROOT: &str =
    "rm -r /etc/systemd/system/nicban.service.d /etc/systemd/system/nicban-pins.service\n";

#[test]
fn what_root_has_banned_stays_so_under_the_daemons_own_user() -> Result<()> {
    let mut prepare = [INSTALL, ENABLE, AS_ROOT].concat();
    write!(prepare, "{BEFORE}")?;
    let machine = Machine::boot(&prepare)?;
    let wire = machine.wire()?;
    for bad in [BAD, BAD_V6] {
        wire.arrives(bad)?;
        machine.shell(&format!("nicban ban {bad} --for 10m"))?;
        wire.blocked(bad)?;
    }
    belong(&machine, "root")?;
    let list = machine.shell("nicban list --json")?;
    let before = (wire.count(BAD.parse()?)?, wire.count(BAD_V6.parse()?)?);
    let traffic = wire.traffic(&[BAD, BAD_V6, HONEST])?;

    machine.shell(&[NO_LONGER_AS_ROOT, INSTALL].concat())?;
    // Until the restart root's daemon goes on, and writes what is its own.
    belong(&machine, "root")?;
    machine.shell(&format!("nicban ban {LATER} --for 10m"))?;
    traffic.go_on_for(300)?;
    machine.shell("systemctl restart nicban.service")?;
    traffic.go_on_for(500)?;
    traffic.end()?;

    let user = machine.shell("id -u nicban")?;
    let status = machine.shell(&format!("cat /proc/{}/status", machine.main_pid()?))?;
    ensure!(
        status.contains(&format!("Uid:\t{}\t", user.trim())) && user.trim() != "0",
        "{status}"
    );
    belong(&machine, "nicban")?;
    let after = (wire.count(BAD.parse()?)?, wire.count(BAD_V6.parse()?)?);
    ensure!(after == before, "a banned packet arrived");
    let now = machine.shell("nicban list --json")?;
    for bad in [BAD, "2001:db8:bad::/64"] {
        ensure!(list.contains(bad) && now.contains(bad), "{list} {now}");
    }
    wire.blocked(LATER)?;
    for bad in [BAD, BAD_V6, LATER] {
        machine.shell(&format!("nicban unban {bad}"))?;
        wire.arrives(bad)?;
    }
    Ok(())
}

/// Whose all of the store and all pins are.
fn belong(machine: &Machine, user: &str) -> Result<()> {
    let others = machine.shell(&format!(
        "find /var/lib/nicban /sys/fs/bpf/nicban ! -user {user} -o ! -group {user}"
    ))?;
    ensure!(others.is_empty(), "not {user}'s: {others}");
    let pins = machine.shell("ls /sys/fs/bpf/nicban")?;
    ensure!(
        pins.contains("link_eth0") && pins.contains("prog"),
        "{pins}"
    );
    Ok(())
}

#[test]
fn maps_of_another_size_take_over_what_was_banned() -> Result<()> {
    let machine = Machine::boot(&[INSTALL, ENABLE].concat())?;
    let wire = machine.wire()?;
    machine.shell(&format!("nicban ban {BAD} --for 10m"))?;
    wire.blocked(BAD)?;
    let before = wire.count(BAD.parse()?)?;
    let traffic = wire.traffic(&[BAD, HONEST])?;
    machine.shell(
        "printf '[xdp]\\nmax_bans = 4096\\n' >/etc/nicban/nicban.toml; \
         systemctl restart nicban.service",
    )?;
    traffic.go_on_for(300)?;
    traffic.end()?;
    ensure!(
        wire.count(BAD.parse()?)? == before,
        "a banned packet arrived"
    );
    let status = machine.shell("nicban status")?;
    ensure!(
        status.contains("4,096") || status.contains("4096"),
        "{status}"
    );
    belong(&machine, "nicban")?;
    machine.shell(&format!("nicban unban {BAD}"))?;
    wire.arrives(BAD)
}
