//! From the installation to its end, with the distribution's own fail2ban unit.

use anyhow::{Context as _, Result, ensure};
use nicban_tests::wait;

use crate::machine::{ENABLE, INSTALL, Machine, PATIENCE};

const BAD: &str = "198.51.100.7";
const WORSE: &str = "198.51.100.8";

/// An enabled sshd jail that has a log to read, and asks no name server in vain.
const JAIL: &str = r"
printf '[DEFAULT]\nignoreself = false\nusedns = no\n[sshd]\nenabled = true\nbackend = polling\nlogpath = /var/log/nicban-tests.log\n' >/etc/fail2ban/jail.local
: >/var/log/nicban-tests.log
rm -f /var/lib/fail2ban/fail2ban.sqlite3 /var/log/fail2ban.log
";

/// What shutdown.target does, which cannot be started by hand: one transaction that
/// stops them.
const SHUTDOWN: &str = r"
printf '[Unit]\nDefaultDependencies=no\nConflicts=nicban.socket nicban.service fail2ban.service\nAfter=nicban.socket nicban.service fail2ban.service\n' >/etc/systemd/system/shut-down.target
";

#[test]
fn fail2bans_bans_outlast_its_own_service() -> Result<()> {
    let machine = Machine::boot(&[INSTALL, ENABLE, JAIL, SHUTDOWN].concat())?;
    let wire = machine.wire()?;
    wire.arrives(BAD)?;
    machine.start_fail2ban()?;
    machine.shell(&format!("fail2ban-client set sshd banip {BAD}"))?;
    wire.blocked(BAD)?;
    // As at a shutdown: all at once, in systemd's order. fail2ban's last requests
    // are answered all the same.
    machine.shell("systemctl start shut-down.target")?;
    for unit in ["fail2ban.service", "nicban.service", "nicban.socket"] {
        ensure!(
            machine.property(unit, "ActiveState")? == "inactive",
            "{unit}"
        );
    }
    let errors = machine.shell("grep ERROR /var/log/fail2ban.log || true")?;
    ensure!(errors.is_empty(), "{errors}");
    wire.blocked(BAD)?;
    machine.shell("systemctl stop shut-down.target && systemctl start nicban.socket")?;
    machine.start_fail2ban()?;
    wire.blocked(BAD)?;
    wait::until("fail2ban has restored the ban", PATIENCE, || {
        let banned = machine.shell("fail2ban-client get sshd banip")?;
        Ok(banned.contains(BAD).then_some(()))
    })?;
    machine.shell("fail2ban-client unban --all")?;
    wire.arrives(BAD)
}

#[test]
fn an_uninstallation_leaves_nothing() -> Result<()> {
    let machine = Machine::boot(&[INSTALL, ENABLE].concat())?;
    let wire = machine.wire()?;
    machine.shell(&format!("nicban ban {BAD} --for 10m"))?;
    wire.blocked(BAD)?;
    machine.shell("sh /machine/sources/packaging/install.sh --uninstall --purge")?;
    wire.arrives(BAD)?;
    for unit in ["nicban.service", "nicban.socket"] {
        ensure!(
            machine.property(unit, "LoadState")? == "not-found",
            "{unit}"
        );
    }
    let left = machine.shell(
        "find /etc/nicban /etc/fail2ban /var/lib/nicban /run/nicban /sys/fs/bpf /usr/bin \
         /etc/systemd -name '*nicban*' 2>/dev/null || true",
    )?;
    ensure!(left.is_empty(), "{left}");
    machine.shell(INSTALL)?;
    machine.shell("systemctl enable --now nicban.socket nicban.service && nicban attach")?;
    wire.arrives(BAD)?;
    machine.shell(&format!("nicban ban {WORSE} --for 10m"))?;
    wire.blocked(WORSE)
}

#[test]
fn a_return_tells_what_still_holds_from_before() -> Result<()> {
    let machine = Machine::boot(&[INSTALL, ENABLE].concat())?;
    let wire = machine.wire()?;
    machine.shell(&format!("nicban ban {BAD} --for 10m"))?;
    wire.blocked(BAD)?;
    let upgraded = machine.shell(INSTALL)?;
    ensure!(
        upgraded.contains("systemctl restart nicban.service"),
        "{upgraded}"
    );
    for over in ["enable --now", "nicban attach", "nacl resume"] {
        ensure!(!upgraded.contains(over), "{over} in {upgraded}");
    }
    wire.blocked(BAD)?;

    machine.shell("sh /machine/sources/packaging/install.sh --uninstall")?;
    wire.arrives(BAD)?;
    let returned = machine.shell(INSTALL)?;
    ensure!(!returned.contains("restart nicban.service"), "{returned}");
    let (_, next) = returned.split_once("next:").context("no next step")?;
    // What it says in brackets is for people.
    let steps: Vec<&str> = next
        .lines()
        .map(|line| line.split('(').next().unwrap_or(line).trim())
        .filter(|step| step.starts_with("systemctl") || step.starts_with("nicban"))
        .collect();
    ensure!(
        steps
            == [
                "systemctl enable --now nicban.socket nicban.service",
                "nicban attach --confirm 60s",
                "nicban nacl resume",
            ],
        "{steps:?}"
    );
    machine.shell(steps[0])?;
    wire.arrives(BAD)?;
    // It asks whoever sits at the terminal.
    machine.shell(&format!(
        "echo yes | script -q -E never -ec '{}' /dev/null",
        steps[1]
    ))?;
    machine.shell(steps[2])?;
    wire.blocked(BAD)
}
