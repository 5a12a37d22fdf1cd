//! The same life of an entry against moto, which does not know what we believe of EC2.

use nicban::aws::Ec2;
use nicban::nacl::acl::RuleAction;
use nicban::nacl::api::{AclApi, Mutation};
use nicban::nacl::error::ErrorKind;
use nicban_protocol::NaclState;
use nicban_tests::standin::moto::{Moto, Seeded};
use nicban_tests::standin::pair::Config;

use crate::adapter::rule;
use crate::site::Site;

const REGION: &str = "eu-central-1";

#[tokio::test]
async fn the_adapter_speaks_ec2_as_moto_does() {
    let moto = tokio::task::spawn_blocking(Moto::start);
    let moto = moto.await.unwrap().unwrap();
    let Seeded { vpc, subnet, acl } = moto.seed(REGION).unwrap();
    let ec2 = Ec2::at(&moto.endpoint(), REGION, "AKIASTANDIN", "secret").await;

    let found = ec2.describe_by_subnets(&[subnet]).await.unwrap();
    assert_eq!(found.len(), 1);
    assert_eq!((&found[0].id, &found[0].vpc), (&acl, &vpc));
    assert!(!found[0].firewall_manager);
    let before = found[0].entries.clone();
    assert!(before.iter().all(|entry| entry.action == RuleAction::Allow));
    assert!(
        ec2.describe_by_subnets(&["subnet-0000000a".to_owned()])
            .await
            .unwrap()
            .is_empty()
    );

    let entries = [rule(1, "198.51.100.1/32"), rule(2, "2001:db8:bad:1::/64")];
    for entry in entries {
        ec2.mutate(&acl, &Mutation::Create(entry)).await.unwrap();
        let again = ec2.mutate(&acl, &Mutation::Create(entry)).await;
        assert_eq!(again.unwrap_err().kind, ErrorKind::NumberTaken);
    }
    let denied = |seen: &nicban::nacl::acl::Acl| {
        let denies = seen.entries.iter();
        denies
            .filter(|entry| entry.action == RuleAction::Deny && entry.all_traffic)
            .map(|entry| (entry.position.number, entry.network.to_string()))
            .collect::<Vec<_>>()
    };
    let seen = ec2.describe(&acl).await.unwrap();
    let both = [(1, "198.51.100.1/32"), (2, "2001:db8:bad:1::/64")];
    assert_eq!(denied(&seen), both.map(|(n, c)| (n, c.to_owned())));

    let heir = rule(1, "203.0.113.9/32");
    ec2.mutate(&acl, &Mutation::Replace(heir)).await.unwrap();
    let seen = ec2.describe(&acl).await.unwrap();
    assert!(denied(&seen).contains(&(1, "203.0.113.9/32".to_owned())));
    for entry in entries {
        let delete = Mutation::Delete(entry.position);
        ec2.mutate(&acl, &delete).await.unwrap();
    }
    assert_eq!(ec2.describe(&acl).await.unwrap().entries, before);
    let unknown = Mutation::Create(heir);
    let error = ec2.mutate("acl-0123456789abcdef0", &unknown).await;
    assert_eq!(error.unwrap_err().kind, ErrorKind::AclMissing);
}

#[test]
fn the_daemon_works_with_moto_for_an_ec2() {
    Moto::install().unwrap();
    let mut site = Site::new("");
    let moto = site.host.enter(Moto::start).unwrap().unwrap();
    let Seeded { subnet, acl, .. } = site.host.enter(|| moto.seed(REGION)).unwrap().unwrap();
    let mut instance = Config::default().imds;
    instance.interfaces[0].subnet = subnet;
    let interfaces = instance.interfaces;
    let order = nicban_tests::standin::imds::ImdsControl::Interfaces { interfaces };
    site.cloud.imds.control(order);
    site.ec2 = moto.endpoint();

    let entries = |site: &Site, words: &str| {
        let found = site.nicban(&["nacl", "discover", "--json"]).json();
        assert_eq!(found["acls"][0]["id"], acl.as_str(), "{found:#}");
        let entries = found["acls"][0]["entries"].as_array().unwrap().clone();
        let denies = entries.iter().filter(|entry| entry["action"] == "deny");
        let networks = denies.map(|entry| {
            assert_eq!(entry["ours"], true, "{entry} {words}");
            entry["network"].as_str().unwrap().to_owned()
        });
        networks.collect::<std::collections::BTreeSet<_>>()
    };
    assert!(entries(&site, "before").is_empty());
    site.start();
    site.wait_state(NaclState::On, &acl);
    site.ban("198.51.100.1");
    site.ban("2001:db8:bad:1::1");
    site.wait("both are denied", |site| {
        let both = ["198.51.100.1/32", "2001:db8:bad:1::/64"].map(str::to_owned);
        (entries(site, "put in") == both.into()).then_some(())
    });
    site.unban("198.51.100.1");
    site.wait("one is denied", |site| {
        (entries(site, "one out").len() == 1).then_some(())
    });
    assert_eq!(site.nicban(&["nacl", "release"]).code, Some(0));
    assert!(entries(&site, "released").is_empty());
    site.wait_state(NaclState::Released, "released");
    site.stop();
    let said = site.nicban(&["nacl", "release", "--direct"]);
    assert_eq!(said.code, Some(0), "{said:?}");
}
