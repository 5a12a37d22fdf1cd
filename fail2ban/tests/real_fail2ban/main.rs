//! The shipped action under a real fail2ban: what it asks of the daemon, request by request.
//!
//! Needs fail2ban, no privileges, no network; touches no other fail2ban of the machine.
#![expect(
    clippy::disallowed_methods,
    reason = "a real fail2ban lives by the real clock"
)]

mod daemon;
mod fail2ban;

use std::thread;

use daemon::{Daemon, PROTECTED};
use fail2ban::{CLIENT_OF_SYNC, Fail2ban};
use nicban_protocol::{Ban, Request};

const V4: &str = "192.0.2.1";
const V6: &str = "2001:db8::1";

/// A running fail2ban with one jail, whose start has been seen, and the daemon that it asks.
fn scene(jail: &str) -> (Fail2ban, Daemon) {
    let mut fail2ban = Fail2ban::configure(&[("probe", jail)]);
    let mut daemon = Daemon::listen(&fail2ban.daemon_socket());
    fail2ban.start();
    assert_eq!(daemon.wait(1), [start()]);
    (fail2ban, daemon)
}

/// The next `count` bans, once fail2ban knows that they are done: what comes right after them
/// could otherwise meet a jail that has nothing to flush yet.
fn settled_bans(fail2ban: &Fail2ban, daemon: &mut Daemon, count: usize) -> Vec<Ban> {
    let bans = daemon.wait_bans(count);
    fail2ban.settle(daemon.banned());
    bans
}

fn start() -> Request {
    Request::Start {
        holder: "probe".into(),
    }
}

fn stop() -> Request {
    Request::Stop {
        holder: "probe".into(),
    }
}

fn lift() -> Request {
    Request::Lift {
        holder: "probe".into(),
    }
}

fn addresses(bans: &[Ban]) -> Vec<&str> {
    let mut all: Vec<&str> = bans.iter().map(|ban| ban.address.as_str()).collect();
    all.sort_unstable();
    all
}

/// The bans as fail2ban brings them back after a restart: the same sentence.
fn restored(bans: &[Ban]) -> Vec<(String, i64, i64, bool)> {
    let mut all: Vec<_> = bans
        .iter()
        .map(|b| (b.address.clone(), b.time, b.bantime, true))
        .collect();
    all.sort();
    all
}

fn as_told(bans: &[Ban]) -> Vec<(String, i64, i64, bool)> {
    let mut all: Vec<_> = bans
        .iter()
        .map(|b| (b.address.clone(), b.time, b.bantime, b.restored))
        .collect();
    all.sort();
    all
}

#[test]
fn bans_and_unbans_of_both_families() {
    let (fail2ban, mut daemon) = scene("");
    fail2ban.attack("probe", &[V4, V6]);
    let bans = settled_bans(&fail2ban, &mut daemon, 2);
    assert_eq!(addresses(&bans), [V4, V6]);
    for ban in &bans {
        assert_eq!(ban.holder, "probe");
        assert_eq!((ban.bantime, ban.bancount, ban.failures), (3600, 1, 2));
        assert!(!ban.restored);
    }
    // A time with a fraction, and a network.
    fail2ban.client(&["set", "probe", "banip", "203.0.113.0/24"]);
    assert_eq!(
        addresses(&settled_bans(&fail2ban, &mut daemon, 1)),
        ["203.0.113.0/24"]
    );
    for address in [V4, V6, "203.0.113.0/24"] {
        fail2ban.client(&["set", "probe", "unbanip", address]);
        let unban = Request::Unban {
            address: address.into(),
            holder: Some("probe".into()),
        };
        assert_eq!(daemon.take(), [unban]);
    }
}

#[test]
fn permanent_bans() {
    let (fail2ban, mut daemon) = scene("bantime = -1");
    fail2ban.attack("probe", &[V4]);
    assert_eq!(
        settled_bans(&fail2ban, &mut daemon, 1)[0].bantime,
        nicban_protocol::PERMANENT
    );
}

