//! Carries a plan's steps out.
//!
//! The ledger goes first: before EC2 may have an entry, the ledger says that it is
//! ours. After a definite failure the record is withdrawn; where there is doubt it
//! stays, and a later observation shows which of the records is true: the plan
//! says so in what it wants struck out ([`strike_out`]).

use std::collections::BTreeMap;

use super::acl::Rule;
use super::api::{AclApi, Mutation};
use super::caller::{CallError, Caller};
use super::clock::Clock;
use super::error::Response;
use super::ledger::{Ledger, LedgerEntry, LedgerError};
use super::plan::{Change, Step};

/// What became of one step.
#[derive(Debug)]
pub enum Outcome {
    /// EC2 has acknowledged it.
    Done,
    /// EC2 has refused it, or has not answered.
    Failed(CallError),
    /// The ledger could not be written, so EC2 was not asked, or has done it and
    /// the record of it is out of date until the next observation.
    Unrecorded(LedgerError),
    /// An earlier step failed in a way that takes this one's ground away.
    NotTried,
}

/// What became of a plan.
#[derive(Debug, Default)]
pub struct Report {
    /// One outcome for each step, in their order.
    pub outcomes: Vec<Outcome>,
    /// NACLs whose further steps were left, with what is to be done about them.
    pub halted: BTreeMap<String, Response>,
    /// Whether all further steps were left: EC2, the credentials or the ledger
    /// failed, not one NACL.
    pub suspended: bool,
}

impl Report {
    /// Steps that EC2 has acknowledged.
    pub fn done(&self) -> usize {
        self.outcomes
            .iter()
            .filter(|outcome| matches!(outcome, Outcome::Done))
            .count()
    }

    /// Whether every step was.
    pub fn complete(&self) -> bool {
        self.done() == self.outcomes.len()
    }

    fn add(&mut self, acl: &str, outcome: Outcome) {
        match &outcome {
            Outcome::Done | Outcome::NotTried => {}
            Outcome::Unrecorded(_) => self.suspended = true,
            Outcome::Failed(failed) => match failed.response() {
                Response::Proceed | Response::Skip => {}
                Response::Retry | Response::Suspend => self.suspended = true,
                response @ (Response::Reobserve
                | Response::LearnQuota
                | Response::Rediscover
                | Response::TurnOff) => {
                    self.halted.insert(acl.to_owned(), response);
                }
            },
        }
        self.outcomes.push(outcome);
    }
}

/// Withdraws the records that an observation has disproved, which is to be done
/// before the steps of the same plan.
pub fn strike_out<L: Ledger + ?Sized>(
    ledger: &mut L,
    records: &[LedgerEntry],
) -> Result<(), LedgerError> {
    records
        .iter()
        .try_for_each(|record| ledger.withdraw(&record.acl, &record.rule))
}

/// Carries out the steps in their order, as the caller's budget allows.
///
/// A step that fails ends the steps of its NACL, or all of them, or none, as its
/// error asks for ([`Response`]). Dropping the future is safe: a record that was
/// written stays.
pub async fn apply<A, C, L>(caller: &mut Caller<A, C>, ledger: &mut L, steps: &[Step]) -> Report
where
    A: AclApi,
    C: Clock,
    L: Ledger + Send + ?Sized,
{
    let mut report = Report::default();
    for step in steps {
        let outcome = if report.suspended || report.halted.contains_key(&step.acl) {
            Outcome::NotTried
        } else {
            perform(caller, ledger, &step.acl, &step.change).await
        };
        match &outcome {
            Outcome::Done => tracing::info!("{step}"),
            Outcome::Failed(error) => tracing::warn!(%error, "{step}: failed"),
            Outcome::Unrecorded(error) => tracing::error!(%error, "{step}: not recorded"),
            Outcome::NotTried => {}
        }
        report.add(&step.acl, outcome);
    }
    report
}

fn mutation(change: &Change) -> Mutation {
    match *change {
        Change::Create(rule) => Mutation::Create(rule),
        Change::Replace { rule, .. } => Mutation::Replace(rule),
        Change::Delete { position, .. } => Mutation::Delete(position),
    }
}

