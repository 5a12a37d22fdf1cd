//! What each request does.

use std::sync::Arc;

use nicban_protocol::{Allowed, Ban as Asked, Outcome, Refusal, RefusalKind, Reply, Request};

use super::{Engine, batch::Batch, restore, words};
use crate::{
    bans::{Ban, Hold, Until},
    clock::Now,
    target::Target,
};

/// Bytes that a page of bans may take, so that it fits one line.
const PAGE: usize = nicban_protocol::MAX_LINE - 1024;

/// Rows of a page at the most.
const ROWS: usize = 200;

type Answer = Result<Reply, Refusal>;

impl Engine {
    /// Serves a request. What it answers holds once the batch is settled.
    pub(super) fn answer(&mut self, request: Request, now: Now, batch: &mut Batch) -> Reply {
        self.serve(request, now, batch)
            .unwrap_or_else(Reply::Refused)
    }

    fn serve(&mut self, request: Request, now: Now, batch: &mut Batch) -> Answer {
        request.validate().map_err(words::invalid)?;
        match request {
            Request::Ban(asked) => self.ban(asked, Sentence::New, now, batch),
            Request::Prolong(asked) => self.ban(asked, Sentence::Longer, now, batch),
            Request::Unban { address, holder } => {
                let target = self.target(&address)?.target;
                self.unbanned.note(holder.as_deref(), Some(target));
                let change = self
                    .bans
                    .plan_unban(target, holder.as_deref(), now.seconds());
                // A jail may let go of what has ended already; an operator who
                // mistypes an address must hear of it.
                if holder.is_none() && change.outcome == Outcome::Unchanged {
                    return Err(words::refused(
                        RefusalKind::NotFound,
                        format_args!("{target} is not banned; see `nicban list {address}`"),
                    ));
                }
                self.carry_out(change, now, batch).map(words::done)
            }
            Request::Flush { holder } => {
                self.unbanned.note(Some(&holder), None);
                let holder = Arc::from(holder);
                let window = self.config.flush_window;
                let change = self.bans.plan_flush(&holder, window, now.seconds());
                self.carry_out(change, now, batch).map(words::done)
            }
            Request::Lift { holder } => {
                self.unbanned.note(Some(&holder), None);
                let change = self.bans.plan_lift(&Arc::from(holder), now.seconds());
                self.carry_out(change, now, batch).map(words::done)
            }
            Request::Start { holder } => {
                let change = self.bans.plan_start(&Arc::from(holder));
                self.carry_out(change, now, batch).map(words::done)
            }
            Request::Stop { holder } => {
                let change = self.bans.plan_stop(&Arc::from(holder));
                self.carry_out(change, now, batch).map(words::done)
            }
            Request::Check { .. } => Ok(words::done(Outcome::Ok)),
            Request::Mark {} => Ok(Reply::Mark {
                mark: self.unbanned.mark(),
            }),
            Request::Synced(synced) => {
                restore::log(&synced);
                Ok(words::done(Outcome::Ok))
            }
            Request::List {
                after,
                address,
                holder,
            } => self.list(after.as_deref(), address.as_deref(), holder.as_deref()),
            Request::BanMany(many) => self.ban_many(many, now, batch),
            Request::UnbanMany { holder, networks } => {
                self.unban_many(&holder, &networks, now, batch)
            }
            Request::Dump { after, holder } => self.dump(after.as_deref(), holder.as_deref()),
            Request::AllowAdd { network } => self.allow_add(&network, now),
            Request::AllowRemove { network } => self.allow_remove(&network),
            Request::AllowList {} => Ok(Reply::Allowed {
                allowed: self.allow.iter().map(allowed).collect(),
            }),
            Request::SetMode { mode } => self.set_mode(mode),
            Request::Attach {
                interface,
                confirm_s,
                ssh_peer,
            } => self.attach(interface.as_deref(), confirm_s, ssh_peer.as_deref(), now),
            Request::Confirm {} => self.confirm(),
            Request::Detach { interface } => self.detach(interface.as_deref()),
            Request::Status {}
            | Request::NaclPlan {}
            | Request::NaclRelease {}
            | Request::NaclResume {} => Err(words::refused(
                RefusalKind::Failed,
                "the engine does not serve this request",
            )),
        }
    }