#[test]
fn unban_all_lifts_every_time() {
    let (fail2ban, mut daemon) = scene("");
    // One flush for each family that has bans. fail2ban would leave out the second and the
    // third round if the commands of the two families were the same.
    for (banned, flushes) in [(&[V4, V6][..], 2), (&[V4], 1), (&[V6], 1), (&[V6, V4], 2)] {
        fail2ban.attack("probe", banned);
        settled_bans(&fail2ban, &mut daemon, banned.len());
        fail2ban.client(&["unban", "--all"]);
        assert_eq!(daemon.take(), vec![lift(); flushes], "{banned:?}");
    }
    fail2ban.client(&["unban", "--all"]);
    assert_eq!(daemon.take(), []);
}

#[test]
fn a_reload_asks_nothing() {
    let (fail2ban, mut daemon) = scene("");
    fail2ban.attack("probe", &[V4, V6]);
    settled_bans(&fail2ban, &mut daemon, 2);
    fail2ban.client(&["reload"]);
    fail2ban.client(&["reload", "probe"]);
    assert_eq!(daemon.take(), []);
    // The reload has not forgotten what there is to flush.
    fail2ban.client(&["reload", "--unban", "probe"]);
    assert_eq!(daemon.take(), [lift(), lift()]);
}

#[test]
fn a_jail_that_restarts_lifts_nothing() {
    let (fail2ban, mut daemon) = scene("");
    fail2ban.attack("probe", &[V4, V6]);
    let before = settled_bans(&fail2ban, &mut daemon, 2);
    for words in [&["restart", "probe"][..], &["reload", "--restart", "probe"]] {
        fail2ban.client(words);
        // Two flushes that the action takes for what they are, and three stops.
        assert_eq!(
            daemon.wait(6),
            [stop(), stop(), stop(), stop(), stop(), start()]
        );
        assert_eq!(
            as_told(&settled_bans(&fail2ban, &mut daemon, 2)),
            restored(&before)
        );
    }
}

#[test]
fn a_start_begins_one_synchronisation_with_the_words_as_they_stand() {
    let (fail2ban, mut daemon) = scene("");
    let synced = format!(
        "[sync][--socket={}][--jail=probe][--settle=60s][--client={CLIENT_OF_SYNC}]\n",
        fail2ban.daemon_socket().display()
    );
    assert_eq!(fail2ban.wait_synced(1), std::slice::from_ref(&synced));
    fail2ban.attack("probe", &[V4, V6]);
    settled_bans(&fail2ban, &mut daemon, 2);
    fail2ban.client(&["reload"]);
    fail2ban.client(&["unban", "--all"]);
    fail2ban.client(&["restart", "probe"]);
    assert_eq!(fail2ban.wait_synced(2), [synced.clone(), synced]);
}

#[test]
fn a_synchronisation_that_cannot_run_keeps_no_jail_from_starting() {
    let (fail2ban, mut daemon) = scene("");
    fail2ban.wait_synced(1);
    fail2ban.remove_sync();
    fail2ban.client(&["restart", "probe"]);
    assert_eq!(daemon.wait(2), [stop(), start()]);
    fail2ban.attack("probe", &[V4]);
    settled_bans(&fail2ban, &mut daemon, 1);
    assert!(!fail2ban.log().contains("ERROR"), "{}", fail2ban.log());
}

#[test]
fn a_server_that_restarts_lifts_nothing() {
    let (mut fail2ban, mut daemon) = scene("");
    fail2ban.attack("probe", &[V4, V6]);
    let mut before = settled_bans(&fail2ban, &mut daemon, 2);
    fail2ban.client(&["set", "probe", "banip", "198.51.100.7"]);
    before.extend(settled_bans(&fail2ban, &mut daemon, 1));
    fail2ban.stop();
    assert_eq!(daemon.take(), vec![stop(); 5]);
    fail2ban.start();
    assert_eq!(daemon.wait(1), [start()]);
    assert_eq!(
        as_told(&settled_bans(&fail2ban, &mut daemon, 3)),
        restored(&before)
    );
    // `unban --all` means restored bans too.
    fail2ban.client(&["unban", "--all"]);
    assert_eq!(daemon.take(), [lift(), lift()]);
}

