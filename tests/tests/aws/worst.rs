//! AWS at its worst: XDP goes on dropping, new bans and their ends take effect there at
//! once, the NACL follows when it is over, and the calls stay within the budget. All with
//! real packets, and with the calls as EC2 counts them.

use std::rc::Rc;
use std::time::{Duration, Instant};

use nicban_protocol::NaclState;
use nicban_tests::standin::config::Ec2Config;
use nicban_tests::standin::control::Control;
use nicban_tests::standin::faults::{Fault, FaultRule};
use nicban_tests::standin::imds::ImdsControl;
use nicban_tests::standin::state::Change;
use nicban_tests::standin::throttle::{Rate, Rates};

use crate::release::other_acl;
use crate::site::{ACL, OTHER_ACL, SUBNET, Site, host, v4};

const CREATE: &str = "CreateNetworkAclEntry";
const REPLACE: &str = "ReplaceNetworkAclEntry";
const DELETE: &str = "DeleteNetworkAclEntry";
const DESCRIBE: &str = "DescribeNetworkAcls";

/// Banned all the time, and sending all the time.
const BANNED: &str = "198.51.100.1";
/// Banned before the trouble, and no more when it is over.
const LEAVING: &str = "198.51.100.2";
/// Banned in the midst of it.
const COMING: &str = "198.51.100.3";
/// Never banned, and sending all the time.
const OTHER: &str = "203.0.113.77";

/// Changes at once, and per second after that.
const BURST: u32 = 4;
const PER_SECOND: f64 = 2.0;

/// The same for looks, which no setting changes.
const LOOKS: (u32, f64) = (20, 2.0);

/// By how many seconds calls may come in closer to each other than they were sent.
const LATE: f64 = 1.0;

fn budget() -> String {
    format!("calls_burst = {BURST}\ncalls_per_second = {PER_SECOND:.1}\n")
}

/// Expects that no span of time has more calls than the buckets let out.
fn kept_to_its_budget(site: &Site, burst: u32, per_second: f64) {
    let asked = site.cloud.ec2.asked();
    for (looks, (burst, per_second)) in [(true, LOOKS), (false, (burst, per_second))] {
        let calls: Vec<Instant> = asked
            .iter()
            .filter(|(_, action)| (action == DESCRIBE) == looks)
            .map(|(at, _)| *at)
            .collect();
        for (i, first) in calls.iter().enumerate() {
            for (j, last) in calls.iter().enumerate().skip(i) {
                let span = last.duration_since(*first).as_secs_f64();
                let most = (span + LATE).mul_add(per_second, f64::from(burst));
                let made = u32::try_from(j - i + 1).unwrap();
                assert!(
                    f64::from(made) <= most,
                    "{made} calls in {span} s\n{}",
                    site.story()
                );
            }
        }
    }
}

/// Something that goes wrong and is put right again.
struct Trouble {
    /// What is put under `[nacl]` beside the budget.
    more: &'static str,
    begin: fn(&mut Site),
    /// Whether the ban ends before the other one begins, or after.
    leaves_first: bool,
    /// Whether it takes both for the trouble to show.
    takes_both: bool,
    /// What the status says meanwhile.
    state: NaclState,
    reason: &'static str,
    end: fn(&mut Site),
}

impl Trouble {
    /// A trouble of EC2's calls.
    const fn of_calls(begin: fn(&mut Site), reason: &'static str) -> Self {
        Self {
            more: "",
            begin,
            leaves_first: false,
            takes_both: false,
            state: NaclState::Degraded,
            reason,
            end: |site| {
                site.cloud.ec2.clear_faults();
                let rates = Rates::default();
                let order = Control::Throttle { rates };
                site.cloud.ec2.control(order).unwrap();
            },
        }
    }

    /// A right that the role lacks.
    const fn of_rights(begin: fn(&mut Site)) -> Self {
        Self {
            state: NaclState::Refused,
            end: |site| {
                for action in [DESCRIBE, CREATE, REPLACE, DELETE] {
                    site.cloud.ec2.permit(action);
                }
            },
            ..Self::of_calls(begin, "UnauthorizedOperation")
        }
    }