    fn ban(&mut self, asked: Asked, sentence: Sentence, now: Now, batch: &mut Batch) -> Answer {
        let seconds = now.seconds();
        let address = self.target(&asked.address)?;
        if let Some(allow) = self.allow.covering(address.given, seconds) {
            return Err(words::refused(
                RefusalKind::Protected,
                self.on_the_allow_list(&asked.address, allow),
            ));
        }
        if let Some(vpc) = self.vpc.iter().find(|vpc| vpc.contains(&address.given)) {
            return Err(words::refused(
                RefusalKind::Protected,
                format_args!(
                    "{} is not banned: it is inside the VPC ({vpc}), and with compete = \"failures\" in [nacl] clients come through a load balancer, which speaks from there; does the log show the client's address?",
                    asked.address
                ),
            ));
        }
        let until = Until::of_sentence(asked.time, asked.bantime).map_err(words::invalid)?;
        let hold = Hold {
            holder: asked.holder.into(),
            since: asked.time,
            until,
            bancount: asked.bancount,
            failures: asked.failures,
            reason: asked.reason.map(Into::into),
        };
        let change = match sentence {
            Sentence::New => self
                .bans
                .plan_ban(address.target, hold, asked.restored, seconds),
            Sentence::Longer => self.bans.plan_prolong(address.target, hold, seconds),
        }
        .map_err(|full| words::full(&full))?;
        self.carry_out(change, now, batch).map(words::done)
    }

    fn list(&self, after: Option<&str>, address: Option<&str>, holder: Option<&str>) -> Answer {
        if let Some(address) = address {
            let target = self.target(address)?.target;
            let bans = self
                .bans
                .around(target)
                .filter(|ban| {
                    holder.is_none_or(|name| ban.holds().any(|hold| &*hold.holder == name))
                })
                .map(|ban| self.row(&ban))
                .collect();
            return Ok(Reply::Bans { bans, next: None });
        }
        let after = after.map(behind).transpose()?;
        let page = self.bans.page(after.as_ref(), ROWS, holder);
        let (mut bans, mut bytes, found) = (Vec::new(), 0, page.len());
        for ban in &page {
            let row = self.row(ban);
            bytes += serde_json::to_vec(&row).map_or(PAGE, |json| json.len() + 1);
            // At least one, or the next page would be this one again.
            if bytes > PAGE && !bans.is_empty() {
                break;
            }
            bans.push(row);
        }
        let more = bans.len() < found || found == ROWS;
        let next = if more {
            page.get(bans.len() - 1)
                .map(|ban| ban.target.network().to_string())
        } else {
            None
        };
        Ok(Reply::Bans { bans, next })
    }

    /// A ban as a row, with what was dropped of it.
    pub(super) fn row(&self, ban: &Ban<'_>) -> nicban_protocol::BanRow {
        let network = ban.target.network();
        words::row(
            ban,
            self.ranking.total(&network),
            self.ranking.rate(&network),
        )
    }

    fn set_mode(&mut self, mode: nicban_protocol::Mode) -> Answer {
        if self.mode == mode {
            return Ok(words::done(Outcome::Unchanged));
        }
        self.tables
            .set_mode(mode)
            .map_err(|error| words::failed(&error))?;
        if let Err(error) = self.store.set_mode(mode) {
            if let Err(kept) = self.tables.set_mode(self.mode) {
                self.troubles.note(
                    "mode",
                    format!(
                        "the kernel is in another mode than is shown; restart nicban: {}",
                        words::chain(&kept)
                    ),
                );
            }
            return Err(words::refused(RefusalKind::Failed, words::chain(&error)));
        }
        self.mode = mode;
        Ok(words::done(Outcome::Ok))
    }

    pub(super) fn target(&self, text: &str) -> Result<crate::target::Asked, Refusal> {
        Target::parse(text, self.config.ipv6_prefix).map_err(words::invalid)
    }
}

/// The ban that a page begins behind, as the page before named it.
pub(super) fn behind(text: &str) -> Result<Target, Refusal> {
    crate::target::parse_network(text)
        .and_then(Target::from_network)
        .map_err(words::invalid)
}

/// What is told: a ban, or that one ends later.
#[derive(Clone, Copy)]
enum Sentence {
    New,
    Longer,
}

fn allowed(allow: &crate::allow::Allow) -> Allowed {
    Allowed {
        network: allow.network.to_string(),
        origin: allow.origin,
        until: allow.until,
    }
}
