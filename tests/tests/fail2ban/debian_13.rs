//! fail2ban 1.1, as Debian 13 has it: where it could differ from the machine's 1.0.
//!
//! The whole suite runs with another fail2ban by `NICBAN_FAIL2BAN_ROOT=FOLDER`, the folder
//! in which its package is unpacked.

use anyhow::{Result, ensure};
use nicban_tests::hosts::Edition;

use crate::jails::a_reload_without_the_action_lifts_its_bans;
use crate::pair::restored_bans_cost_nothing;
use crate::restart::{
    bans_outlast_a_restart_and_unban_all_lifts_them, bans_outlast_the_restart_of_their_jail,
};
use crate::scene::Scene;
use crate::sentence::{LONGER, a_longer_sentence_reaches_kernel_and_store};

/// It has taken the shipped files, or its jails would not be up.
fn scene(settings: &str) -> Result<Scene> {
    let scene = Scene::with(Edition::of_debian_13()?, settings)?;
    let version = scene.client(&["version"])?;
    ensure!(version.trim().starts_with("1.1."), "it is {version}");
    Ok(scene)
}

#[test]
fn a_repeat_offenders_longer_sentence_reaches_kernel_and_store() {
    a_longer_sentence_reaches_kernel_and_store(&scene(LONGER).unwrap());
}

#[test]
fn a_restart_lets_no_packet_through_and_unban_all_lifts() {
    bans_outlast_a_restart_and_unban_all_lifts_them(&scene("").unwrap());
}

#[test]
fn a_jail_restart_lets_no_packet_through() {
    bans_outlast_the_restart_of_their_jail(&scene("").unwrap());
}

#[test]
fn the_action_taken_out_of_a_jail_lifts_its_bans() {
    a_reload_without_the_action_lifts_its_bans(&scene("").unwrap());
}

#[test]
fn restored_bans_run_no_command_and_are_lifted_all_the_same() {
    restored_bans_cost_nothing(scene("").unwrap());
}
