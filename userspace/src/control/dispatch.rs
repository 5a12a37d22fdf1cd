//! Which part of the daemon serves which request.

use std::{collections::BTreeSet, sync::Arc};

use ipnet::IpNet;
use nicban_protocol::{BanRow, Mode, NaclStatus, Reply, Request, Status};
use tokio::sync::Semaphore;

use crate::{
    engine::{EngineHandle, Snapshot},
    nacl::NaclHandle,
};

/// Requests about many networks that wait for the engine or are in its hands, at the most. A
/// ban that comes meanwhile waits for no more than these, some tens of ms, however many lists
/// are imported.
const BULK: usize = 8;

/// Routes requests to the engine and to the NACL tier.
#[derive(Debug, Clone)]
pub struct Dispatch {
    engine: EngineHandle,
    nacl: NaclHandle,
    bulk: Arc<Semaphore>,
}

impl Dispatch {
    /// A router to these two.
    pub fn new(engine: EngineHandle, nacl: NaclHandle) -> Self {
        let bulk = Arc::new(Semaphore::new(BULK));
        Self { engine, nacl, bulk }
    }

    /// Serves one request.
    pub async fn serve(&self, request: Request) -> Reply {
        match request {
            Request::Status {} => Reply::Status(Box::new(status(
                &self.engine.snapshot(),
                self.nacl.status(),
            ))),
            Request::NaclPlan {} => self.nacl.plan().await,
            Request::NaclRelease {} => self.nacl.release().await,
            Request::NaclResume {} => self.nacl.resume().await,
            Request::List { .. } => match self.engine.call(request).await {
                Reply::Bans { mut bans, next } => {
                    mark(&mut bans, &self.nacl.status());
                    Reply::Bans { bans, next }
                }
                other => other,
            },
            Request::BanMany(_) | Request::UnbanMany { .. } => {
                // The semaphore is never closed.
                let _turn = self.bulk.acquire().await;
                self.engine.call(request).await
            }
            other => self.engine.call(other).await,
        }
    }
}

fn status(snapshot: &Arc<Snapshot>, nacl: NaclStatus) -> Status {
    let mut offenders = snapshot.offenders.to_vec();
    mark(&mut offenders, &nacl);
    let [other, ipv4, ipv6] = snapshot.families;
    Status {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        mode: snapshot.mode.unwrap_or(Mode::Enforce),
        warnings: snapshot.warnings.clone(),
        attachments: snapshot.attachments.clone(),
        bans: snapshot.bans,
        maps: snapshot.maps.clone(),
        ipv4,
        ipv6,
        other,
        offenders,
        nacl,
    }
}

/// Notes which bans a NACL entry covers.
fn mark(bans: &mut [BanRow], nacl: &NaclStatus) {
    let denied: BTreeSet<IpNet> = nacl
        .entries
        .iter()
        .filter_map(|entry| entry.network.parse().ok())
        .collect();
    if denied.is_empty() {
        return;
    }
    for ban in bans {
        let network = crate::target::parse_network(&ban.address);
        ban.in_nacl =
            network.is_ok_and(|network| denied.iter().any(|denied| denied.contains(&network)));
    }
}
