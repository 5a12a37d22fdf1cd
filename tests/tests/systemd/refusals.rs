//! Who is refused at the daemon's doors: the control socket and the metrics.

use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use nicban_tests::daemon::{GATEWAY, HOST, HOST_V6, Ran, Scrape};
use nicban_tests::net::Namespace;

use crate::machine::{ENABLE, INSTALL, Machine};

const BAD: &str = "198.51.100.7";

/// Two users: one of no group that matters, and one of a group of operators.
const USERS: &str = r"
useradd --system --user-group stranger
groupadd --system banners
useradd --system --user-group --groups banners oncall
";

/// Where the metrics are unless configured.
const METRICS: u16 = 10_187;

/// Another port that everybody may reach.
const OPEN: u16 = 10_188;

const PATIENCE: Duration = Duration::from_secs(5);

#[test]
fn a_stranger_is_refused_by_the_sockets_mode_and_then_by_its_credentials() -> Result<()> {
    let machine = Machine::boot(&[INSTALL, ENABLE, USERS].concat())?;
    let wire = machine.wire()?;
    wire.arrives(BAD)?;
    let bans = "nicban-action --wait 0 ban -- sshd 198.51.100.7 $(date +%s) 600";
    let refused = acting(&machine, "stranger", bans)?.with_code(3)?;
    ensure!(refused.contains("ermission denied"), "{refused}");
    // The daemon's own user may speak: whoever is it has the daemon. Others of its
    // group may not.
    let group = machine.ran(&format!(
        "setpriv --reuid stranger --regid nicban --clear-groups {bans}"
    ))?;
    ensure!(group.code == 3, "{group:?}");

    open_socket(&machine, "SocketMode=0666", "")?;
    let refused = acting(&machine, "stranger", bans)?.with_code(1)?;
    ensure!(refused.contains("forbidden"), "{refused}");
    for command in [
        "status",
        "list",
        "detach",
        "observe",
        "allow add 198.51.100.0/24",
        "nacl release",
    ] {
        let ran = acting(&machine, "stranger", &format!("nicban {command}"))?;
        ensure!(ran.code != 0, "{command}: {ran:?}");
        ensure!(ran.stderr.contains("may not speak"), "{command}: {ran:?}");
    }
    ensure!(!machine.shell("nicban list")?.contains(BAD));
    wire.arrives(BAD)?;
    let metrics = Scrape::of(machine.site().host())?;
    ensure!(metrics.value(r#"nicban_mode{mode="enforce"}"#) == Some(1));

    open_socket(
        &machine,
        "SocketMode=0660\\nSocketGroup=banners",
        "[daemon]\\nsocket_group = \"banners\"\\n",
    )?;
    let refused = acting(&machine, "stranger", bans)?.with_code(3)?;
    ensure!(refused.contains("ermission denied"), "{refused}");
    acting(&machine, "oncall", bans)?.well()?;
    wire.blocked(BAD)
}

/// A line of shell as another user, with the groups that it has.
fn acting(machine: &Machine, user: &str, line: &str) -> Result<Ran> {
    machine.ran(&format!(
        "setpriv --reuid {user} --regid {user} --init-groups {line}"
    ))
}

/// The socket with these directives, and the daemon with this configuration.
fn open_socket(machine: &Machine, directives: &str, config: &str) -> Result<()> {
    let folder = "/run/systemd/system/nicban.socket.d";
    machine
        .shell(&format!(
            "mkdir -p {folder}; printf '[Socket]\\n{directives}\\n' >{folder}/tests.conf; \
             printf '{config}' >/etc/nicban/nicban.toml; systemctl daemon-reload; \
             systemctl stop nicban.socket nicban.service; \
             systemctl start nicban.socket nicban.service"
        ))
        .map(drop)
}

#[test]
fn a_local_user_reaches_neither_store_nor_pins() -> Result<()> {
    let machine = Machine::boot(&[INSTALL, ENABLE, USERS].concat())?;
    open_socket(
        &machine,
        "SocketMode=0660\\nSocketGroup=banners",
        "[daemon]\\nsocket_group = \"banners\"\\n",
    )?;
    let kill = format!("kill {}", machine.main_pid()?);
    for user in ["stranger", "oncall"] {
        for line in [
            "cat /var/lib/nicban/nicban.db",
            "ls /var/lib/nicban",
            "touch /var/lib/nicban/detached",
            "ls /sys/fs/bpf/nicban",
            "rm /sys/fs/bpf/nicban/link_eth0",
            "cat /sys/fs/bpf/nicban/bans_v4",
            "touch /etc/nicban/nicban.toml",
            "touch /usr/bin/nicban",
            "rm /run/nicban/nicban.sock",
            "nicban detach --direct",
            &kill,
        ] {
            let ran = acting(&machine, user, &format!("sh -c '{line}'"))?;
            ensure!(ran.code != 0, "{user}: {line}: {ran:?}");
            let said = ran.stderr.to_lowercase();
            ensure!(
                said.contains("ermission denied") || said.contains("not permitted"),
                "{user}: {line}: {ran:?}"
            );
        }
    }
    let wire = machine.wire()?;
    machine.shell(&format!("nicban ban {BAD} --for 10m"))?;
    wire.blocked(BAD)
}

#[test]
fn the_metrics_are_on_loopback_and_nowhere_else() -> Result<()> {
    let machine = Machine::boot(&[INSTALL, ENABLE].concat())?;
    let (host, outside) = (machine.site().host(), machine.site().outside());
    outside.add_address("eth0", GATEWAY.parse::<IpAddr>()?.into())?;
    outside.add_route(&["192.0.2.0/24", "dev", "eth0"])?;
    Scrape::of(host)?;
    // Who can reach the host at all is shown by another door.
    let _open = host.enter(|| TcpListener::bind(("0.0.0.0", OPEN)))??;
    reach(outside, HOST, OPEN)?;
    for (place, name) in [(host, "the host itself"), (outside, "outside")] {
        let refused = reach(place, HOST, METRICS);
        let error = refused
            .err()
            .with_context(|| format!("{name} reads the metrics"))?;
        let refused = error
            .downcast_ref::<std::io::Error>()
            .map(std::io::Error::kind);
        ensure!(
            refused == Some(std::io::ErrorKind::ConnectionRefused),
            "{name}: {error:#}"
        );
    }
    let listening = machine.shell(&format!("ss -Hltn 'sport = :{METRICS}'"))?;
    ensure!(
        listening.lines().count() == 1 && listening.contains("127.0.0.1:10187"),
        "{listening}"
    );
    Ok(())
}

fn reach(from: &Namespace, address: &str, port: u16) -> Result<()> {
    let to = SocketAddr::new(address.parse()?, port);
    from.enter(|| TcpStream::connect_timeout(&to, PATIENCE))??;
    Ok(())
}

#[test]
fn a_configuration_that_would_open_the_metrics_is_refused() -> Result<()> {
    let machine = Machine::boot(&[INSTALL, ENABLE].concat())?;
    for listen in [
        "0.0.0.0:10187",
        "[::]:10187",
        &format!("{HOST}:10187"),
        &format!("[{HOST_V6}]:10187"),
    ] {
        machine.shell(&format!(
            "printf '[metrics]\\nlisten = \"{listen}\"\\n' >/etc/nicban/nicban.toml"
        ))?;
        let refused = machine.ran("nicban daemon --check")?.with_code(4)?;
        ensure!(
            refused.contains("a loopback address and a port"),
            "{refused}"
        );
        machine
            .ran("systemctl restart nicban.service")?
            .with_code(1)?;
        let journal = machine.journal()?;
        let told = journal.iter().rev().find(|(priority, _)| priority == "3");
        ensure!(
            told.is_some_and(
                |(_, said)| said.contains("a loopback address and a port") && said.contains(listen)
            ),
            "{listen}: {journal:?}"
        );
    }
    machine.shell("printf '[metrics]\\nlisten = \"[::1]:10187\"\\n' >/etc/nicban/nicban.toml")?;
    machine.shell("systemctl restart nicban.service")?;
    Ok(())
}
