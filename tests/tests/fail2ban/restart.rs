//! Bans over the restarts of fail2ban, of a jail, of the daemon.

use nicban_protocol::{Ban, Outcome, Reply, Request};

use crate::scene::{BAD, BAD_V6, Scene, WORSE, now};

#[test]
fn a_fail2ban_restart_lets_no_packet_through_and_lengthens_nothing() {
    bans_outlast_a_restart_and_unban_all_lifts_them(&Scene::new("").unwrap());
}

pub(crate) fn bans_outlast_a_restart_and_unban_all_lifts_them(scene: &Scene) {
    scene.ban("sshd", BAD).unwrap();
    scene.ban("web", BAD).unwrap();
    scene.ban("web", BAD_V6).unwrap();
    let holders = || -> Vec<_> {
        let bans = scene.daemon().bans().unwrap();
        bans.into_iter()
            .map(|row| (row.address, row.holders))
            .collect()
    };
    let before = holders();
    let fire = scene.under_fire(&[BAD, BAD_V6]).unwrap();
    scene.stop_fail2ban().unwrap();
    fire.go_on().unwrap();
    scene.start_fail2ban().unwrap();
    for (jail, address) in [("sshd", BAD), ("web", BAD), ("web", BAD_V6)] {
        scene.until_told(jail, address).unwrap();
    }
    scene.until_logged("Restore Ban").unwrap();
    fire.go_on().unwrap();
    assert_eq!(fire.leaked().unwrap(), 0);
    drop(fire);
    assert_eq!(holders(), before, "the same ends, and nothing stored anew");

    scene.client(&["unban", "--all"]).unwrap();
    scene.arrives(BAD).unwrap();
    scene.arrives(BAD_V6).unwrap();
}

#[test]
fn a_restored_ban_changes_nothing() {
    let scene = Scene::new("").unwrap();
    scene.ban("sshd", BAD).unwrap();
    let held = scene.held(BAD, "sshd").unwrap().unwrap();
    let restored = Request::Ban(Ban {
        holder: "sshd".to_owned(),
        address: BAD.to_owned(),
        time: held.since,
        bantime: 3600,
        bancount: held.bancount,
        failures: held.failures,
        restored: true,
        reason: None,
    });
    let reply = scene.daemon().ask(&restored).unwrap();
    assert!(
        matches!(
            reply,
            Reply::Done {
                outcome: Outcome::Unchanged,
                ..
            }
        ),
        "{reply:?}"
    );
}

#[test]
fn a_jail_restart_lets_no_packet_through() {
    bans_outlast_the_restart_of_their_jail(&Scene::new("").unwrap());
}

pub(crate) fn bans_outlast_the_restart_of_their_jail(scene: &Scene) {
    scene.ban("sshd", BAD).unwrap();
    let before = scene.held(BAD, "sshd").unwrap();
    let fire = scene.under_fire(&[BAD]).unwrap();
    scene.client(&["restart", "sshd"]).unwrap();
    scene.client(&["stop", "sshd"]).unwrap();
    fire.go_on().unwrap();
    scene.client(&["reload"]).unwrap();
    scene.until_told("sshd", BAD).unwrap();
    fire.go_on().unwrap();
    assert_eq!(fire.leaked().unwrap(), 0);
    drop(fire);
    assert_eq!(scene.held(BAD, "sshd").unwrap(), before);
    scene.client(&["set", "sshd", "unbanip", BAD]).unwrap();
    scene.arrives(BAD).unwrap();
}

#[test]
fn a_ban_asked_for_while_the_daemon_is_dead_waits_for_it() {
    let scene = Scene::new("").unwrap();
    scene.ban("sshd", BAD).unwrap();
    let fire = scene.under_fire(&[BAD]).unwrap();
    scene.kill_daemon().unwrap();
    scene.fail_twice("root", WORSE).unwrap();
    // Logged just before the action runs.
    scene.until_logged(&format!("[web] Ban {WORSE}")).unwrap();
    scene.start_daemon().unwrap();
    scene.until_held(WORSE, "web").unwrap();
    scene.blocked(WORSE).unwrap();
    assert_eq!(fire.leaked().unwrap(), 0);
}

#[test]
fn a_ban_given_up_while_the_daemon_is_dead_is_logged_and_made_up_for_by_a_restart() {
    let scene = Scene::new("").unwrap();
    scene.ban("sshd", BAD).unwrap();
    scene.kill_daemon().unwrap();
    scene.fail_twice("root", WORSE).unwrap();
    let error = scene
        .until_logged(&format!("nicban-action: ban {WORSE}"))
        .unwrap();
    assert!(error.contains(WORSE), "{error}");
    assert!(error.contains("cannot connect"), "{error}");
    scene
        .until_logged(&format!("Error banning {WORSE}"))
        .unwrap();
    scene.blocked(BAD).unwrap();

    scene.start_daemon().unwrap();
    scene.blocked(BAD).unwrap();
    scene.arrives(WORSE).unwrap();
    // fail2ban counts it among its banned ones, and by a restart tells of them all.
    let status = scene.client(&["status", "web"]).unwrap();
    assert!(status.contains(WORSE), "{status}");
    scene.client(&["reload", "--restart", "--all"]).unwrap();
    let held = scene.until_held(WORSE, "web").unwrap();
    assert_eq!(held.until, Some(held.since + 3600));
    scene.blocked(WORSE).unwrap();
}

#[test]
fn a_ban_that_ends_while_fail2ban_is_down_is_lifted_by_the_daemon_at_its_end() {
    let scene = Scene::new("bantime = 8").unwrap();
    scene.ban("sshd", BAD).unwrap();
    let until = scene.held(BAD, "sshd").unwrap().unwrap().until.unwrap();
    scene.stop_fail2ban().unwrap();
    scene.blocked(BAD).unwrap();
    assert!(now() < until, "the machine was too slow to see the ban");
    scene.until_free(BAD).unwrap();
    assert!(now() >= until, "lifted {} s early", until - now());
    scene.arrives(BAD).unwrap();
}
