//! `nicban sync`: what fail2ban has banned and nicban does not enforce.

use crate::scene::{ALONE, BAD, BAD_V6, NEAR_V6, Scene, WORSE};

#[test]
fn bans_of_a_lost_store_are_in_force_again_with_their_own_ends() {
    let scene = Scene::new(ALONE).unwrap();
    scene.ban("sshd", BAD).unwrap();
    scene.ban("web", BAD_V6).unwrap();
    let before = scene.held(BAD, "sshd").unwrap().unwrap();
    scene.kill_daemon().unwrap();
    scene.forget_all().unwrap();
    scene.start_daemon().unwrap();
    scene.arrives(BAD).unwrap();

    let said = scene.sync().unwrap();
    assert!(
        said.contains("sshd: fail2ban lists 1: 0 in force already, 1 added, 0 failed"),
        "{said}"
    );
    assert!(
        said.contains("web: fail2ban lists 1: 0 in force already, 1 added, 0 failed"),
        "{said}"
    );
    scene.blocked(BAD).unwrap();
    scene.blocked(BAD_V6).unwrap();
    // As the action bans it: the network around the address.
    scene.blocked(NEAR_V6).unwrap();
    scene.arrives(WORSE).unwrap();
    let after = scene.held(BAD, "sshd").unwrap().unwrap();
    // fail2ban lists whole seconds, and its action rounds them.
    assert!(
        (0..=1).contains(&(before.since - after.since)),
        "{before:?}, {after:?}"
    );
    assert_eq!(after.until, Some(after.since + 3600));
    let log = scene.daemon().log();
    assert!(
        log.contains("synchronised with fail2ban: sshd: fail2ban lists 1"),
        "{log}"
    );

    let said = scene.sync().unwrap();
    assert!(
        said.contains("sshd: fail2ban lists 1: 1 in force already, 0 added, 0 failed"),
        "{said}"
    );
    assert_eq!(scene.held(BAD, "sshd").unwrap().unwrap(), after);
    scene.client(&["set", "sshd", "unbanip", BAD]).unwrap();
    scene.arrives(BAD).unwrap();
}

#[test]
fn a_list_that_is_empty_while_the_jail_starts_lifts_nothing() {
    let scene = Scene::new(ALONE).unwrap();
    scene.ban("sshd", BAD).unwrap();
    let fire = scene.under_fire(&[BAD]).unwrap();
    let said = scene.sync_where("[ $asked = 2 ] && answer=").unwrap();
    assert!(
        said.contains("sshd: fail2ban lists 1: 1 in force already, 0 added, 0 failed"),
        "{said}"
    );
    fire.go_on().unwrap();
    assert_eq!(fire.leaked().unwrap(), 0);
}

#[test]
fn what_is_unbanned_after_it_was_listed_is_not_banned_again() {
    let scene = Scene::new(ALONE).unwrap();
    scene.ban("sshd", BAD).unwrap();
    scene.ban("sshd", WORSE).unwrap();
    // The list is told once; the ones after it would only put right what went wrong.
    let unban = format!("$client set sshd unbanip {BAD}; [ $asked = 1 ] || exit 1");
    scene.sync_where(&unban).unwrap_err();
    scene.arrives(BAD).unwrap();
    scene.blocked(WORSE).unwrap();
}

#[test]
fn a_jail_that_has_lost_the_action_is_not_banned_for_again() {
    let scene = Scene::new(ALONE).unwrap();
    scene.ban("sshd", BAD).unwrap();
    let jails = scene.jails(ALONE, "action =");
    scene.fail2ban().set_jails(&jails).unwrap();
    let error = scene
        .sync_where("[ $asked = 1 ] && $client reload >&2")
        .unwrap_err();
    assert!(
        error
            .to_string()
            .contains("sshd does not have the action nicban"),
        "{error}"
    );
    // fail2ban lists it all the while.
    let status = scene.client(&["status", "sshd"]).unwrap();
    assert!(status.contains(BAD), "{status}");
    scene.arrives(BAD).unwrap();
}
