//! Debian's own sshd and fail2ban with the shipped files and no other: the sshd jail reads the journal.

use std::net::IpAddr;
use std::thread;

use anyhow::{Result, ensure};
use nicban_tests::daemon::{GATEWAY, GATEWAY_V6, HONEST, HONEST_V6, HOST, HOST_V6};
use nicban_tests::hosts::{Guess, guess};
use nicban_tests::wait;

use crate::machine::{ENABLE, INSTALL, Machine, PATIENCE};

/// An attacker of each family, and whom it attacks.
const ATTACKS: [(&str, &str); 2] = [("198.51.100.7", HOST), ("2001:db8:bad::7", HOST_V6)];

/// A newly installed machine: no ban and no log from before, no password that a guess
/// could meet, and no name server that would be asked in vain.
const FRESH: &str = r"
rm -f /etc/fail2ban/*.local /etc/fail2ban/*/*.local /var/lib/fail2ban/fail2ban.sqlite3 /var/log/fail2ban.log
printf 'root:*:19000:0:99999:7:::\nsshd:!:19000::::::\n' >/etc/shadow
: >/etc/resolv.conf
ssh-keygen -A
systemctl enable ssh.service fail2ban.service
";

/// What a jail takes by default, and some more: the last ones may meet the ban.
const GUESSES: usize = 8;

#[test]
fn guesses_that_the_journal_shows_end_in_drops() -> Result<()> {
    let machine = Machine::boot(&[INSTALL, ENABLE, FRESH].concat())?;
    let outside = machine.site().outside();
    for address in [GATEWAY, GATEWAY_V6, ATTACKS[0].0, ATTACKS[1].0] {
        let address: IpAddr = address.parse()?;
        outside.add_address("eth0", address.into())?;
    }
    for network in ["192.0.2.0/24", "2001:db8::/64"] {
        outside.add_route(&[network, "dev", "eth0"])?;
    }
    machine.start_fail2ban()?;
    ensure!(
        machine
            .shell("fail2ban-client status")?
            .contains("Jail list:\tsshd\n"),
        "there are other jails than sshd"
    );
    let wire = machine.wire()?;
    for (attacker, _) in ATTACKS {
        wire.arrives(attacker)?;
    }
    let machine = &machine;
    thread::scope(|scope| {
        ATTACKS
            .map(|(attacker, host)| scope.spawn(move || attack(machine, attacker, host)))
            .into_iter()
            .try_for_each(|attack| match attack.join() {
                Ok(result) => result,
                Err(panic) => std::panic::resume_unwind(panic),
            })
    })?;
    let list = machine.shell("nicban list")?;
    for banned in ["198.51.100.7 ", "2001:db8:bad::/64 "] {
        let line = list.lines().find(|line| line.starts_with(banned));
        ensure!(
            line.is_some_and(|line| line.contains("sshd (5 failures)")),
            "{banned}: {list}"
        );
    }
    for honest in [HONEST, HONEST_V6] {
        wire.arrives(honest)?;
    }
    for (attacker, _) in ATTACKS {
        wire.blocked(attacker)?;
        machine.shell(&format!("fail2ban-client unban {attacker}"))?;
        wire.arrives(attacker)?;
    }
    let errors = machine.shell("grep ERROR /var/log/fail2ban.log || true")?;
    ensure!(errors.is_empty(), "{errors}");
    Ok(())
}

/// Guesses until sshd is out of reach.
fn attack(machine: &Machine, attacker: &str, host: &str) -> Result<()> {
    let (from, to) = (attacker.parse()?, host.parse()?);
    let banned = || -> Result<bool> {
        Ok(machine
            .shell("fail2ban-client get sshd banip")?
            .split_whitespace()
            .any(|banned| banned == attacker))
    };
    let outside = machine.site().outside();
    // One that is cut short by a busy machine tells nothing of sshd.
    wait::until(&format!("sshd answers {attacker}"), PATIENCE, || {
        let answer = guess(outside, from, to, 0, || false)?;
        Ok((answer == Guess::Refused).then_some(()))
    })?;
    for attempt in 1..GUESSES {
        if banned()? {
            break;
        }
        guess(outside, from, to, attempt, || banned().unwrap_or(true))?;
    }
    wait::until(&format!("fail2ban bans {attacker}"), PATIENCE, || {
        Ok(banned()?.then_some(()))
    })?;
    ensure!(
        guess(outside, from, to, 0, || false)? == Guess::NoAnswer,
        "{attacker} is banned, and sshd answers it"
    );
    Ok(())
}
