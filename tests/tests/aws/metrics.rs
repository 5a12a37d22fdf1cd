//! What Prometheus reads of the tier is what EC2 has counted.

use nicban_protocol::NaclState;
use nicban_tests::daemon::Scrape;
use nicban_tests::standin::faults::{Fault, FaultRule};

use crate::site::{ACL, Site, v4};

/// Outcomes as EC2 counts them, and as the metrics name them.
const OUTCOMES: [(&str, &str); 2] = [("ok", "ok"), ("RequestLimitExceeded", "throttled")];

/// Every series that EC2 can vouch for, with the value that it must have.
fn wanted(site: &Site) -> Vec<(String, u64)> {
    let mut series = Vec::new();
    for (family, v6) in [("ipv4", false), ("ipv6", true)] {
        series.push((format!("nicban_nacl_slots{{family=\"{family}\"}}"), 18));
        let labels = format!("acl=\"{ACL}\",direction=\"ingress\",family=\"{family}\"");
        let entries = site.count(ACL, v6) as u64;
        series.push((format!("nicban_nacl_entries{{{labels}}}"), entries));
    }
    let ec2 = &site.cloud.ec2;
    let promoted = ec2.count("CreateNetworkAclEntry", "ok");
    series.push(("nicban_nacl_promotions_total".to_owned(), promoted));
    for action in [
        "CreateNetworkAclEntry",
        "DeleteNetworkAclEntry",
        "DescribeNetworkAcls",
    ] {
        for (counted, outcome) in OUTCOMES {
            let calls = ec2.count(action, counted);
            let labels = format!("operation=\"{action}\",outcome=\"{outcome}\"");
            if calls > 0 {
                series.push((format!("nicban_aws_calls_total{{{labels}}}"), calls));
            }
        }
    }
    series
}

#[test]
fn the_metrics_of_the_tier_agree_with_ec2() {
    let mut site = Site::new("");
    let config = site.nicban_config();
    let scraped = config.replace("[metrics]\nenabled = false", "[metrics]\nenabled = true");
    assert_ne!(scraped, config);
    site.write_config(&scraped);
    let code = "RequestLimitExceeded".to_owned();
    let throttled = FaultRule::times("CreateNetworkAclEntry", 1, Fault::Error { code });
    site.cloud.ec2.inject(throttled);
    site.start_tier();
    for address in v4(1..=3) {
        site.ban(&address);
    }
    site.ban("2001:db8:bad:1::1");
    site.wait("all are denied", |site| {
        (site.denied(ACL).len() == 4).then_some(())
    });
    site.unban("198.51.100.3");
    site.wait("one is out again", |site| {
        (site.denied(ACL).len() == 3).then_some(())
    });
    assert_eq!(site.cloud.ec2.count("DeleteNetworkAclEntry", "ok"), 1);
    let refused = OUTCOMES[1].0;
    assert_eq!(site.cloud.ec2.count("CreateNetworkAclEntry", refused), 1);
    site.wait_state(NaclState::On, ACL);
    let wanted = site.wait("the metrics agree", |site| {
        let wanted = wanted(site);
        let scrape = Scrape::of(&site.host).unwrap();
        let differs = wanted
            .iter()
            .filter(|(series, value)| scrape.value(series) != Some(*value));
        // Told with the failure only. The daemon may be at an observation right now.
        let differs: Vec<_> = differs.inspect(|series| println!("{series:?}")).collect();
        differs.is_empty().then_some(wanted)
    });
    assert_eq!(wanted.len(), 4 + 1 + 4, "{wanted:?}");
}