    fn endure(&self) {
        let mut site = Site::new(&format!("{}{}", budget(), self.more));
        site.start_tier();
        let host_itself = Rc::clone(&site.host);
        let wire = Site::wire(&host_itself);
        wire.arrives(BANNED).unwrap();
        site.ban(BANNED);
        site.ban(LEAVING);
        site.wait_denied(&[&host(BANNED), &host(LEAVING)]);
        // Seen there too: nothing is under way.
        site.wait_nacl("both are shown", |nacl| nacl.entries.len() == 2);
        wire.blocked(LEAVING).unwrap();
        wire.arrives(COMING).unwrap();
        let dropped = site.status().ipv4.dropped;
        let arrived = wire.count(BANNED.parse().unwrap()).unwrap();
        let traffic = wire.traffic(&[BANNED, OTHER]).unwrap();

        (self.begin)(&mut site);
        let come = |site: &Site| {
            site.ban(COMING);
            wire.blocked(COMING).unwrap();
        };
        let leave = |site: &Site| {
            site.unban(LEAVING);
            wire.arrives(LEAVING).unwrap();
        };
        let turns: [&dyn Fn(&Site); 2] = if self.leaves_first {
            [&leave, &come]
        } else {
            [&come, &leave]
        };
        let (before, after) = turns.split_at(if self.takes_both { 2 } else { 1 });
        for turn in before {
            turn(&site);
        }
        site.wait_state(self.state, self.reason);
        for turn in after {
            turn(&site);
        }
        wire.blocked(COMING).unwrap();
        traffic.go_on_for(100).unwrap();

        (self.end)(&mut site);
        site.wait_denied(&[&host(BANNED), &host(COMING)]);
        let guard = site.guard.clone();
        site.wait_nacl("all is well again", |nacl| {
            nacl.state == NaclState::On
                && nacl.reason.contains(&guard)
                && nacl.entries.iter().filter(|it| it.acl == guard).count() == 2
        });
        let sent = traffic.end().unwrap();
        site.wait("the others' packets arrive", |_| {
            (wire.count(OTHER.parse().unwrap()).unwrap() == sent).then_some(())
        });
        let leaked = wire.count(BANNED.parse().unwrap()).unwrap() - arrived;
        assert_eq!(leaked, 0, "of {sent}");
        // Not lost on the way.
        site.wait("the drops are counted", |site| {
            (site.status().ipv4.dropped >= dropped + sent).then_some(())
        });
        println!("{}: {sent} sent by either, {leaked} arrived", self.reason);
        kept_to_its_budget(&site, BURST, PER_SECOND);
        let said = site.nicban(&["nacl", "release"]);
        assert_eq!(said.code, Some(0), "{said:?}");
        for acl in site.cloud.ec2.acls().keys() {
            assert_eq!(site.denied(acl).len(), 0, "{acl}");
        }
    }
}

/// Most of it is waiting.
fn endure(troubles: &[Trouble]) {
    std::thread::scope(|scope| {
        for trouble in troubles {
            scope.spawn(|| trouble.endure());
        }
    });
}

fn always(site: &Site, action: Option<&str>, fault: Fault) {
    site.cloud.ec2.inject(FaultRule {
        action: action.map(str::to_owned),
        times: None,
        fault,
    });
}

fn restart(site: &mut Site, more: &str) {
    site.stop();
    site.configure(&format!("{}{more}", budget()));
    site.start();
}

fn meddle(site: &Site, change: &Change) {
    site.cloud.ec2.meddle(change).unwrap();
}

fn delete_acl(site: &Site) {
    let acl = ACL.to_owned();
    meddle(site, &Change::DeleteAcl { acl });
}

fn tie_to_another(site: &mut Site) {
    let acl = other_acl();
    meddle(site, &Change::AddAcl { acl });
    OTHER_ACL.clone_into(&mut site.guard);
}

#[test]
fn calls_are_throttled_fail_or_are_not_answered() {
    endure(&[
        Trouble::of_calls(
            |site| {
                let none = Rate {
                    burst: 0.0,
                    per_second: 0.0,
                };
                let rates = Rates {
                    mutating: none,
                    describe: none,
                };
                let order = Control::Throttle { rates };
                site.cloud.ec2.control(order).unwrap();
            },
            "RequestLimitExceeded",
        ),
        Trouble::of_calls(
            |site| {
                let code = "InternalError".to_owned();
                always(site, None, Fault::Error { code });
            },
            "InternalError",
        ),
        Trouble::of_calls(
            |site| {
                for action in [CREATE, REPLACE, DELETE] {
                    always(site, Some(action), Fault::HalfOpen);
                }
            },
            "no usable reply",
        ),
    ]);
}

