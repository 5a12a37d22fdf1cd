//! The order of the boot, on a machine like EC2's.

use anyhow::{Context as _, Result, ensure};

use crate::machine::{ENABLE, INSTALL, Machine};

/// The places in the boot of the units that meet nicban's on Debian's image for
/// EC2: those of cloud-init put sysinit.target behind the network.
const NETWORK: &str = r#"
unit() {
    printf '[Unit]\nDefaultDependencies=no\n%b\n[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=true\n' \
        "$2" >/etc/systemd/system/$1
    systemctl add-wants sysinit.target $1
}
unit cloud-init-local.service 'Wants=network-pre.target\nAfter=systemd-remount-fs.service\nBefore=network-pre.target sysinit.target\nRequiresMountsFor=/var/lib/cloud'
unit networking.service 'Wants=network.target\nAfter=local-fs.target network-pre.target systemd-sysctl.service systemd-modules-load.service\nBefore=network.target'
unit cloud-init.service 'After=cloud-init-local.service networking.service\nBefore=network-online.target sysinit.target'
"#;

#[test]
fn bans_are_in_force_before_the_network_is_up() -> Result<()> {
    let machine = Machine::boot(&[INSTALL, ENABLE, NETWORK].concat())?;
    let cycles = machine.shell("journalctl --no-pager -b _PID=1 | grep -i cycle || true")?;
    ensure!(cycles.is_empty(), "{cycles}");
    let up = |unit: &str| -> Result<u64> {
        let time = machine.property(unit, "ActiveEnterTimestampMonotonic")?;
        let time = time.parse().with_context(|| format!("{unit}: {time}"))?;
        ensure!(time > 0, "{unit} was not started");
        Ok(time)
    };
    let order = [
        "nicban.socket",
        "nicban.service",
        "network-pre.target",
        "networking.service",
        "cloud-init.service",
        "sysinit.target",
    ];
    for pair in order.windows(2) {
        ensure!(
            up(pair[0])? <= up(pair[1])?,
            "{} after {}",
            pair[0],
            pair[1]
        );
    }
    let status = machine.shell("nicban status")?;
    ensure!(status.contains("eth0       native"), "{status}");
    Ok(())
}

#[test]
fn systemd_finds_no_fault_with_the_units() -> Result<()> {
    let machine = Machine::boot(INSTALL)?;
    let verified =
        machine.ran("systemd-analyze verify nicban.service nicban.socket nicban-pins.service")?;
    let said = format!("{}{}", verified.stdout, verified.stderr);
    ensure!(verified.code == 0 && said.is_empty(), "{said}");
    for (unit, below) in [("nicban.service", 2.0), ("nicban-pins.service", 1.5)] {
        let exposure = exposure(&machine, unit)?;
        ensure!(exposure < below, "{unit}: {exposure}");
    }
    Ok(())
}

/// What `systemd-analyze security` makes of a unit, from 0 to 10.
fn exposure(machine: &Machine, unit: &str) -> Result<f32> {
    let table = machine.shell(&format!(
        "systemd-analyze security --offline=true --no-pager {unit}"
    ))?;
    let (_, figure) = table
        .rsplit_once(&format!("Overall exposure level for {unit}: "))
        .with_context(|| table.clone())?;
    let figure = figure.split_whitespace().next().unwrap_or_default();
    figure.parse().with_context(|| table.clone())
}
