//! Proves on the real NACL that nicban can do its work.
//!
//! A deny for an address that nobody has is put in, seen, taken out, and seen gone.

use std::ops::RangeInclusive;
use std::time::Duration;

use ipnet::{IpNet, Ipv4Net};
use serde::Serialize;

use super::acl::{Acl, Direction, Position, Rule, RuleAction};
use super::api::{AclApi, Mutation};
use super::apply::{Outcome, perform};
use super::caller::{CallError, Caller};
use super::clock::Clock;
use super::ledger::{Ledger, LedgerEntry};
use super::plan::Change;

/// What is denied for the test: an address for documentation alone (RFC 5737).
pub const TEST_NETWORK: IpNet = IpNet::V4(Ipv4Net::new_assert(
    std::net::Ipv4Addr::new(192, 0, 2, 1),
    32,
));

/// How long an entry is the test's own business, in seconds: twice its patience for
/// EC2 to show a change, and calls that are retried in between. What is older was
/// left behind.
const AT_WORK_FOR: u64 = 300;

/// Whether a record is of a test that may be under way now (seconds since the Unix
/// epoch), in another process as a rule.
///
/// Nobody has banned the test's address, so a daemon would take the entry for that of
/// a ban which is over, and take it out before the test has seen it.
pub fn may_be_at_work(record: &LedgerEntry, now: i64) -> bool {
    record.rule.network == TEST_NETWORK && record.since.abs_diff(now) < AT_WORK_FOR
}

/// The pause between two looks at the NACL.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// One thing that was tried.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    /// What.
    pub what: String,
    /// Whether it went as it should.
    pub passed: bool,
    /// What was found, or what to do.
    pub detail: String,
    /// How long it took, in milliseconds.
    pub took_ms: u64,
}

/// The test of one NACL.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SelfTest {
    /// Its id.
    pub acl: String,
    /// What was tried, in turn; the first that failed ends all but the clean-up.
    pub checks: Vec<Check>,
}

impl SelfTest {
    /// Whether all went as it should.
    pub fn passed(&self) -> bool {
        !self.checks.is_empty() && self.checks.iter().all(|check| check.passed)
    }
}

/// Tests one NACL, with a number out of `numbers`, and waits for EC2 to show a
/// change for at most `patience` each time.
///
/// What was put in is taken out again whatever else fails. If that fails too, or
/// the future is dropped, the ledger still says that it is ours: a release takes it
/// out, and a reconciliation once the test can't be at work any more.
pub async fn selftest<A, C, L>(
    caller: &mut Caller<A, C>,
    ledger: &mut L,
    acl: &str,
    numbers: RangeInclusive<u16>,
    patience: Duration,
) -> SelfTest
where
    A: AclApi,
    C: Clock,
    L: Ledger + Send + ?Sized,
{
    let mut run = Run {
        began: caller.clock().monotonic(),
        caller,
        ledger,
        acl,
        patience,
        checks: Vec::new(),
    };
    if let Some(rule) = run.prepare(numbers).await {
        run.put_in_and_take_out(rule).await;
    }
    SelfTest {
        acl: acl.to_owned(),
        checks: run.checks,
    }
}

/// The highest number that is free and that comes before every allow, or why
/// there is none. The highest, because the plan begins with the lowest.
fn free_number(acl: &Acl, numbers: RangeInclusive<u16>) -> Result<u16, String> {
    let ingress = || {
        acl.entries
            .iter()
            .filter(|entry| entry.position.direction == Direction::Ingress)
    };
    let first_allow = ingress()
        .filter(|entry| entry.action == RuleAction::Allow)
        .map(|entry| entry.position.number)
        .min();
    let taken = |number: u16| ingress().any(|entry| entry.position.number == number);
    numbers
        .clone()
        .rev()
        .find(|&number| first_allow.is_none_or(|allow| number < allow) && !taken(number))
        .ok_or_else(|| {
            format!(
                "no free number in {} to {}{}",
                numbers.start(),
                numbers.end(),
                first_allow.map_or_else(String::new, |allow| format!(
                    " before the first allow, {allow}"
                ))
            )
        })
}

struct Run<'a, A, C, L: ?Sized> {
    caller: &'a mut Caller<A, C>,
    ledger: &'a mut L,
    acl: &'a str,
    patience: Duration,
    began: Duration,
    checks: Vec<Check>,
}

