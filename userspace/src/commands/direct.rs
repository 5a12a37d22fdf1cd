//! What the operator's commands ask AWS themselves, without the daemon.

#[cfg(feature = "aws")]
pub(super) use with_aws::{discover, release, test};
#[cfg(not(feature = "aws"))]
pub(super) use without_aws::{discover, release, test};

use anyhow::Context as _;

use crate::{
    config::Config,
    nacl::released::Released,
    store::{FILE_NAME, SqliteLedger},
};

fn ledger(config: &Config) -> anyhow::Result<SqliteLedger> {
    let folder = &config.daemon.state_dir;
    // Where no daemon has run yet.
    std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    SqliteLedger::open(&folder.join(FILE_NAME)).context("cannot tell which entries are nicban's")
}

/// What the next daemon reads: it puts nothing in.
fn remember_the_release(config: &Config) -> anyhow::Result<()> {
    Released::in_folder(&config.daemon.state_dir)
        .set()
        .context("cannot remember the release")
}

#[cfg(feature = "aws")]
mod with_aws {
    use std::{collections::BTreeSet, time::Duration};

    use anyhow::bail;

    use super::{ledger, remember_the_release};

    use crate::{
        aws::{Ec2, Imds, site},
        commands::nacl::{
            DiscoveredAcl, DiscoveredEntry, DiscoveredInterface, Discovery, TestReport, TestStep,
        },
        config::Config,
        nacl::{
            acl::{Acl, RuleAction},
            apply::{Outcome, apply, strike_out},
            caller::Caller,
            clock::{Clock as _, SystemClock},
            discover::Discovery as Found,
            gone::strike_out_gone,
            ledger::{Ledger as _, LedgerEntry},
            market::MarketState,
            plan::{Finding, Input, plan, release as plan_release},
            quota::LearntQuotas,
            selftest::selftest,
        },
        store::{FILE_NAME, SqliteLedger},
    };

    /// Between two looks for what EC2 does not show yet.
    const LOOK_AGAIN: Duration = Duration::from_secs(5);

    /// How long EC2 may take to show a change.
    const PATIENCE: Duration = Duration::from_mins(1);

    struct Site {
        found: Found,
        caller: Caller<Ec2, SystemClock>,
        acls: Vec<Acl>,
    }

    async fn observe(config: &Config) -> anyhow::Result<Site> {
        let found = site::site(config, &Imds::new()).await?;
        let mut caller = site::caller(&config.nacl, &found).await;
        let acls = found.observe(&mut caller).await?;
        Ok(Site {
            found,
            caller,
            acls,
        })
    }

    pub(in crate::commands) async fn discover(config: &Config) -> anyhow::Result<Discovery> {
        // What is put in or taken out meanwhile is in one of the two readings.
        let mut ours = recorded(config)?;
        let Site { found, acls, .. } = observe(config).await?;
        ours.extend(recorded(config)?);
        let findings = findings(config, &found, &acls, &ours);
        Ok(Discovery {
            acls: acls
                .iter()
                .map(|acl| described(acl, &ours, &findings))
                .collect(),
            region: found.region,
            account: found.account,
            instance: found.instance,
            interfaces: found
                .interfaces
                .into_iter()
                .map(|interface| DiscoveredInterface {
                    name: interface.name,
                    mac: interface.mac,
                    id: interface.id,
                    subnet: interface.subnet,
                })
                .collect(),
        })
    }

    /// What the ledger says. A host that never ran the daemon has none.
    fn recorded(config: &Config) -> anyhow::Result<Vec<LedgerEntry>> {
        let store = config.daemon.state_dir.join(FILE_NAME);
        if !store.exists() {
            return Ok(Vec::new());
        }
        Ok(ledger(config)?.entries()?)
    }

    /// What a plan would notice.
    fn findings(
        config: &Config,
        found: &Found,
        acls: &[Acl],
        ours: &[LedgerEntry],
    ) -> Vec<Finding> {
        let noticed = plan(&Input {
            acls,
            ledger: ours,
            candidates: &[],
            banned: &|_| true,
            allowed: &site::place(found).vpc_networks,
            market: &MarketState::default(),
            learnt: &LearntQuotas::default(),
            account: Some(&found.account),
            config: &config.nacl.plan(),
            now: i64::MAX,
        });
        noticed.findings
    }

    fn described(acl: &Acl, ours: &[LedgerEntry], findings: &[Finding]) -> DiscoveredAcl {
        let mut entries: Vec<_> = acl.entries.iter().collect();
        entries.sort_by_key(|entry| entry.position);
        DiscoveredAcl {
            id: acl.id.clone(),
            owner: acl.owner.clone(),
            firewall_manager: acl.firewall_manager,
            entries: entries
                .into_iter()
                .map(|entry| DiscoveredEntry {
                    direction: entry.position.direction.to_string(),
                    number: entry.position.number,
                    action: match entry.action {
                        RuleAction::Allow => "allow".to_owned(),
                        RuleAction::Deny => "deny".to_owned(),
                    },
                    network: entry.network.to_string(),
                    ours: ours.iter().any(|record| {
                        record.acl == acl.id
                            && record.rule.position == entry.position
                            && record.rule.network == entry.network
                    }),
                })
                .collect(),
            findings: findings
                .iter()
                .filter(|finding| finding.acl() == acl.id)
                .map(ToString::to_string)
                .collect(),
        }
    }

