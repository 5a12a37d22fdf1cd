//! The NACL tier as text.

use ipnet::IpNet;
use nicban_protocol::{NaclEntry, NaclState, NaclStatus, NaclStep};

use super::human;
use super::table::{Column, table};
use crate::commands::nacl::{Discovery, TestReport, TestStep};

/// The state in a word, loud where someone must act.
pub(super) fn state(state: NaclState) -> &'static str {
    match state {
        NaclState::Off => "off",
        NaclState::On => "on",
        NaclState::Degraded => "DEGRADED",
        NaclState::Refused => "REFUSED",
        NaclState::Released => "released",
    }
}

/// The section of the status page.
pub(super) fn section(nacl: &NaclStatus, now: i64) -> String {
    let mut text = format!("NACL  {}: {}\n", state(nacl.state), nacl.reason);
    text.extend(loud(&nacl.findings));
    if nacl.slots_v4 > 0 || nacl.slots_v6 > 0 || !nacl.entries.is_empty() {
        let (v6, v4): (Vec<&NaclEntry>, Vec<&NaclEntry>) =
            nacl.entries.iter().partition(|entry| is_v6(&entry.network));
        text.extend([format!(
            "  slots used: IPv4 {} of {}, IPv6 {} of {}\n",
            v4.len(),
            nacl.slots_v4,
            v6.len(),
            nacl.slots_v6
        )]);
    }
    if !nacl.entries.is_empty() {
        text.push_str(&entries(&nacl.entries, now));
    }
    text
}

fn loud(findings: &[String]) -> impl Iterator<Item = String> {
    findings.iter().map(|finding| format!("  !! {finding}\n"))
}

fn is_v6(network: &str) -> bool {
    matches!(network.parse(), Ok(IpNet::V6(_)))
}

fn entries(entries: &[NaclEntry], now: i64) -> String {
    // All slots go by the same.
    let by_failures = entries.iter().any(|entry| entry.failures.is_some());
    let columns = [
        Column::Left("NACL"),
        Column::Left("DIRECTION"),
        Column::Right("RULE"),
        Column::Left("DENIES"),
        Column::Right(if by_failures {
            "FADED FAILURES"
        } else {
            "LAST RATE"
        }),
        Column::Left("FOR"),
        Column::Left("WHY"),
    ];
    table(
        2,
        &columns,
        entries.iter().map(|entry| {
            [
                entry.acl.clone(),
                entry.direction.clone(),
                entry.number.to_string(),
                entry.network.clone(),
                entry.failures.map_or_else(
                    || human::rate(entry.rate),
                    |failures| format!("{failures:.1}"),
                ),
                human::since(entry.since, now),
                entry.reason.clone(),
            ]
        }),
    )
}

/// `nicban nacl plan`.
pub fn plan(status: &NaclStatus, steps: &[NaclStep], now: i64) -> String {
    let mut text = section(status, now);
    if steps.is_empty() {
        text.push_str("\nNothing to do: all is as it should be.\n");
        return text;
    }
    text.push_str("\nNEXT\n");
    let columns = [
        Column::Left("NACL"),
        Column::Left("STEP"),
        Column::Left("WHY"),
    ];
    text.push_str(&table(
        2,
        &columns,
        steps
            .iter()
            .map(|step| [&step.acl, &step.action, &step.reason]),
    ));
    text
}

/// `nicban nacl discover`.
pub fn discovery(found: &Discovery) -> String {
    let mut text = format!(
        "Instance {} in {}, account {}\n\n",
        found.instance, found.region, found.account
    );
    let columns = [
        Column::Left("INTERFACE"),
        Column::Left("MAC"),
        Column::Left("ENI"),
        Column::Left("SUBNET"),
    ];
    text.push_str(&table(
        0,
        &columns,
        found.interfaces.iter().map(|interface| {
            let name = interface.name.as_deref().unwrap_or("?");
            [name, &interface.mac, &interface.id, &interface.subnet].map(str::to_owned)
        }),
    ));
    for acl in &found.acls {
        let manager = if acl.firewall_manager {
            ", managed by Firewall Manager"
        } else {
            ""
        };
        text.extend([format!("\n{}, owned by {}{manager}\n", acl.id, acl.owner)]);
        text.extend(loud(&acl.findings));
        let columns = [
            Column::Left("DIRECTION"),
            Column::Right("RULE"),
            Column::Left("ACTION"),
            Column::Left("NETWORK"),
            Column::Left("WHOSE"),
        ];
        text.push_str(&table(
            2,
            &columns,
            acl.entries.iter().map(|entry| {
                [
                    entry.direction.clone(),
                    entry.number.to_string(),
                    entry.action.clone(),
                    entry.network.clone(),
                    if entry.ours { "nicban" } else { "others" }.to_owned(),
                ]
            }),
        ));
    }
    text
}