impl<A: AclApi, C: Clock, L: Ledger + Send + ?Sized> Run<'_, A, C, L> {
    fn note(&mut self, what: impl Into<String>, result: Result<String, String>) -> bool {
        let now = self.caller.clock().monotonic();
        let took = now.saturating_sub(self.began);
        self.began = now;
        let passed = result.is_ok();
        self.checks.push(Check {
            what: what.into(),
            passed,
            detail: result.unwrap_or_else(|problem| problem),
            took_ms: u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
        });
        passed
    }

    /// The rights and a place; `None` if one of them is missing.
    async fn prepare(&mut self, numbers: RangeInclusive<u16>) -> Option<Rule> {
        let seen = self.caller.describe(self.acl).await;
        let number = seen
            .as_ref()
            .map_err(CallError::to_string)
            .and_then(|acl| free_number(acl, numbers));
        let found = match &number {
            Ok(number) => Ok(format!("ingress rule {number} is free")),
            Err(problem) => Err(problem.clone()),
        };
        if !self.note("find a free rule number", found) {
            return None;
        }
        let rule = Rule {
            position: Position {
                direction: Direction::Ingress,
                number: number.ok()?,
            },
            network: TEST_NETWORK,
        };
        for mutation in [
            Mutation::Create(rule),
            Mutation::Replace(rule),
            Mutation::Delete(rule.position),
        ] {
            let allowed = self.caller.rehearse(self.acl, &mutation).await;
            let action = mutation.operation().action();
            let result = allowed
                .map(|()| "allowed".to_owned())
                .map_err(|error| error.to_string());
            if !self.note(format!("may ec2:{action} (dry run)"), result) {
                return None;
            }
        }
        Some(rule)
    }

    async fn put_in_and_take_out(&mut self, rule: Rule) {
        let created = self.perform(&Change::Create(rule)).await;
        // After a lost reply the entry may be there all the same.
        let may_be_there = match &created {
            Outcome::Done => true,
            Outcome::Failed(failed) => failed.in_doubt,
            Outcome::Unrecorded(_) | Outcome::NotTried => false,
        };
        self.note(Mutation::Create(rule).to_string(), result(created));
        if !may_be_there {
            return;
        }
        let seen = self.wait_for(rule, true).await;
        self.note("see it", seen);
        let deleted = self
            .perform(&Change::Delete {
                position: rule.position,
                network: rule.network,
            })
            .await;
        self.note("delete it", result(deleted));
        let gone = self.wait_for(rule, false).await;
        self.note("see it gone", gone);
    }

    async fn perform(&mut self, change: &Change) -> Outcome {
        perform(self.caller, self.ledger, self.acl, change).await
    }

    async fn wait_for(&mut self, rule: Rule, wanted: bool) -> Result<String, String> {
        let until = self.caller.clock().monotonic() + self.patience;
        loop {
            let acl = self
                .caller
                .describe(self.acl)
                .await
                .map_err(|error| error.to_string())?;
            let shown = acl.entries.iter().any(|entry| {
                entry.position == rule.position
                    && entry.action == RuleAction::Deny
                    && entry.network == rule.network
            });
            if shown == wanted {
                return Ok(if wanted { "there" } else { "gone" }.to_owned());
            }
            if self.caller.clock().monotonic() >= until {
                return Err(format!(
                    "not so after {} s; EC2 is eventually consistent, try again",
                    self.patience.as_secs()
                ));
            }
            self.caller.clock().sleep(LOOK_AGAIN).await;
        }
    }
}

