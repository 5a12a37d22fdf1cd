//! Thousands of networks a request, several requests on their way at once.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError, mpsc};
use std::thread;

use ipnet::IpNet;
use nicban_protocol::{Packer, Reply, Request, Tally, items};

use super::link::{Link, accepted, unexpected};
use crate::exit::{Exit, Failure};
use crate::target::{Ipv6Prefix, parse_network};

/// Requests on their way at once: while the daemon stores some, it reads others.
const LANES: usize = 8;

/// One request, and what it is about.
pub(super) struct Chunk {
    pub(super) request: Request,
    /// The place of its first network in the whole list.
    pub(super) first: usize,
    /// Its networks.
    pub(super) count: usize,
}

/// What was answered to a chunk.
pub(super) struct Answered {
    pub(super) first: usize,
    pub(super) count: usize,
    pub(super) tally: Tally,
}

/// Sends chunks until all are done or one fails; what was answered goes to `each`, in no order.
/// After a failure no further ones are sent, and what was under way is still told to `each`.
pub(super) fn send(
    link: &Link,
    chunks: impl Iterator<Item = Chunk> + Send,
    mut each: impl FnMut(Answered),
) -> Result<(), Failure> {
    let chunks = Mutex::new(chunks);
    let has_failed = AtomicBool::new(false);
    let (answers, answered) = mpsc::channel();
    let mut outcome = Ok(());
    thread::scope(|scope| {
        for _ in 0..LANES {
            let (answers, chunks, has_failed) = (answers.clone(), &chunks, &has_failed);
            scope.spawn(move || {
                while !has_failed.load(Ordering::Relaxed) {
                    let next = chunks.lock().unwrap_or_else(PoisonError::into_inner).next();
                    let Some(chunk) = next else { return };
                    let answer = one(link, &chunk);
                    if answer.is_err() {
                        has_failed.store(true, Ordering::Relaxed);
                    }
                    // The receiver outlives the scope.
                    drop(answers.send(answer));
                }
            });
        }
        drop(answers);
        for answer in answered {
            match answer {
                Ok(answer) => each(answer),
                // The first one says most.
                Err(failure) if outcome.is_ok() => outcome = Err(failure),
                Err(_) => {}
            }
        }
    });
    outcome
}

fn one(link: &Link, chunk: &Chunk) -> Result<Answered, Failure> {
    match accepted(link.ask(&chunk.request)?)? {
        Reply::Many(tally) => Ok(Answered {
            first: chunk.first,
            count: chunk.count,
            tally,
        }),
        other => Err(unexpected(&other)),
    }
}

/// Networks with their ends, as the daemon has them, page by page.
pub(super) struct Dump<'a> {
    link: &'a Link,
    holder: Option<&'a str>,
    after: Option<String>,
    ended: bool,
}

/// One page.
pub(super) struct Page {
    pub(super) bans: Vec<(IpNet, Option<i64>)>,
    pub(super) ipv6_prefix: Ipv6Prefix,
}

impl<'a> Dump<'a> {
    /// All bans, or those of one holder.
    pub(super) fn new(link: &'a Link, holder: Option<&'a str>) -> Self {
        Self {
            link,
            holder,
            after: None,
            ended: false,
        }
    }

    fn page(&mut self) -> Result<Page, Failure> {
        let request = Request::Dump {
            after: self.after.take(),
            holder: self.holder.map(str::to_owned),
        };
        let reply = self.link.call(&request)?;
        let Reply::Dump {
            networks,
            next,
            ipv6_prefix,
        } = reply
        else {
            return Err(unexpected(&reply));
        };
        let mut bans = Vec::new();
        for item in items(&networks) {
            let item = item.map_err(|error| nonsense(&error))?;
            let network = parse_network(item.network).map_err(|error| nonsense(&error))?;
            bans.push((network, item.until));
        }
        self.ended = next.is_none();
        self.after = next;
        Ok(Page {
            bans,
            ipv6_prefix: Ipv6Prefix::new(ipv6_prefix).unwrap_or_default(),
        })
    }
}

fn nonsense(error: &dyn std::error::Error) -> Failure {
    Failure::new(
        Exit::Failed,
        format!(
            "the daemon's list makes no sense: {error}; are it and this command of one version?"
        ),
    )
}

impl Iterator for Dump<'_> {
    type Item = Result<Page, Failure>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let page = self.page();
        self.ended |= page.is_err();
        Some(page)
    }
}

/// Requests that end a holder's bans on these networks.
pub(super) fn lifts<'a>(
    holder: &'a str,
    networks: &'a [IpNet],
) -> impl Iterator<Item = Chunk> + Send + 'a {
    let mut done = 0;
    std::iter::from_fn(move || {
        let first = done;
        let mut packer = Packer::new();
        while let Some(network) = networks.get(done)
            && !packer.is_full()
        {
            packer.push(network.addr(), Some(network.prefix_len()), None);
            done += 1;
        }
        (done > first).then(|| Chunk {
            first,
            count: done - first,
            request: Request::UnbanMany {
                holder: holder.to_owned(),
                networks: packer.finish(),
            },
        })
    })
}

/// Adds up what was answered.
pub(super) fn add(sum: &mut Tally, tally: &Tally) {
    for (sum, part) in [
        (&mut sum.enforced, tally.enforced),
        (&mut sum.prolonged, tally.prolonged),
        (&mut sum.unchanged, tally.unchanged),
        (&mut sum.expired, tally.expired),
        (&mut sum.protected, tally.protected),
        (&mut sum.refused, tally.refused),
        (&mut sum.full, tally.full),
        (&mut sum.lifted, tally.lifted),
        (&mut sum.still_held, tally.still_held),
    ] {
        *sum = sum.saturating_add(part);
    }
}
