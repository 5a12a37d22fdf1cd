//! Requests about many networks at once: import, lift, export.

use std::sync::Arc;

use nicban_protocol::{
    AllowOrigin, Example, MAX_EXAMPLES, ManyBans, Outcome, Packer, Refusal, RefusalKind, Reply,
    Tally, items,
};

use super::{Engine, batch::Batch, requests::behind, words};
use crate::{
    allow::{Allow, Cover},
    bans::Until,
    clock::Now,
    target::Target,
};

/// Bans that one page of a dump looks at, at the most, when few of them are its holder's.
const LOOKED_AT: usize = 65_536;

/// An end later than this is none (`i64::MAX` is how bans keep "never").
const LATEST: i64 = nicban_protocol::MAX_TIME * 2;

type Answer = Result<Reply, Refusal>;

impl Engine {
    /// Bans all that may be banned; or, where the kernel refuses or there is no room, none.
    pub(super) fn ban_many(&mut self, many: ManyBans, now: Now, batch: &mut Batch) -> Answer {
        let seconds = now.seconds();
        let mut tally = Tally::default();
        if let Some(mark) = many.as_of {
            return self.ban_restored(many, mark, now, batch);
        }
        let holder: Arc<str> = many.holder.into();
        let bans = self.admit(&many.networks, many.until, seconds, &mut tally)?;
        let bans = bans.into_iter().map(|(target, until, _)| (target, until));
        let bans = bans.collect();
        let mut change = self
            .bans
            .plan_many(&holder, many.time, bans, seconds)
            .map_err(|full| words::refused(RefusalKind::Full, full))?;
        for (count, outcome) in [
            (&mut tally.enforced, Outcome::Enforced),
            (&mut tally.prolonged, Outcome::Prolonged),
            (&mut tally.unchanged, Outcome::Unchanged),
            (&mut tally.expired, Outcome::Expired),
        ] {
            *count += count_of(change.count(outcome));
        }
        let held = change.take_held();
        self.carry_out_fresh(&change, now, batch)
            .map_err(|error| words::failed(&error))?;
        // They are on other targets than the fresh ones, and undone with them if they fail.
        if let Err(refusal) = self.carry_out_all(held, now, batch) {
            self.take_back_last(now, batch);
            return Err(refusal);
        }
        Ok(Reply::Many(tally))
    }

    /// Ends a holder's bans on many networks.
    pub(super) fn unban_many(
        &mut self,
        holder: &str,
        networks: &str,
        now: Now,
        batch: &mut Batch,
    ) -> Answer {
        let mut tally = Tally::default();
        let mut targets = Vec::new();
        for item in items(networks) {
            let item = item.map_err(words::invalid)?;
            targets.push(self.target(item.network)?.target);
        }
        let told = targets.len();
        // Two plans about one target would not know of each other.
        targets.sort_unstable();
        targets.dedup();
        tally.unchanged += count_of(told - targets.len());
        let mut changes = Vec::with_capacity(targets.len());
        self.unbanned.note(Some(holder), None);
        for target in targets {
            let change = self.bans.plan_unban(target, Some(holder), now.seconds());
            match change.outcome {
                Outcome::Lifted => tally.lifted += 1,
                Outcome::StillHeld => tally.still_held += 1,
                _ => {
                    tally.unchanged += 1;
                    continue;
                }
            }
            changes.push(change);
        }
        self.carry_out_all(changes, now, batch)?;
        Ok(Reply::Many(tally))
    }

    /// A page of networks with their ends.
    pub(super) fn dump(&self, after: Option<&str>, holder: Option<&str>) -> Answer {
        let after = after.map(behind).transpose()?;
        let mut packer = Packer::new();
        let mut last = None;
        for ban in self.bans.after(after.as_ref()).take(LOOKED_AT) {
            if packer.is_full() {
                break;
            }
            last = Some(ban.target);
            let end = match holder {
                Some(holder) => ban.end_for(holder),
                None => Some(ban.end()),
            };
            if let Some(end) = end {
                let network = ban.target.network();
                let is_address = network.addr().is_ipv4() && network.prefix_len() == 32;
                let prefix = (!is_address).then(|| network.prefix_len());
                packer.push(network.addr(), prefix, end.seconds());
            }
        }
        let more = last.filter(|last| self.bans.after(Some(last)).next().is_some());
        Ok(Reply::Dump {
            networks: packer.finish(),
            next: more.map(|last| last.network().to_string()),
            ipv6_prefix: self.config.ipv6_prefix.bits(),
        })
    }

    /// Those that may be banned, each with its end, and its beginning if it has one of its own;
    /// the tally has the others.
    pub(super) fn admit(
        &self,
        networks: &str,
        until: Option<i64>,
        now: i64,
        tally: &mut Tally,
    ) -> Result<Vec<(Target, Until, Option<i64>)>, Refusal> {
        let cover = Cover::of(&self.allow);
        let mut bans = Vec::with_capacity(networks.len() / 12);
        for (at, item) in items(networks).enumerate() {
            let item = item.map_err(words::invalid)?;
            let address = match Target::parse(item.network, self.config.ipv6_prefix) {
                Ok(address) => address,
                // A list of networks that are in no use has them all.
                Err(error) if error.is_an_address() => {
                    tally.refused += 1;
                    example(tally, at, &error);
                    continue;
                }
                Err(error) => return Err(words::invalid(error)),
            };
            let given = address.given;
            if cover.may_cover(&given)
                && let Some(allow) = self.allow.covering(given, now)
            {
                tally.protected += 1;
                example(tally, at, &self.on_the_allow_list(item.network, allow));
                continue;
            }
            if let Some(vpc) = self.vpc.iter().find(|vpc| vpc.contains(&given)) {
                tally.protected += 1;
                let why = format!(
                    "{} is not banned: it is inside the VPC ({vpc})",
                    item.network
                );
                example(tally, at, &why);
                continue;
            }
            let until = match item.until.or(until) {
                Some(until) if until > LATEST => Until::Permanent,
                until => until.into(),
            };
            bans.push((address.target, until, item.since));
        }
        Ok(bans)
    }

    /// Why an address that is allowed is not banned.
    pub(super) fn on_the_allow_list(&self, given: &str, allow: &Allow) -> String {
        format!(
            "{given} is not banned: {} is on the allow list ({}){}",
            allow.network,
            self.why_allowed(allow),
            match allow.origin {
                AllowOrigin::Operator =>
                    format!("; `nicban allow remove {}` takes it off", allow.network),
                _ => String::new(),
            }
        )
    }
}

pub(super) fn example(tally: &mut Tally, at: usize, why: &dyn ToString) {
    if tally.examples.len() < MAX_EXAMPLES {
        tally.examples.push(Example {
            at: count_of(at),
            why: why.to_string(),
        });
    }
}

/// A line holds far fewer.
pub(super) fn count_of(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}
