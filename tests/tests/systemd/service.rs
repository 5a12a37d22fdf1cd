//! The service stops, crashes and hangs; the drops and the requests don't notice.

use std::fmt::Write as _;

use anyhow::{Result, ensure};
use nicban_tests::daemon::{HONEST, Ran};
use nicban_tests::wait;

use crate::machine::{ENABLE, INSTALL, Machine, PATIENCE};

const BAD: &str = "198.51.100.7";
const LATER: [&str; 3] = ["198.51.100.8", "198.51.100.9", "198.51.100.10"];

#[test]
fn a_stop_a_restart_and_a_crash_let_nothing_through() -> Result<()> {
    let machine = Machine::boot(&[INSTALL, ENABLE].concat())?;
    let wire = machine.wire()?;
    wire.arrives(BAD)?;
    machine.shell(&format!("nicban ban {BAD} --for 10m"))?;
    let before = wire.count(BAD.parse()?)?;
    let traffic = wire.traffic(&[BAD, HONEST])?;

    machine.shell("systemctl stop nicban.service")?;
    machine.becomes("ActiveState", "inactive")?;
    ensure!(machine.property("nicban.socket", "ActiveState")? == "active");
    traffic.go_on_for(500)?;
    // A request starts it again, and is served.
    machine.shell(&format!(
        "nicban-action ban -- sshd {} $(date +%s) 600",
        LATER[0]
    ))?;
    machine.becomes("ActiveState", "active")?;

    let pid = machine.main_pid()?;
    machine.shell("systemctl restart nicban.service")?;
    ensure!(machine.main_pid()? != pid, "it was not restarted");
    traffic.go_on_for(500)?;

    machine.shell("systemctl kill --signal=KILL nicban.service")?;
    machine.shell(&format!(
        "nicban-action ban -- sshd {} $(date +%s) 600",
        LATER[1]
    ))?;
    machine.becomes("NRestarts", "1")?;
    traffic.go_on_for(500)?;

    // Whoever upgrades restarts both.
    machine.shell("systemctl restart nicban.socket nicban.service")?;
    machine.shell(&format!(
        "nicban-action ban -- sshd {} $(date +%s) 600",
        LATER[2]
    ))?;
    traffic.end()?;
    ensure!(
        wire.count(BAD.parse()?)? == before,
        "a banned packet arrived"
    );
    for source in LATER {
        wire.blocked(source)?;
    }
    wire.arrives(HONEST)
}

#[test]
fn the_watchdog_starts_a_hanging_daemon_again() -> Result<()> {
    let mut prepare = [INSTALL, ENABLE].concat();
    writeln!(
        prepare,
        "mkdir -p /etc/systemd/system/nicban.service.d; \
         printf '[Service]\\nWatchdogSec=2s\\n' >/etc/systemd/system/nicban.service.d/tests.conf"
    )?;
    let machine = Machine::boot(&prepare)?;
    let wire = machine.wire()?;
    machine.shell(&format!("nicban ban {BAD} --for 10m"))?;
    wire.blocked(BAD)?;
    let pid = machine.main_pid()?;
    // While it answers it says so, and stays.
    let beat = || machine.property("nicban.service", "WatchdogTimestampMonotonic");
    for _ in 0..3 {
        let last = beat()?;
        wait::until("the watchdog hears of the daemon", PATIENCE, || {
            Ok((beat()? != last).then_some(()))
        })?;
    }
    ensure!(machine.main_pid()? == pid && machine.property("nicban.service", "NRestarts")? == "0");
    machine.shell(&format!("kill -STOP {pid}"))?;
    wire.blocked(BAD)?;
    // It hangs, so this waits, until another process answers.
    let answered =
        Ran::to_end(&mut machine.command(&format!("nicban ban {} --for 10m", LATER[0])))?;
    wire.blocked(BAD)?;
    machine.becomes("NRestarts", "1")?;
    machine.becomes("ActiveState", "active")?;
    ensure!(machine.main_pid()? != pid, "the same process");
    let why = machine.shell("journalctl --no-pager -u nicban.service | grep -i watchdog")?;
    ensure!(why.contains("Watchdog timeout"), "{why}");
    // A connection that the old process had accepted is lost with it.
    if answered.code != 0 {
        machine.shell(&format!("nicban ban {} --for 10m", LATER[0]))?;
    }
    wire.blocked(LATER[0])
}
