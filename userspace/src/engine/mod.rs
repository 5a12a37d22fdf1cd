//! The engine: the only writer of bans, of the kernel's maps and of the store.
//!
//! It lives on a thread of its own and takes messages in batches. Each request is
//! planned on the bans, carried out in the kernel and committed in memory; at the
//! batch's end one transaction stores all of it, and only then is anyone told. If
//! the store refuses, the whole batch is taken back.

mod allow;
mod attach;
mod batch;
mod boot;
mod clock;
mod config;
mod detached;
mod interfaces;
mod many;
mod message;
mod requests;
mod restore;
mod snapshot;
mod tick;
mod words;

use std::{sync::Arc, thread};

use ipnet::IpNet;
use tokio::sync::{
    mpsc::{self, error::TryRecvError},
    watch,
};
use tracing::error;

pub use boot::EngineError;
pub use config::EngineConfig;
pub use detached::Detached;
pub use interfaces::Attachments;
pub use message::{EngineHandle, Market, Message};
pub use snapshot::Snapshot;

use crate::{
    allow::AllowList,
    bans::{Bans, Step, Unbanned},
    clock::Now,
    nacl::roster::Roster,
    rank::Ranking,
    store::{Clock, Store},
    xdp::{Counters, Links, ProgramLogger, Tables},
};
use batch::{Batch, shares_the_transaction};
use tick::Tally;

/// Messages that wait for the engine at the most; further senders wait in turn.
const QUEUE: usize = 1024;

/// Messages that share one transaction at the most.
const BATCH: usize = 256;

/// Requests about many networks among them, at the most: half of those that are let in at a
/// time (`control::dispatch`), so that while some are stored others are ready.
const BULK: usize = 4;

/// The engine's state.
pub struct Engine {
    config: EngineConfig,
    bans: Bans,
    /// For who tells of bans that were read before.
    unbanned: Unbanned,
    allow: AllowList,
    mode: nicban_protocol::Mode,
    store: Store,
    tables: Tables,
    counters: Counters,
    links: Links,
    program_log: Option<ProgramLogger>,
    attachments: Attachments,
    ranking: Ranking,
    tally: Tally,
    /// Draws up who competes for the slots.
    roster: Roster,
    /// The VPC's networks, once they are known, where bans of them are refused.
    vpc: Vec<IpNet>,
    /// What went wrong and has not been mended yet, each told once in the log.
    troubles: words::Troubles,
    /// The wall clock by which times are told now.
    clock: Clock,
    /// Steps of it that the store has not followed yet.
    steps: Vec<Step>,
    /// Whether the store knows of it.
    is_clock_stored: bool,
    /// More bans have ended than the last pass lifted.
    is_behind: bool,
    publish: watch::Sender<Arc<Snapshot>>,
}

impl Engine {
    /// Lets an engine run on a thread of its own until every handle is gone.
    pub fn spawn(self) -> std::io::Result<(EngineHandle, thread::JoinHandle<()>)> {
        let (sender, receiver) = mpsc::channel(QUEUE);
        let snapshots = self.publish.subscribe();
        let thread = thread::Builder::new()
            .name("engine".to_owned())
            .spawn(move || self.run(receiver))?;
        Ok((EngineHandle::new(sender, snapshots), thread))
    }

    fn run(mut self, mut receiver: mpsc::Receiver<Message>) {
        while let Some(first) = self.next_message(&mut receiver) {
            let mut bulk = usize::from(first.is_bulk());
            let mut messages = vec![first];
            while messages.len() < BATCH
                && bulk < BULK
                && let Ok(next) = receiver.try_recv()
            {
                bulk += usize::from(next.is_bulk());
                messages.push(next);
            }
            match Now::read() {
                Ok(now) => self.handle(messages, now),
                // Without a clock no sentence can be read. The senders learn it
                // from their answers' channels, which close.
                Err(errno) => error!(%errno, "cannot read the clock: requests are refused"),
            }
        }
    }

    /// The next message; one that time has passed where more bans have ended than one pass
    /// lifts, and nobody asks for anything meanwhile.
    fn next_message(&self, receiver: &mut mpsc::Receiver<Message>) -> Option<Message> {
        if !self.is_behind {
            return receiver.blocking_recv();
        }
        match receiver.try_recv() {
            Ok(message) => Some(message),
            Err(TryRecvError::Empty) => Some(Message::Tick),
            Err(TryRecvError::Disconnected) => None,
        }
    }

    /// Serves a batch of messages, which share one transaction.
    pub fn handle(&mut self, messages: Vec<Message>, now: Now) {
        let mut batch = Batch::default();
        self.follow_the_wall_clock(now);
        let mut tick = false;
        for message in messages {
            match message {
                Message::Request { request, reply } => {
                    let shared = shares_the_transaction(&request);
                    let answer = self.answer(request, now, &mut batch);
                    batch.answer(reply, answer, shared);
                }
                Message::Host(host) => self.follow_the_host(host, now),
                Message::Market { incumbents, reply } => {
                    // A planner that has gone needs no answer.
                    drop(reply.send(self.market(incumbents, now)));
                }
                Message::Vpc(networks) => self.vpc = networks,
                Message::Tick => tick = true,
                Message::Trouble { subject, line } => self.troubles.note(subject, line),
            }
        }
        // Requests come first: one may be the stop that a flush waits for.
        self.serve_deadlines(now, &mut batch);
        let answers = self.settle(batch, now);
        if tick {
            self.attach_where_it_was_busy(now);
            self.count(now);
            if let Some(log) = &mut self.program_log {
                log.flush();
            }
        }
        // Before the answers, so that who has one sees its effect.
        self.publish(now);
        answers.give();
    }
}
