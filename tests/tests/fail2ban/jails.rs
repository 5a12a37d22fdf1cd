//! What each of fail2ban's orders to a jail does to the packets.

use crate::scene::{BAD, BAD_V6, Scene, WORSE};

#[test]
fn banip_and_unbanip() {
    let scene = Scene::new("").unwrap();
    scene.arrives(BAD).unwrap();
    scene.ban("sshd", BAD).unwrap();
    scene.blocked(BAD).unwrap();
    scene.arrives(WORSE).unwrap();
    scene.client(&["set", "sshd", "unbanip", BAD]).unwrap();
    scene.arrives(BAD).unwrap();
}

#[test]
fn one_jails_unban_does_not_lift_anothers_ban() {
    let scene = Scene::new("").unwrap();
    scene.ban("sshd", BAD).unwrap();
    scene.ban("web", BAD).unwrap();
    scene.client(&["set", "sshd", "unbanip", BAD]).unwrap();
    assert_eq!(scene.held(BAD, "sshd").unwrap(), None);
    scene.blocked(BAD).unwrap();
    scene.client(&["set", "web", "unbanip", BAD]).unwrap();
    scene.arrives(BAD).unwrap();
}

#[test]
fn unban_all_lifts_at_once_every_time() {
    let scene = Scene::new("").unwrap();
    for _ in 0..2 {
        scene.ban("sshd", BAD).unwrap();
        scene.ban("web", BAD).unwrap();
        scene.ban("web", BAD_V6).unwrap();
        scene.blocked(BAD).unwrap();
        scene.blocked(BAD_V6).unwrap();
        scene.client(&["unban", "--all"]).unwrap();
        // Without a wait: when fail2ban has done it, it is done.
        scene.arrives(BAD).unwrap();
        scene.arrives(BAD_V6).unwrap();
    }
}

#[test]
fn a_reload_lifts_nothing_and_with_unban_all_of_its_jail() {
    let scene = Scene::new("").unwrap();
    scene.ban("sshd", BAD).unwrap();
    scene.ban("web", WORSE).unwrap();
    let fire = scene.under_fire(&[BAD, WORSE]).unwrap();
    scene.client(&["reload"]).unwrap();
    scene.client(&["reload", "sshd"]).unwrap();
    fire.go_on().unwrap();
    assert_eq!(fire.leaked().unwrap(), 0);
    drop(fire);
    scene.client(&["reload", "--unban", "sshd"]).unwrap();
    scene.arrives(BAD).unwrap();
    scene.blocked(WORSE).unwrap();
}

#[test]
fn the_action_taken_out_of_a_jail_lifts_its_bans() {
    a_reload_without_the_action_lifts_its_bans(&Scene::new("").unwrap());
}

pub(crate) fn a_reload_without_the_action_lifts_its_bans(scene: &Scene) {
    scene.ban("sshd", BAD).unwrap();
    scene.ban("web", WORSE).unwrap();
    let jails = scene.jails("", "action =");
    scene.fail2ban().set_jails(&jails).unwrap();
    scene.client(&["reload"]).unwrap();
    scene.arrives(BAD).unwrap();
    scene.blocked(WORSE).unwrap();
    let status = scene.client(&["status", "sshd"]).unwrap();
    assert!(status.contains(BAD), "fail2ban still counts it: {status}");
}

#[test]
fn a_jail_taken_out_keeps_its_bans() {
    let scene = Scene::new("").unwrap();
    scene.ban("sshd", BAD).unwrap();
    let before = scene.held(BAD, "sshd").unwrap();
    let fire = scene.under_fire(&[BAD]).unwrap();
    let jails = scene.jails("", "enabled = false");
    scene.fail2ban().set_jails(&jails).unwrap();
    scene.client(&["reload"]).unwrap();
    assert!(scene.client(&["status", "sshd"]).is_err());
    fire.go_on().unwrap();
    assert_eq!(fire.leaked().unwrap(), 0);
    assert_eq!(scene.held(BAD, "sshd").unwrap(), before);
}
