//! A daemon that cannot start: systemd goes on trying, and requests go on waiting.

use std::thread;

use anyhow::{Result, ensure};

use crate::machine::{INSTALL, Machine};

const BAD: &str = "198.51.100.7";

#[test]
fn a_request_outwaits_a_fault_that_is_repaired() -> Result<()> {
    let machine = Machine::boot(INSTALL)?;
    for (fault, repair, complaint) in [
        (
            "printf '[xdp]\\nnonsense = 1\\n' >/etc/nicban/nicban.toml",
            "rm /etc/nicban/nicban.toml",
            "nonsense",
        ),
        (
            "umount /sys/fs/bpf",
            "mount -t bpf -o mode=700 bpf /sys/fs/bpf",
            "is the BPF file system mounted",
        ),
    ] {
        machine.shell(fault)?;
        machine
            .ran("systemctl restart nicban.service")?
            .with_code(1)?;
        let lines = machine.journal()?;
        ensure!(
            lines
                .iter()
                .any(|(priority, message)| priority == "3" && message.contains(complaint)),
            "{complaint}: {lines:?}"
        );
        thread::scope(|scope| {
            let request = scope.spawn(|| {
                machine.ran(&format!(
                    "nicban-action --wait 45 ban -- sshd {BAD} $(date +%s) 600"
                ))
            });
            let failed: u32 = machine.property("nicban.service", "NRestarts")?.parse()?;
            machine.becomes("NRestarts", &(failed + 2).to_string())?;
            ensure!(!request.is_finished(), "{:?}", request.join());
            let socket = machine.property("nicban.socket", "ActiveState")?;
            ensure!(socket == "active", "the socket is {socket}");
            machine.shell(repair)?;
            match request.join() {
                Ok(ran) => ran?.well(),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        })?;
        machine.becomes("ActiveState", "active")?;
    }
    Ok(())
}