/// Carries out one change, the ledger first.
pub(crate) async fn perform<A, C, L>(
    caller: &mut Caller<A, C>,
    ledger: &mut L,
    acl: &str,
    change: &Change,
) -> Outcome
where
    A: AclApi,
    C: Clock,
    L: Ledger + Send + ?Sized,
{
    let mut intended = None;
    if let Change::Create(rule) | Change::Replace { rule, .. } = change {
        match intend(ledger, acl, rule, caller.clock().unix()) {
            Ok(before) => intended = Some((rule, before)),
            Err(error) => return Outcome::Unrecorded(error),
        }
    }
    let answer = caller.mutate(acl, &mutation(change)).await;
    let recorded = match (&answer, change, intended) {
        (Ok(()), Change::Delete { position, .. }, _) => ledger.forget(acl, *position),
        (Err(failed), _, Some((rule, None))) if !failed.in_doubt => ledger.withdraw(acl, rule),
        // It may be of an entry that is not shown yet: not this step's to withdraw.
        (Err(failed), _, Some((rule, Some(before)))) if !failed.in_doubt => {
            ledger.intend(acl, rule, before)
        }
        // In doubt the record stays; and after a success that of a replaced rule
        // does too, until that rule is no longer seen.
        _ => Ok(()),
    };
    match (answer, recorded) {
        (Ok(()), Ok(())) => Outcome::Done,
        // EC2's error says more of what to do than the ledger's: the record that
        // could not be withdrawn is settled like any other.
        (Err(failed), _) => Outcome::Failed(failed),
        (Ok(()), Err(error)) => Outcome::Unrecorded(error),
    }
}

