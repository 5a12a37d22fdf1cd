//! The daemon's pulse: time for the engine, a sign of life for systemd.

use std::time::Duration;

use nicban_protocol::{RefusalKind, Reply, Request};
use tokio::time::{MissedTickBehavior, interval, timeout};
use tracing::warn;

use super::notify;
use crate::engine::{EngineHandle, Message};

/// A ban's end is noticed within this time.
const TICK: Duration = Duration::from_millis(250);

/// Tells the engine that time passes.
pub(super) async fn tick(engine: EngineHandle) {
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        if !engine.tell(Message::Tick).await {
            return;
        }
    }
}

/// Tells systemd that the engine still answers, as it wants to know
/// within `limit` (`WatchdogSec=`, systemd.service(5)).
pub(super) async fn watchdog(engine: EngineHandle, limit: Duration) {
    // Twice within the limit, as sd_watchdog_enabled(3) recommends.
    let mut beats = interval(limit / 2);
    loop {
        beats.tick().await;
        let check = Request::Check {
            holder: "watchdog".to_owned(),
        };
        match timeout(limit / 2, engine.call(check)).await {
            Ok(Reply::Refused(refusal)) if refusal.kind == RefusalKind::Unavailable => return,
            Ok(_) => notify(&[sd_notify::NotifyState::Watchdog]),
            Err(_elapsed) => warn!("the engine does not answer"),
        }
    }
}