#[test]
fn credentials_expire_the_region_is_wrong_the_metadata_are_gone() {
    endure(&[
        // The old ones are over, and there is nobody to ask for others.
        Trouble {
            end: |site| site.cloud.imds.control(ImdsControl::Restore),
            ..Trouble::of_calls(
                |site| {
                    let orders = [
                        ImdsControl::TokenStatus { status: 403 },
                        ImdsControl::ForgetTokens,
                        ImdsControl::RevokeCredentials,
                    ];
                    for order in orders {
                        site.cloud.imds.control(order);
                    }
                },
                "no valid credentials",
            )
        },
        Trouble {
            state: NaclState::Refused,
            end: |site| restart(site, ""),
            ..Trouble::of_calls(
                |site| restart(site, "region = \"eu-north-1\"\n"),
                "AuthFailure",
            )
        },
        Trouble {
            end: |site| site.cloud.imds.control(ImdsControl::Restore),
            ..Trouble::of_calls(
                |site| {
                    let order = ImdsControl::TokenStatus { status: 403 };
                    site.cloud.imds.control(order);
                    restart(site, "");
                },
                "no session token",
            )
        },
    ]);
}

#[test]
fn one_call_is_not_permitted() {
    endure(&[
        Trouble::of_rights(|site| site.cloud.ec2.forbid(DESCRIBE)),
        Trouble::of_rights(|site| site.cloud.ec2.forbid(CREATE)),
        Trouble {
            leaves_first: true,
            ..Trouble::of_rights(|site| site.cloud.ec2.forbid(DELETE))
        },
    ]);
}

#[test]
fn a_swap_is_not_permitted() {
    // The default deny, the allow, and two slots, which are taken.
    let swap = Trouble {
        more: "quota = 4\n",
        takes_both: true,
        ..Trouble::of_rights(|site| site.cloud.ec2.forbid(REPLACE))
    };
    endure(&[swap]);
}

#[test]
fn the_nacl_is_deleted_or_another_takes_its_place_or_shows_late() {
    endure(&[
        Trouble {
            end: tie_to_another,
            ..Trouble::of_calls(|site| delete_acl(site), "no network ACL for subnet-")
        },
        Trouble {
            state: NaclState::On,
            ..Trouble::of_calls(
                |site| {
                    delete_acl(site);
                    tie_to_another(site);
                },
                OTHER_ACL,
            )
        },
        Trouble {
            state: NaclState::On,
            ..Trouble::of_calls(tie_to_another, OTHER_ACL)
        },
        Trouble {
            state: NaclState::On,
            ..Trouble::of_calls(
                |site| {
                    let delay = Duration::from_secs(10);
                    site.cloud.ec2.set_visibility_delay(delay);
                },
                ACL,
            )
        },
    ]);
}

#[test]
fn another_region_where_nothing_is_costs_no_record() {
    let mut site = Site::new("");
    site.start_tier();
    site.ban(BANNED);
    site.wait_denied(&[&host(BANNED)]);
    site.stop();
    // Its endpoint takes the credentials, and knows nothing of the subnet.
    let elsewhere = site.another_ec2(Ec2Config {
        region: "eu-north-1".to_owned(),
        any_access_key: true,
        subnets: Vec::new(),
        acls: Vec::new(),
        ..Ec2Config::one_subnet(SUBNET, ACL)
    });
    let right = std::mem::replace(&mut site.ec2, elsewhere.endpoint());
    site.configure("region = \"eu-north-1\"\n");
    site.start();
    let nacl = site.wait_state(NaclState::Degraded, "no network ACL");
    for word in [SUBNET, "eu-north-1"] {
        assert!(nacl.reason.contains(word), "{}", nacl.reason);
    }
    site.ban(COMING);
    // What does not exist there is not struck out: it is in its own Region.
    let said = site.nicban(&["nacl", "release"]);
    assert_eq!(said.code, Some(0), "{said:?}");
    site.stop();
    site.ec2 = right;
    site.configure("");
    site.start();
    site.wait_denied(&[]);
    assert_eq!(site.nicban(&["nacl", "resume"]).code, Some(0));
    site.wait_denied(&[&host(BANNED), &host(COMING)]);
}

#[test]
fn an_instance_whose_metadata_are_gone_is_not_taken_for_a_machine_elsewhere() {
    let mut site = Site::new("enabled = \"auto\"\n");
    site.start_tier();
    site.ban(BANNED);
    site.wait_denied(&[&host(BANNED)]);
    site.stop();
    let right = std::mem::replace(&mut site.imds, "http://127.0.0.1:9".to_owned());
    site.start();
    site.wait_state(NaclState::Degraded, "no answer");
    site.unban(BANNED);
    site.stop();
    site.imds = right;
    site.start();
    site.wait_denied(&[]);
    // With nothing left in a NACL it is one.
    site.wait_state(NaclState::On, ACL);
    site.stop();
    site.imds = "http://127.0.0.1:9".to_owned();
    site.start();
    site.wait_state(NaclState::Off, "not on AWS");
}