/// Records a rule as put there at `now`, and says since when it was recorded before.
fn intend<L: Ledger + ?Sized>(
    ledger: &mut L,
    acl: &str,
    rule: &Rule,
    now: i64,
) -> Result<Option<i64>, LedgerError> {
    let known = ledger
        .entries()?
        .into_iter()
        .find(|entry| entry.acl == acl && entry.rule == *rule);
    ledger.intend(acl, rule, now)?;
    Ok(known.map(|entry| entry.since))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nacl::error::ErrorKind;
    use crate::nacl::fake::{FakeApi, Fault, acl, caller, deny, ingress, rule};
    use crate::nacl::ledger::MemoryLedger;
    use crate::nacl::plan::Reason;

    fn step(acl: &str, change: Change) -> Step {
        Step {
            acl: acl.into(),
            change,
            reason: Reason::Released,
        }
    }

    fn creates(acl: &str, count: u16) -> Vec<Step> {
        (1..=count)
            .map(|n| step(acl, Change::Create(rule(n, &format!("198.51.100.{n}/32")))))
            .collect()
    }

    fn shape(report: &Report) -> Vec<&'static str> {
        report
            .outcomes
            .iter()
            .map(|outcome| match outcome {
                Outcome::Done => "done",
                Outcome::Failed(_) => "failed",
                Outcome::Unrecorded(_) => "unrecorded",
                Outcome::NotTried => "not tried",
            })
            .collect()
    }

    const OLD: &str = "198.51.100.1/32";
    const NEW: &str = "203.0.113.9/32";

    fn replace() -> Change {
        Change::Replace {
            rule: rule(1, NEW),
            from: OLD.parse().unwrap(),
        }
    }

    /// A NACL with one entry of ours, and the ledger that says so.
    fn ours() -> (FakeApi, MemoryLedger) {
        let mut nacl = acl("acl-1");
        nacl.entries.push(deny(rule(1, OLD)));
        let mut ledger = MemoryLedger::default();
        ledger.intend("acl-1", &rule(1, OLD), 7).unwrap();
        (FakeApi::with(nacl), ledger)
    }

    #[tokio::test]
    async fn all_three_changes_and_their_records() {
        let (api, mut ledger) = ours();
        let mut caller = caller(api);
        let steps = [
            step("acl-1", Change::Create(rule(2, "198.51.100.2/32"))),
            step("acl-1", replace()),
        ];
        let report = apply(&mut caller, &mut ledger, &steps).await;
        assert!(report.complete());
        assert_eq!(
            caller.api().entries("acl-1"),
            [deny(rule(1, NEW)), deny(rule(2, "198.51.100.2/32"))]
        );
        // Until it is seen, either of the two may be what a describe shows.
        assert_eq!(
            ledger.networks("acl-1", ingress(1)),
            [OLD.parse().unwrap(), NEW.parse().unwrap()]
        );
        let delete = Change::Delete {
            position: ingress(2),
            network: "198.51.100.2/32".parse().unwrap(),
        };
        let report = apply(&mut caller, &mut ledger, &[step("acl-1", delete)]).await;
        assert!(report.complete());
        assert_eq!(caller.api().entries("acl-1"), [deny(rule(1, NEW))]);
        assert!(ledger.networks("acl-1", ingress(2)).is_empty());
    }

    #[tokio::test]
    async fn a_refused_create_leaves_no_record() {
        for kind in [
            ErrorKind::QuotaReached,
            ErrorKind::NumberTaken,
            ErrorKind::Forbidden,
            ErrorKind::Malformed,
            ErrorKind::AclMissing,
            ErrorKind::Credentials,
            ErrorKind::Unknown,
        ] {
            let api = FakeApi::with(acl("acl-1"));
            api.fail_mutations([Fault::Refuse(kind)]);
            let mut ledger = MemoryLedger::default();
            let report = apply(&mut caller(api), &mut ledger, &creates("acl-1", 1)).await;
            assert_eq!(shape(&report), ["failed"], "{kind}");
            assert!(ledger.entries.is_empty(), "{kind}");
        }
    }

    #[tokio::test]
    async fn a_refused_replace_leaves_the_old_record() {
        let (api, mut ledger) = ours();
        api.fail_mutations([Fault::Refuse(ErrorKind::Forbidden)]);
        apply(&mut caller(api), &mut ledger, &[step("acl-1", replace())]).await;
        assert_eq!(ledger.networks("acl-1", ingress(1)), [OLD.parse().unwrap()]);
        assert_eq!(ledger.entries[0].since, 7);
    }

    #[tokio::test]
    async fn a_refusal_does_not_touch_the_record_of_what_is_there() {
        for network in [OLD, NEW] {
            // The plan had not seen our own entry yet.
            let (api, mut ledger) = ours();
            let again = step("acl-1", Change::Create(rule(1, network)));
            let report = apply(&mut caller(api), &mut ledger, &[again]).await;
            assert_eq!(report.halted["acl-1"], Response::Reobserve);
            assert_eq!(ledger.networks("acl-1", ingress(1)), [OLD.parse().unwrap()]);
        }
    }

    #[tokio::test]
    async fn a_lost_reply_leaves_the_record_whether_the_change_was_made_or_not() {
        for fault in [Fault::LoseReply, Fault::Refuse(ErrorKind::Unreachable)] {
            let api = FakeApi::with(acl("acl-1"));
            api.fail_mutations([fault]);
            let mut ledger = MemoryLedger::default();
            let report = apply(&mut caller(api), &mut ledger, &creates("acl-1", 2)).await;
            assert_eq!(shape(&report), ["failed", "not tried"]);
            assert_eq!(report.halted["acl-1"], Response::Reobserve);
            assert_eq!(ledger.entries.len(), 1);
        }
    }

    #[tokio::test]
    async fn a_lost_reply_to_a_delete_leaves_the_record() {
        let (api, mut ledger) = ours();
        api.fail_mutations([Fault::LoseReply]);
        let delete = Change::Delete {
            position: ingress(1),
            network: OLD.parse().unwrap(),
        };
        apply(&mut caller(api), &mut ledger, &[step("acl-1", delete)]).await;
        assert_eq!(ledger.entries.len(), 1);
    }

    #[tokio::test]
    async fn a_fault_and_then_a_taken_number_may_be_our_own_entry() {
        let api = FakeApi::with(acl("acl-1"));
        api.fail_mutations([Fault::ApplyThen(ErrorKind::Unavailable)]);
        let mut ledger = MemoryLedger::default();
        let mut caller = caller(api);
        let report = apply(&mut caller, &mut ledger, &creates("acl-1", 1)).await;
        assert_eq!(report.halted["acl-1"], Response::Reobserve);
        assert_eq!(caller.api().entries("acl-1").len(), 1);
        assert_eq!(ledger.entries.len(), 1);
    }

    #[tokio::test]
    async fn what_is_wrong_with_one_nacl_does_not_stop_another() {
        for (kind, response) in [
            (ErrorKind::QuotaReached, Response::LearnQuota),
            (ErrorKind::NumberTaken, Response::Reobserve),
            (ErrorKind::AclMissing, Response::Rediscover),
            (ErrorKind::Forbidden, Response::TurnOff),
        ] {
            let api = FakeApi::with(acl("acl-1"));
            api.add(acl("acl-2"));
            api.fail_mutations([Fault::Pass, Fault::Refuse(kind)]);
            let steps = [creates("acl-1", 3), creates("acl-2", 1)].concat();
            let report = apply(&mut caller(api), &mut MemoryLedger::default(), &steps).await;
            assert_eq!(shape(&report), ["done", "failed", "not tried", "done"]);
            assert_eq!(report.halted, [("acl-1".into(), response)].into());
            assert!(!report.suspended);
        }
    }

    #[tokio::test]
    async fn what_is_wrong_with_ec2_stops_all() {
        for (kind, attempts) in [
            (ErrorKind::Throttled, 6),
            (ErrorKind::Unavailable, 6),
            (ErrorKind::Credentials, 1),
            (ErrorKind::Unknown, 1),
        ] {
            let api = FakeApi::with(acl("acl-1"));
            api.add(acl("acl-2"));
            api.fail_mutations([Fault::Refuse(kind); 6]);
            let steps = [creates("acl-1", 1), creates("acl-2", 1)].concat();
            let mut caller = caller(api);
            let report = apply(&mut caller, &mut MemoryLedger::default(), &steps).await;
            assert_eq!(shape(&report), ["failed", "not tried"]);
            assert!(report.suspended);
            assert_eq!(caller.api().log().len(), attempts);
        }
    }

    #[tokio::test]
    async fn a_malformed_step_is_skipped() {
        let api = FakeApi::with(acl("acl-1"));
        api.fail_mutations([Fault::Refuse(ErrorKind::Malformed)]);
        let report = apply(
            &mut caller(api),
            &mut MemoryLedger::default(),
            &creates("acl-1", 2),
        )
        .await;
        assert_eq!(shape(&report), ["failed", "done"]);
    }

    #[tokio::test]
    async fn of_two_records_the_disproved_one_is_struck_out() {
        let (api, mut ledger) = ours();
        apply(&mut caller(api), &mut ledger, &[step("acl-1", replace())]).await;
        let old = ledger.entries[0].clone();
        assert_eq!(old.rule, rule(1, OLD));
        strike_out(&mut ledger, &[old]).unwrap();
        assert_eq!(ledger.networks("acl-1", ingress(1)), [NEW.parse().unwrap()]);
    }

    #[tokio::test]
    async fn without_a_record_ec2_is_not_asked() {
        let mut caller = caller(FakeApi::with(acl("acl-1")));
        let mut ledger = MemoryLedger {
            refuse: 1,
            ..MemoryLedger::default()
        };
        let report = apply(&mut caller, &mut ledger, &creates("acl-1", 2)).await;
        assert_eq!(shape(&report), ["unrecorded", "not tried"]);
        assert!(caller.api().log().is_empty());
    }

    #[test]
    fn the_future_can_be_spawned() {
        fn spawnable(_: &(impl Send + ?Sized)) {}
        let mut caller = caller(FakeApi::with(acl("acl-1")));
        let mut ledger = MemoryLedger::default();
        spawnable(&apply(&mut caller, &mut ledger, &[]));
    }
}
