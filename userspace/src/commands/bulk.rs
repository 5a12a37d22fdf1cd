//! Thousands of networks a request, several requests on their way at once.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError, mpsc};
use std::thread;

use ipnet::IpNet;
use nicban_protocol::{Packer, Reply, Request, Tally, items};

use super::link::{Link, unexpected};
use super::pages::Pages;
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
    match link.call(&chunk.request)? {
        Reply::Many(tally) => Ok(Answered {
            first: chunk.first,
            count: chunk.count,
            tally,
        }),
        other => Err(unexpected(&other)),
    }
}

/// Networks with their ends, as the daemon has them.
pub(super) struct Page {
    pub(super) bans: Vec<(IpNet, Option<i64>)>,
    pub(super) ipv6_prefix: Ipv6Prefix,
}

/// All bans, or those of one holder, page by page.
pub(super) fn dump(
    link: &Link,
    holder: Option<&str>,
) -> impl Iterator<Item = Result<Page, Failure>> {
    Pages::new(move |after| {
        let request = Request::Dump {
            after,
            holder: holder.map(str::to_owned),
        };
        let (networks, next, ipv6_prefix) = match link.call(&request)? {
            Reply::Dump {
                networks,
                next,
                ipv6_prefix,
            } => (networks, next, ipv6_prefix),
            other => return Err(unexpected(&other)),
        };
        let mut bans = Vec::new();
        for item in items(&networks) {
            let item = item.map_err(|error| nonsense(&error))?;
            let network = parse_network(item.network).map_err(|error| nonsense(&error))?;
            bans.push((network, item.until));
        }
        let page = Page {
            bans,
            ipv6_prefix: Ipv6Prefix::new(ipv6_prefix).unwrap_or_default(),
        };
        Ok((page, next))
    })
}

fn nonsense(error: &dyn std::error::Error) -> Failure {
    Failure::new(
        Exit::Failed,
        format!(
            "the daemon's list makes no sense: {error}; are it and this command of one version?"
        ),
    )
}

/// What there is in requests, each as long as a line may be: `push` writes one of `all`, and
/// `request` is made of what was written.
pub(super) fn chunks<'a, T: Sync>(
    all: &'a [T],
    push: impl Fn(&mut Packer, &T) + Send + 'a,
    request: impl Fn(String) -> Request + Send + 'a,
) -> impl Iterator<Item = Chunk> + Send + 'a {
    let mut done = 0;
    std::iter::from_fn(move || {
        let first = done;
        let mut packer = Packer::new();
        while let Some(one) = all.get(done)
            && !packer.is_full()
        {
            push(&mut packer, one);
            done += 1;
        }
        (done > first).then(|| Chunk {
            first,
            count: done - first,
            request: request(packer.finish()),
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
        (&mut sum.unbanned, tally.unbanned),
        (&mut sum.lifted, tally.lifted),
        (&mut sum.still_held, tally.still_held),
    ] {
        *sum = sum.saturating_add(part);
    }
}
