//! The shipped pair of actions: restored bans cost no process, and are lifted all the same.

use nicban_tests::wait;

use crate::scene::{ALONE, BAD, BAD_V6, PATIENCE, Scene, WORSE};

#[test]
fn restored_bans_run_no_command_and_are_lifted_all_the_same() {
    restored_bans_cost_nothing(Scene::new("").unwrap());
}

pub(crate) fn restored_bans_cost_nothing(mut scene: Scene) {
    for address in [BAD, WORSE, BAD_V6] {
        scene.ban("sshd", address).unwrap();
    }
    restart(&mut scene);
    assert_eq!(scene.calls(" ban "), [""; 0]);
    // Looked for by one synchronisation of each jail, which finds nothing missing.
    scene.until_synced("sshd: fail2ban lists 3: 3 in force already, 0 added, 0 failed");
    assert_eq!(scene.calls("nicban sync").len(), 2, "{:?}", scene.calls(""));

    scene.client(&["set", "sshd", "unbanip", BAD]).unwrap();
    scene.arrives(BAD).unwrap();
    assert_eq!(scene.calls(" unban ").len(), 1, "{:?}", scene.calls(""));
    scene.blocked(WORSE).unwrap();
    // A new ban is told as ever.
    scene.ban("sshd", BAD).unwrap();
    assert_eq!(scene.calls(" ban ").len(), 1, "{:?}", scene.calls(""));
    scene.client(&["unban", "--all"]).unwrap();
    for address in [BAD, WORSE, BAD_V6] {
        scene.arrives(address).unwrap();
    }
    assert_eq!(scene.calls(" unban ").len(), 1, "{:?}", scene.calls(""));
}

#[test]
fn a_restored_ban_is_lifted_at_its_end_by_one_command() {
    let mut scene = Scene::new("bantime = 40").unwrap();
    scene.ban("sshd", BAD).unwrap();
    restart(&mut scene);
    scene.until_free(BAD).unwrap();
    scene.until_logged(&format!("Unban {BAD}")).unwrap();
    let unbans = wait::until("fail2ban has run its unban", PATIENCE, || {
        let unbans = scene.calls(" unban ");
        Ok((!unbans.is_empty()).then_some(unbans))
    });
    assert_eq!(unbans.unwrap().len(), 1, "{:?}", scene.calls(""));
}

#[test]
fn what_nicban_has_lost_comes_back_with_the_jail() {
    let scene = Scene::new("").unwrap();
    scene.ban("sshd", BAD).unwrap();
    let before = scene.held(BAD, "sshd").unwrap().unwrap();
    scene.stop_fail2ban().unwrap();
    scene.kill_daemon().unwrap();
    scene.forget_all().unwrap();
    scene.start_daemon().unwrap();
    scene.arrives(BAD).unwrap();
    scene.start_fail2ban().unwrap();
    let after = scene.until_held(BAD, "sshd").unwrap();
    scene.blocked(BAD).unwrap();
    assert!(
        (0..=1).contains(&(before.since - after.since)),
        "{before:?}, {after:?}"
    );
    scene.until_synced("sshd: fail2ban lists 1: 0 in force already, 1 added, 0 failed");
    scene.client(&["set", "sshd", "unbanip", BAD]).unwrap();
    scene.arrives(BAD).unwrap();
}

#[test]
fn one_action_alone_is_told_of_each_restored_ban() {
    let mut scene = Scene::new(ALONE).unwrap();
    scene.ban("sshd", BAD).unwrap();
    scene.ban("sshd", WORSE).unwrap();
    restart(&mut scene);
    wait::until("fail2ban has told of both", PATIENCE, || {
        Ok((scene.calls(" ban ").len() == 2).then_some(()))
    })
    .unwrap();
    scene.client(&["set", "sshd", "unbanip", BAD]).unwrap();
    scene.arrives(BAD).unwrap();
    scene.client(&["unban", "--all"]).unwrap();
    scene.arrives(WORSE).unwrap();
    assert_eq!(scene.calls("nicban sync"), [""; 0]);
}

/// Restarts fail2ban, and waits until it has restored `sshd`'s bans. Calls are noted from its
/// start on.
fn restart(scene: &mut Scene) {
    let fire = scene.under_fire(&[BAD]).unwrap();
    scene.stop_fail2ban().unwrap();
    fire.go_on().unwrap();
    assert_eq!(fire.leaked().unwrap(), 0);
    drop(fire);
    scene.note_calls().unwrap();
    scene.start_fail2ban().unwrap();
    scene.until_logged(&format!("Restore Ban {BAD}")).unwrap();
    scene.until_told("sshd", BAD).unwrap();
    scene.blocked(BAD).unwrap();
}