/// `nicban nacl test`.
pub fn test(report: &TestReport) -> String {
    let mut text: String = report.steps.iter().map(step).collect();
    text.push_str(if report.passed {
        "The NACL tier works here.\n"
    } else {
        "The NACL tier does not work here.\n"
    });
    text
}

fn step(step: &TestStep) -> String {
    let verdict = if step.passed { "ok    " } else { "FAILED" };
    let colon = if step.detail.is_empty() { "" } else { ": " };
    format!("{verdict}  {}{colon}{}\n", step.what, step.detail)
}

#[cfg(test)]
mod tests {
    use nicban_protocol::{NaclEntry, NaclState, NaclStatus, NaclStep};

    use super::{discovery, plan, test};
    use crate::commands::nacl::{
        DiscoveredAcl, DiscoveredEntry, DiscoveredInterface, Discovery, TestReport, TestStep,
    };

    fn status() -> NaclStatus {
        NaclStatus {
            state: NaclState::On,
            reason: "acl-1 observed 20s ago".to_owned(),
            entries: vec![NaclEntry {
                acl: "acl-1".to_owned(),
                direction: "ingress".to_owned(),
                number: 7,
                network: "192.0.2.7/32".to_owned(),
                since: 100,
                rate: 1234.0,
                failures: None,
                reason: "highest rate".to_owned(),
            }],
            slots_v4: 18,
            slots_v6: 18,
            findings: vec!["rule 90 was removed by someone else".to_owned()],
        }
    }

    #[test]
    fn a_plan_shows_the_state_before_the_steps() {
        let steps = [NaclStep {
            acl: "acl-1".to_owned(),
            action: "create ingress 8 198.51.100.0/24".to_owned(),
            reason: "a slot is free".to_owned(),
        }];
        assert_eq!(
            plan(&status(), &steps, 400),
            "\
NACL  on: acl-1 observed 20s ago
  !! rule 90 was removed by someone else
  slots used: IPv4 1 of 18, IPv6 0 of 18
  NACL   DIRECTION  RULE  DENIES        LAST RATE  FOR  WHY
  acl-1  ingress       7  192.0.2.7/32    1,234/s  5m   highest rate

NEXT
  NACL   STEP                              WHY
  acl-1  create ingress 8 198.51.100.0/24  a slot is free
"
        );
    }

    #[test]
    fn slots_that_go_by_failures_show_no_rate() {
        let mut status = status();
        status.entries[0].failures = Some(9.14);
        status.entries[0].rate = 0.0;
        assert!(plan(&status, &[], 400).contains(
            "\
  NACL   DIRECTION  RULE  DENIES        FADED FAILURES  FOR  WHY
  acl-1  ingress       7  192.0.2.7/32             9.1  5m   highest rate
"
        ));
    }

    #[test]
    fn a_plan_without_steps_says_so() {
        assert!(plan(&status(), &[], 400).ends_with("\nNothing to do: all is as it should be.\n"));
    }

    #[test]
    fn a_discovery_names_what_is_in_the_way() {
        let found = Discovery {
            region: "eu-central-1".to_owned(),
            account: "111122223333".to_owned(),
            instance: "i-1".to_owned(),
            interfaces: vec![DiscoveredInterface {
                name: Some("ens5".to_owned()),
                mac: "0e:49:61:0f:c3:11".to_owned(),
                id: "eni-1".to_owned(),
                subnet: "subnet-1".to_owned(),
            }],
            acls: vec![DiscoveredAcl {
                id: "acl-1".to_owned(),
                owner: "444455556666".to_owned(),
                firewall_manager: true,
                entries: vec![DiscoveredEntry {
                    direction: "ingress".to_owned(),
                    number: 100,
                    action: "allow".to_owned(),
                    network: "0.0.0.0/0".to_owned(),
                    ours: false,
                }],
                findings: vec!["owned by another account".to_owned()],
            }],
        };
        assert_eq!(
            discovery(&found),
            "\
Instance i-1 in eu-central-1, account 111122223333

INTERFACE  MAC                ENI    SUBNET
ens5       0e:49:61:0f:c3:11  eni-1  subnet-1

acl-1, owned by 444455556666, managed by Firewall Manager
  !! owned by another account
  DIRECTION  RULE  ACTION  NETWORK    WHOSE
  ingress     100  allow   0.0.0.0/0  others
"
        );
    }

    #[test]
    fn a_test_shows_the_step_that_failed() {
        let report = TestReport {
            passed: false,
            steps: vec![
                TestStep {
                    what: "find the NACL".to_owned(),
                    passed: true,
                    detail: String::new(),
                },
                TestStep {
                    what: "create ingress 99".to_owned(),
                    passed: false,
                    detail: "the role may not: add ec2:CreateNetworkAclEntry".to_owned(),
                },
            ],
        };
        assert_eq!(
            test(&report),
            "\
ok      find the NACL
FAILED  create ingress 99: the role may not: add ec2:CreateNetworkAclEntry
The NACL tier does not work here.
"
        );
    }
}
