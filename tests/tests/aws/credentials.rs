//! The role's credentials are those of the hour.

use std::time::{Duration, Instant};

use nicban_protocol::NaclState;
use nicban_tests::standin::imds::ImdsControl;
use nicban_tests::standin::pair::Config;
use nicban_tests::wait;

use crate::site::{ACL, Site};

#[test]
fn they_are_renewed_before_they_expire() {
    let mut cloud = Config::default();
    cloud.imds.credentials_s = 20;
    let mut site = Site::with(cloud, "");
    site.start_tier();
    let began = Instant::now();
    // Longer than the first ones live.
    let limit = Duration::from_mins(1);
    wait::until("the first ones are over", limit, || {
        assert_eq!(site.status().nacl.state, NaclState::On, "{}", site.story());
        Ok((began.elapsed() > Duration::from_secs(25)).then_some(()))
    })
    .unwrap();
    site.ban("198.51.100.1");
    site.wait_denied(&["198.51.100.1/32"]);
    let calls = site.cloud.ec2.calls();
    let outcomes = &calls["DescribeNetworkAcls"];
    assert_eq!(outcomes.len(), 1, "{calls:?}");
}

#[test]
fn others_are_fetched_when_these_are_revoked() {
    let mut site = Site::new("");
    site.start_tier();
    site.cloud.imds.control(ImdsControl::RevokeCredentials);
    site.ban("198.51.100.1");
    site.wait("EC2 has refused the old ones", |site| {
        ["CreateNetworkAclEntry", "DescribeNetworkAcls"]
            .iter()
            .any(|action| site.cloud.ec2.count(action, "RequestExpired") > 0)
            .then_some(())
    });
    site.wait_denied(&["198.51.100.1/32"]);
    site.wait_state(NaclState::On, ACL);
}

#[test]
fn without_a_role_the_reason_says_so() {
    let mut cloud = Config::default();
    cloud.imds.role = None;
    let mut site = Site::with(cloud, "");
    site.start();
    site.wait_state(NaclState::Degraded, "no valid credentials");
    site.ban("198.51.100.1");
    let said = site.nicban(&["nacl", "test"]);
    assert_eq!(said.code, Some(1), "{said:?}");
    assert!(said.stderr.contains("credentials"), "{said:?}");
}