#[test]
fn a_plan_that_stops_half_way_and_a_crash_leave_nothing_twice_and_nothing_behind() {
    let mut site = Site::new(&budget());
    site.start_tier();
    let host_itself = Rc::clone(&site.host);
    let wire = Site::wire(&host_itself);
    let half = Rates {
        mutating: Rate {
            burst: 3.0,
            per_second: 0.0,
        },
        ..Rates::default()
    };
    let order = Control::Throttle { rates: half };
    site.cloud.ec2.control(order).unwrap();
    let all = v4(1..=6);
    for address in &all {
        site.ban(address);
    }
    site.wait("half of them are in", |site| {
        (site.count(ACL, false) == 3 && site.cloud.ec2.count(CREATE, "RequestLimitExceeded") > 0)
            .then_some(())
    });
    site.kill();
    for address in &all {
        wire.blocked(address).unwrap();
    }
    let rates = Rates::default();
    let order = Control::Throttle { rates };
    site.cloud.ec2.control(order).unwrap();
    // The reply to the first one is lost as well.
    let rule = FaultRule::times(CREATE, 1, Fault::ReplyLost);
    site.cloud.ec2.inject(rule);
    site.start();
    let denied: Vec<String> = all.iter().map(|address| host(address)).collect();
    let denied: Vec<&str> = denied.iter().map(String::as_str).collect();
    site.wait_denied(&denied);
    site.wait_nacl("all are known", |nacl| {
        nacl.state == NaclState::On && nacl.entries.len() == all.len()
    });
    let made = site.cloud.ec2.count(CREATE, "ok") + site.cloud.ec2.count(CREATE, "lost");
    assert_eq!(made, all.len() as u64, "{}", site.story());
    for address in &all {
        site.unban(address);
    }
    site.wait_denied(&[]);
}

#[test]
fn a_nacl_that_is_gone_again_and_again_gives_no_new_budget() {
    let (burst, per_second) = (2, 0.05);
    let more = format!("calls_burst = {burst}\ncalls_per_second = {per_second}\n");
    let mut site = Site::new(&more);
    site.start_tier();
    let code = "InvalidNetworkAclID.NotFound".to_owned();
    always(&site, Some(CREATE), Fault::Error { code: code.clone() });
    site.ban(BANNED);
    // Each refusal has the place discovered anew.
    site.wait("the budget is spent and one more is due", |site| {
        (site.cloud.ec2.count(CREATE, &code) > u64::from(burst)).then_some(())
    });
    kept_to_its_budget(&site, burst, per_second);
    site.cloud.ec2.clear_faults();
    site.wait_denied(&[&host(BANNED)]);
    kept_to_its_budget(&site, burst, per_second);
}

#[test]
fn what_shows_after_a_release_is_taken_out_too() {
    let mut site = Site::new("");
    site.cloud.ec2.set_visibility_delay(Duration::from_secs(8));
    site.start_tier();
    // The daemon does not know whether it was made.
    site.cloud
        .ec2
        .inject(FaultRule::times(CREATE, 1, Fault::ReplyLost));
    site.ban(BANNED);
    site.wait_denied(&[&host(BANNED)]);
    let said = site.nicban(&["nacl", "release"]);
    assert_eq!(said.code, Some(0), "{said:?}");
    site.wait_denied(&[]);
    site.wait_state(NaclState::Released, "released by the operator");
    site.stop();

    // Nor does the command that asks AWS itself.
    site.start();
    assert_eq!(site.nicban(&["nacl", "resume"]).code, Some(0));
    site.wait_state(NaclState::On, ACL);
    site.wait_denied(&[&host(BANNED)]);
    site.unban(BANNED);
    site.wait_denied(&[]);
    site.cloud
        .ec2
        .inject(FaultRule::times(CREATE, 1, Fault::ReplyLost));
    site.ban(COMING);
    site.wait("it is put in", |site| {
        (site.cloud.ec2.count(CREATE, "lost") == 2).then_some(())
    });
    site.kill();
    let said = site.nicban(&["nacl", "release", "--direct"]);
    assert_eq!(said.code, Some(0), "{said:?}");
    site.wait_denied(&[]);
}