#[test]
fn a_jail_without_the_action_lifts_its_bans() {
    let (fail2ban, mut daemon) = scene("");
    fail2ban.attack("probe", &[V4]);
    settled_bans(&fail2ban, &mut daemon, 1);
    fail2ban.set_jails(&[("probe", "action =")]);
    fail2ban.client(&["reload"]);
    assert_eq!(daemon.take(), [lift(), stop(), stop()]);
}

#[test]
fn a_jail_that_is_taken_out_keeps_its_bans() {
    let (fail2ban, mut daemon) = scene("");
    fail2ban.attack("probe", &[V6]);
    settled_bans(&fail2ban, &mut daemon, 1);
    fail2ban.set_jails(&[("other", "")]);
    fail2ban.client(&["reload"]);
    let stops: Vec<_> = daemon
        .wait(4)
        .into_iter()
        .filter(|request| *request == stop())
        .collect();
    assert_eq!(stops, vec![stop(); 3]);
}

#[test]
fn a_second_offence_is_prolonged() {
    let (mut fail2ban, mut daemon) = scene("bantime = 2\nbantime.increment = true");
    fail2ban.attack("probe", &[V6]);
    let first = settled_bans(&fail2ban, &mut daemon, 1).remove(0);
    assert_eq!((first.bantime, first.bancount), (2, 1));
    let unban = Request::Unban {
        address: V6.into(),
        holder: Some("probe".into()),
    };
    assert_eq!(daemon.wait(1)[0], unban);

    let mut offence = 1;
    let longest = loop {
        // Until the sentence is long enough to see it restored; each one is twice the last.
        fail2ban.attack("probe", &[V6]);
        let ban = settled_bans(&fail2ban, &mut daemon, 1).remove(0);
        let [Request::Prolong(longer)] = &daemon.wait(1)[..] else {
            panic!("no prolong")
        };
        offence += 1;
        assert_eq!(longer.time, ban.time);
        assert_eq!(longer.bantime, 1 << offence);
        assert_eq!(longer.bancount, offence);
        if offence == 4 {
            break longer.clone();
        }
        assert_eq!(daemon.wait(1)[0], unban);
    };
    fail2ban.stop();
    daemon.take();
    fail2ban.start();
    assert_eq!(daemon.wait(1), [start()]);
    assert_eq!(
        as_told(&settled_bans(&fail2ban, &mut daemon, 1)),
        restored(&[longest])
    );
}

#[test]
fn a_refused_ban_is_an_error_in_the_log() {
    let (fail2ban, mut daemon) = scene("");
    fail2ban.attack("probe", &[PROTECTED]);
    let asked = daemon.wait(3);
    assert!(matches!(
        &asked[..],
        [Request::Ban(first), Request::Check { .. }, Request::Ban(second)] if first == second
    ));
    // A barrier: what comes after it was logged after it.
    fail2ban.attack("probe", &[V4]);
    settled_bans(&fail2ban, &mut daemon, 1);
    let log = fail2ban.log();
    let line = log
        .lines()
        .find(|line| line.contains("nicban-action: ban 192.0.2.99"))
        .unwrap();
    assert!(
        line.contains("refused, protected: on the allow list"),
        "{line}"
    );
    assert!(!log.lines().any(|line| line.starts_with("NOTICE")), "{log}");
    assert!(log.contains("Error banning 192.0.2.99"), "{log}");
}

