//! NACLs that are gone, with what nicban had put into them.

use std::collections::BTreeSet;
use std::time::Duration;

use super::acl::Acl;
use super::api::AclApi;
use super::caller::Caller;
use super::clock::Clock;
use super::error::ErrorKind;
use super::ledger::Ledger;
use super::reconcile::RoundError;

/// Strikes out what is recorded of NACLs that EC2 says do not exist, `settle` after the
/// last change to them. `observed` are those of the host's subnets: where EC2 shows
/// none, it is asked in the wrong Region or account, and every NACL seems to be gone.
pub async fn strike_out_gone<A, C, L>(
    caller: &mut Caller<A, C>,
    ledger: &mut L,
    observed: &[Acl],
    settle: Duration,
) -> Result<(), RoundError>
where
    A: AclApi,
    C: Clock,
    L: Ledger + Send + ?Sized,
{
    if observed.is_empty() {
        return Ok(());
    }
    let records = ledger.entries()?;
    let now = caller.clock().unix();
    let seen: BTreeSet<&str> = observed.iter().map(|acl| acl.id.as_str()).collect();
    let unseen: BTreeSet<&str> = records
        .iter()
        .map(|record| record.acl.as_str())
        .filter(|id| !seen.contains(id))
        .collect();
    for id in unseen {
        let of_it = || records.iter().filter(|record| record.acl == id);
        if of_it().any(|record| record.is_younger(settle, now)) {
            continue;
        }
        match caller.describe(id).await {
            Ok(_) => {}
            Err(failed) if failed.error.kind == ErrorKind::AclMissing => {
                for record in of_it() {
                    ledger.withdraw(id, &record.rule)?;
                }
            }
            Err(failed) => return Err(failed.into()),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nacl::fake::{FakeApi, acl, caller, rule};
    use crate::nacl::ledger::MemoryLedger;

    const SETTLE: Duration = Duration::from_secs(30);

    /// Records of a NACL that is gone, one that is not the subnets', and the subnets'.
    fn records(since: i64) -> MemoryLedger {
        let mut ledger = MemoryLedger::default();
        for id in ["acl-0", "acl-1", "acl-2"] {
            let rule = rule(1, "198.51.100.1/32");
            ledger.intend(id, &rule, since).unwrap();
        }
        ledger
    }

    async fn left(observed: &[Acl], since: i64) -> Vec<String> {
        let api = FakeApi::with(acl("acl-1"));
        api.add(acl("acl-2"));
        let mut caller = caller(api);
        let mut ledger = records(since);
        strike_out_gone(&mut caller, &mut ledger, observed, SETTLE)
            .await
            .unwrap();
        ledger.entries.into_iter().map(|it| it.acl).collect()
    }

    #[tokio::test]
    async fn what_is_gone_is_struck_out_and_nothing_else() {
        let all = ["acl-0", "acl-1", "acl-2"];
        let now = caller(FakeApi::default()).clock().unix();
        assert_eq!(left(&[acl("acl-2")], now - 30).await, ["acl-1", "acl-2"]);
        assert_eq!(left(&[acl("acl-2")], now - 29).await, all, "too young");
        assert_eq!(left(&[], now - 30).await, all, "another Region");
    }
}