    pub(in crate::commands) async fn test(config: &Config) -> anyhow::Result<TestReport> {
        let mut site = observe(config).await?;
        if site.acls.is_empty() {
            bail!(
                "EC2 shows no network ACL for the subnets {}",
                site.found.subnets().join(", ")
            );
        }
        let mut ledger = ledger(config)?;
        let mut report = TestReport {
            passed: true,
            steps: Vec::new(),
        };
        let plan = config.nacl.plan();
        for acl in &site.acls {
            let numbers = plan.range(acl).clone();
            let test = selftest(&mut site.caller, &mut ledger, &acl.id, numbers, PATIENCE).await;
            report.passed &= test.passed();
            report
                .steps
                .extend(test.checks.into_iter().map(|check| TestStep {
                    what: format!("{}: {}", acl.id, check.what),
                    passed: check.passed,
                    detail: check.detail,
                }));
        }
        Ok(report)
    }

    /// A line for each entry that was taken out.
    pub(in crate::commands) async fn release(config: &Config) -> anyhow::Result<Vec<String>> {
        let mut ledger = ledger(config)?;
        remember_the_release(config)?;
        let records = ledger.entries()?;
        if records.is_empty() {
            return Ok(Vec::new());
        }
        let found = site::site(config, &Imds::new()).await?;
        let mut caller = site::caller(&config.nacl, &found).await;
        let settle = config.nacl.plan().settle;
        let mut removed = Vec::new();
        loop {
            removed.extend(take_out(&mut caller, &mut ledger).await?);
            let observed = found.observe(&mut caller).await?;
            strike_out_gone(&mut caller, &mut ledger, &observed, settle).await?;
            let now = caller.clock().unix();
            let records = ledger.entries()?;
            if !records.iter().any(|record| record.is_younger(settle, now)) {
                return Ok(removed);
            }
            // EC2 shows by then whether there is an entry.
            caller.clock().sleep(LOOK_AGAIN).await;
        }
    }

    /// Takes out what EC2 shows.
    async fn take_out(
        caller: &mut Caller<Ec2, SystemClock>,
        ledger: &mut SqliteLedger,
    ) -> anyhow::Result<Vec<String>> {
        let records = ledger.entries()?;
        // Also from a NACL that this host's subnets have been taken from since.
        let known: BTreeSet<String> = records.iter().map(|entry| entry.acl.clone()).collect();
        let acls = caller.describe_each(&known).await?;
        let plan = plan_release(&acls, &records, caller.clock().unix());
        strike_out(ledger, &plan.forget)?;
        let report = apply(caller, ledger, &plan.steps).await;
        let mut removed = Vec::new();
        let mut failed = Vec::new();
        for (step, outcome) in plan.steps.iter().zip(&report.outcomes) {
            match outcome {
                Outcome::Done => removed.push(step.to_string()),
                Outcome::Failed(error) => failed.push(format!("{step}: {error}")),
                Outcome::Unrecorded(error) => failed.push(format!("{step}: {error}")),
                Outcome::NotTried => failed.push(format!("{step}: not tried")),
            }
        }
        if failed.is_empty() {
            return Ok(removed);
        }
        bail!(
            "{} of {} entries taken out; run it again for the rest:\n  {}",
            removed.len(),
            plan.steps.len(),
            failed.join("\n  ")
        );
    }
}

#[cfg(not(feature = "aws"))]
mod without_aws {
    use super::{ledger, remember_the_release};
    use crate::{
        commands::nacl::{Discovery, TestReport},
        config::Config,
        nacl::ledger::Ledger as _,
    };

    const WITHOUT: &str = "this nicban was built without AWS (cargo feature `aws`)";

    pub(in crate::commands) async fn discover(_config: &Config) -> anyhow::Result<Discovery> {
        anyhow::bail!(WITHOUT)
    }

    pub(in crate::commands) async fn test(_config: &Config) -> anyhow::Result<TestReport> {
        anyhow::bail!(WITHOUT)
    }

    /// Where nothing was put in, nothing has to be taken out, and AWS need not be asked.
    pub(in crate::commands) async fn release(config: &Config) -> anyhow::Result<Vec<String>> {
        let ledger = ledger(config)?;
        remember_the_release(config)?;
        if ledger.entries()?.is_empty() {
            return Ok(Vec::new());
        }
        anyhow::bail!("{WITHOUT}, and an earlier one has left entries in a NACL")
    }
}
