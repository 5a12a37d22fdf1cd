//! The adapter against moto, which does not know what we believe of EC2. What the daemon
//! makes of both stands beside the tests against the stand-in (`on_either`).

use nicban::aws::Ec2;
use nicban::nacl::acl::RuleAction;
use nicban::nacl::api::{AclApi, Mutation};
use nicban::nacl::error::ErrorKind;
use nicban_tests::standin::moto::{Moto, Seeded};

use crate::adapter::rule;
use crate::site::REGION;

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
