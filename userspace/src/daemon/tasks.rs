//! The daemon's tasks, and a word to the operator when one ends that should not.

use std::{future::Future, panic::AssertUnwindSafe};

use futures_util::FutureExt as _;
use tokio::task::JoinSet;
use tracing::error;

use crate::engine::{EngineHandle, Message};

/// What has to go on for as long as the daemon runs.
#[derive(Debug, Clone, Copy)]
pub(super) struct Duty {
    /// What the task does, as in `keeping the NACL`.
    name: &'static str,
    /// What is so without it, as in `the NACL stays as it is`.
    without: &'static str,
}

impl Duty {
    pub(super) const PULSE: Self = Self {
        name: "telling the time",
        without: "bans end late, and nothing is counted",
    };
    pub(super) const WATCHDOG: Self = Self {
        name: "the sign of life to systemd",
        without: "systemd will take nicban for dead",
    };
    pub(super) const FOLLOW_THE_HOST: Self = Self {
        name: "following the host's interfaces",
        without: "interfaces and addresses that come from now on are not noticed",
    };
    pub(super) const KEEP_THE_NACL: Self = Self {
        name: "keeping the NACL",
        without: "the NACL stays as it is",
    };
    pub(super) const SERVE_METRICS: Self = Self {
        name: "serving the metrics",
        without: "there are no metrics",
    };
}

/// Tasks of which none ends before [`Tasks::shutdown`].
pub(super) struct Tasks {
    engine: EngineHandle,
    running: JoinSet<()>,
}

impl Tasks {
    /// None yet. The engine is told of each that ends.
    pub(super) fn new(engine: EngineHandle) -> Self {
        Self {
            engine,
            running: JoinSet::new(),
        }
    }

    /// Starts one.
    pub(super) fn spawn(&mut self, duty: Duty, work: impl Future<Output = ()> + Send + 'static) {
        self.running.spawn(watch(duty, self.engine.clone(), work));
    }

    /// Ends all of them.
    pub(super) async fn shutdown(mut self) {
        self.running.shutdown().await;
    }
}

async fn watch(duty: Duty, engine: EngineHandle, work: impl Future<Output = ()>) {
    let Duty { name, without } = duty;
    // Nothing of a task that panicked is looked at again.
    let end = match AssertUnwindSafe(work).catch_unwind().await {
        Ok(()) => "has ended",
        Err(_told_by_the_panic_hook) => "has panicked",
    };
    error!("{name} {end}, and is not taken up again");
    let trouble = Message::Trouble {
        subject: name,
        line: format!("{without}: {name} {end}; restart nicban"),
    };
    // Without an engine there is no status either.
    engine.tell(trouble).await;
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc::error::TryRecvError;

    use super::*;

    /// What the engine is told once `work` is over.
    async fn told(work: impl Future<Output = ()> + Send + 'static) -> String {
        let (engine, mut told) = EngineHandle::to_nobody();
        let mut tasks = Tasks::new(engine);
        tasks.spawn(Duty::KEEP_THE_NACL, work);
        match told.recv().await.unwrap() {
            Message::Trouble { line, .. } => line,
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn an_end_and_a_panic_are_told() {
        assert_eq!(
            told(async {}).await,
            "the NACL stays as it is: keeping the NACL has ended; restart nicban"
        );
        let panicked = told(async { panic!("a slip") }).await;
        assert!(panicked.contains("has panicked"), "{panicked}");
    }

    #[tokio::test]
    async fn the_end_of_the_engine_is_noticed_and_keeps_no_task() {
        let (engine, told) = EngineHandle::to_nobody();
        let mut tasks = Tasks::new(engine.clone());
        drop(told);
        engine.ended().await;
        tasks.spawn(Duty::PULSE, async {});
        tasks.shutdown().await;
    }

    #[tokio::test]
    async fn an_end_by_the_daemon_is_not() {
        let (engine, mut told) = EngineHandle::to_nobody();
        let mut tasks = Tasks::new(engine);
        tasks.spawn(Duty::KEEP_THE_NACL, std::future::pending());
        tokio::task::yield_now().await;
        assert_eq!(told.try_recv().unwrap_err(), TryRecvError::Empty);
        tasks.shutdown().await;
        assert_eq!(told.try_recv().unwrap_err(), TryRecvError::Disconnected);
    }
}