fn result(outcome: Outcome) -> Result<String, String> {
    match outcome {
        Outcome::Done => Ok("done".to_owned()),
        Outcome::Failed(error) => Err(error.to_string()),
        Outcome::Unrecorded(error) => Err(error.to_string()),
        Outcome::NotTried => Err("not tried".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nacl::error::{ErrorKind, Operation};
    use crate::nacl::fake::{FakeApi, Fault, acl, allow_all, caller, deny, rule};
    use crate::nacl::ledger::MemoryLedger;
    use crate::nacl::market::MarketState;
    use crate::nacl::plan::{Input, PlanConfig, plan, release};
    use crate::nacl::quota::LearntQuotas;

    const PATIENCE: Duration = Duration::from_secs(30);

    async fn test(api: FakeApi) -> (SelfTest, FakeApi, MemoryLedger) {
        let mut caller = caller(api);
        let mut ledger = MemoryLedger::default();
        let test = selftest(&mut caller, &mut ledger, "acl-1", 1..=99, PATIENCE).await;
        (test, caller.into_api(), ledger)
    }

    fn failed(test: &SelfTest) -> Vec<&str> {
        test.checks
            .iter()
            .filter(|check| !check.passed)
            .map(|check| check.what.as_str())
            .collect()
    }

    #[tokio::test]
    async fn puts_in_sees_takes_out_sees_gone() {
        let api = FakeApi::with(acl("acl-1"));
        api.lag(3);
        let (test, api, ledger) = test(api).await;
        assert!(test.passed(), "{test:?}");
        assert_eq!(
            test.checks
                .iter()
                .map(|c| c.what.as_str())
                .collect::<Vec<_>>(),
            [
                "find a free rule number",
                "may ec2:CreateNetworkAclEntry (dry run)",
                "may ec2:ReplaceNetworkAclEntry (dry run)",
                "may ec2:DeleteNetworkAclEntry (dry run)",
                "create ingress rule 99 deny 192.0.2.1/32",
                "see it",
                "delete it",
                "see it gone",
            ]
        );
        assert_eq!(
            api.log(),
            [
                "acl-1 create ingress rule 99 deny 192.0.2.1/32",
                "acl-1 delete ingress rule 99"
            ]
        );
        assert!(api.entries("acl-1").is_empty());
        assert!(ledger.entries.is_empty());
    }

    #[tokio::test]
    async fn patience_ends_and_it_still_cleans_up() {
        let api = FakeApi::with(acl("acl-1"));
        api.lag(1000);
        let (test, api, ledger) = test(api).await;
        assert_eq!(failed(&test), ["see it"]);
        assert!(api.entries("acl-1").is_empty());
        assert!(ledger.entries.is_empty());
    }

    #[tokio::test]
    async fn a_missing_right_ends_it_before_anything_changes() {
        let api = FakeApi::with(acl("acl-1"));
        api.forbid(Operation::Delete);
        let (test, api, _) = test(api).await;
        assert_eq!(failed(&test), ["may ec2:DeleteNetworkAclEntry (dry run)"]);
        assert!(api.log().is_empty());
    }

    #[tokio::test]
    async fn an_entry_whose_reply_was_lost_is_taken_out() {
        let api = FakeApi::with(acl("acl-1"));
        api.fail_mutations([Fault::LoseReply]);
        let (test, api, ledger) = test(api).await;
        assert_eq!(failed(&test), ["create ingress rule 99 deny 192.0.2.1/32"]);
        assert!(api.entries("acl-1").is_empty());
        assert!(ledger.entries.is_empty());
    }

    #[tokio::test]
    async fn an_entry_that_could_not_be_taken_out_stays_on_record() {
        let api = FakeApi::with(acl("acl-1"));
        api.fail_mutations([Fault::Pass, Fault::Refuse(ErrorKind::Credentials)]);
        let (test, api, ledger) = test(api).await;
        assert_eq!(failed(&test), ["delete it", "see it gone"]);
        assert_eq!(api.entries("acl-1"), [deny(rule(99, "192.0.2.1/32"))]);
        assert_eq!(ledger.entries.len(), 1);
    }

    #[tokio::test]
    async fn a_full_nacl_is_said_to_be_full() {
        let api = FakeApi::with(acl("acl-1"));
        api.fail_mutations([Fault::Refuse(ErrorKind::QuotaReached)]);
        let (test, _, ledger) = test(api).await;
        assert!(!test.passed());
        let last = test.checks.last().unwrap();
        assert!(last.detail.contains("quota is reached"), "{}", last.detail);
        assert!(ledger.entries.is_empty());
    }

    #[tokio::test]
    async fn the_plan_leaves_a_test_at_work_alone_and_clears_up_after_one_that_died() {
        let api = FakeApi::with(acl("acl-1"));
        api.fail_mutations([Fault::Pass, Fault::Refuse(ErrorKind::Credentials)]);
        let (_, api, ledger) = test(api).await;
        let acls = [Acl {
            entries: api.entries("acl-1"),
            ..acl("acl-1")
        }];
        let since = ledger.entries[0].since;
        let steps = |now| {
            let input = Input {
                acls: &acls,
                ledger: &ledger.entries,
                candidates: &[],
                banned: &|_| false,
                allowed: &[],
                market: &MarketState::default(),
                learnt: &LearntQuotas::default(),
                account: None,
                config: &PlanConfig::default(),
                now,
            };
            let plan = plan(&input);
            assert!(plan.forget.is_empty() && plan.findings.is_empty());
            plan.steps
        };
        let later = since + i64::try_from(AT_WORK_FOR).unwrap();
        assert!(steps(since).is_empty());
        assert!(steps(later - 1).is_empty());
        let [step] = &steps(later)[..] else {
            panic!("{:?}", steps(later));
        };
        let position = rule(99, "192.0.2.1/32").position;
        let delete = Change::Delete {
            position,
            network: TEST_NETWORK,
        };
        assert_eq!(step.change, delete);
        // Who wants everything out has it out at once.
        assert_eq!(release(&acls, &ledger.entries, 0).steps.len(), 1);
    }

    #[test]
    fn the_number_is_free_and_before_every_allow() {
        let mut nacl = acl("acl-1");
        nacl.entries.push(allow_all(50));
        nacl.entries.push(deny(rule(49, "198.51.100.1/32")));
        assert_eq!(free_number(&nacl, 1..=99), Ok(48));
        assert_eq!(
            free_number(&nacl, 49..=99).unwrap_err(),
            "no free number in 49 to 99 before the first allow, 50"
        );
    }
}