#[test]
fn a_hostile_address_reaches_no_shell() {
    let (fail2ban, mut daemon) = scene("");
    let trap = fail2ban.daemon_socket().with_file_name("trap");
    // No slash: fail2ban would take it for a network. Its commands run in its folder.
    for hostile in [
        "$(touch trap)",
        "`touch trap`",
        "x\"; touch trap; \"",
        "x'; touch trap; '",
        "x\ntouch trap",
        "--help",
        "--socket=x",
    ] {
        // `--` keeps fail2ban's own client from taking it for an option.
        fail2ban.client(&["--", "set", "probe", "banip", hostile]);
    }
    // All of them have been given to the action by now, and none came as far as the daemon.
    fail2ban.client(&["set", "probe", "banip", V6]);
    let bans = daemon.take();
    assert!(
        matches!(&bans[..], [.., Request::Ban(ban)] if ban.address == V6),
        "{bans:?}\n{}",
        fail2ban.log()
    );
    assert_eq!(
        bans.iter()
            .filter(|asked| matches!(asked, Request::Ban(_)))
            .count(),
        1
    );
    assert!(!trap.exists());
    assert!(
        fail2ban
            .log()
            .contains("nicban-action: the address is neither")
    );
}

#[test]
fn the_shipped_jail_takes_effect_on_a_stock_configuration() {
    let dump = fail2ban::dump_with_shipped_files();
    let sshd = |what: &str| {
        dump.lines()
            .find(|l| l.contains("'sshd'") && l.contains(what))
    };
    assert!(sshd("'add'").unwrap().contains("'systemd'"), "{dump}");
    let commands = |name: &str| sshd(&format!("'action', '{name}'")).unwrap();
    let (bans, lifts) = (commands("nicban"), commands("nicban-unban"));
    let has = |action: &str, verb: &str, options: &str| {
        let command = format!(
            "exec nicban-action --socket \"/run/nicban/nicban.sock\" {options}{verb} -- \"sshd\" \"<"
        );
        action.contains(&format!("['action{verb}', '{command}"))
    };
    let sync = "--sync \"nicban\" --client \"fail2ban-client\" ";
    assert!(has(bans, "start", sync), "{bans}");
    for verb in ["stop", "flush", "check", "ban", "prolong"] {
        assert!(has(bans, verb, ""), "{verb}: {bans}");
    }
    for verb in ["flush", "unban"] {
        assert!(has(lifts, verb, ""), "{verb}: {lifts}");
    }
    // Restored bans are not told, and each ban is lifted by one command.
    for empty in ["['norestored', True]", "['actionunban', '']"] {
        assert!(bans.contains(empty), "{empty}: {bans}");
    }
    for verb in ["start", "stop", "check", "ban", "prolong"] {
        assert!(
            lifts.contains(&format!("['action{verb}', '']")),
            "{verb}: {lifts}"
        );
    }
    assert!(
        !dump.lines().any(|line| line.starts_with("ERROR")),
        "{dump}"
    );
}

#[test]
fn many_jails_at_once() {
    let jails = [
        "a",
        "sshd-ddos",
        "apache_bad.bots",
        "a jail",
        "0123456789012345678901234",
    ];
    let fail2bans = jails.map(|name| {
        thread::spawn(move || {
            let mut fail2ban = Fail2ban::configure(&[(name, "")]);
            let mut daemon = Daemon::listen(&fail2ban.daemon_socket());
            fail2ban.start();
            assert_eq!(
                daemon.wait(1),
                [Request::Start {
                    holder: name.into()
                }]
            );
            fail2ban.attack(name, &[V4]);
            assert_eq!(settled_bans(&fail2ban, &mut daemon, 1)[0].holder, name);
            fail2ban.stop();
            assert_eq!(
                daemon.take(),
                vec![
                    Request::Stop {
                        holder: name.into()
                    };
                    3
                ]
            );
        })
    });
    for fail2ban in fail2bans {
        fail2ban.join().unwrap();
    }
}
