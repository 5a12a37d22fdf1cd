//! The daemon: the parts, put together.

mod lock;
mod nacl;
mod pulse;
pub mod shed;
mod tasks;

use std::future::Future;

use anyhow::Context as _;
use nicban_protocol::NaclState;
use tokio::net::UnixListener;
use tracing::{error, info, warn};

use crate::{
    clock::{self, Now},
    config::{Config, Nacl, NaclEnabled},
    control::{self, Access, Dispatch},
    engine::{Engine, EngineConfig, EngineHandle, Message},
    host::{Host, Watch},
    metrics,
    nacl::{NaclView, released::Released, tier},
};
use tasks::{Duty, Tasks};

/// Runs until `shutdown` resolves. The drops stay in force: program, maps and
/// links are pinned.
///
/// The program is loaded on the thread that polls this first, which gives up
/// `CAP_PERFMON` then; the runtime's other threads need not have it.
pub async fn run(
    config: Config,
    listener: UnixListener,
    shutdown: impl Future<Output = ()>,
) -> anyhow::Result<()> {
    let _lock = lock::take(&config.daemon.state_dir)?;
    let access = Access::of(&config.daemon)?;
    // Opened before the first reading, so that no change falls between the two.
    let watch = Watch::open()?;
    let host = Host::read().await?;
    let (engine, engine_thread) = tokio::task::block_in_place(|| start_engine(&config, host))?;
    let (nacl, desk) = tier::desk(
        first_view(&config.nacl),
        Released::in_folder(&config.daemon.state_dir),
    );

    let mut tasks = Tasks::new(engine.clone());
    tasks.spawn(Duty::PULSE, pulse::tick(engine.clone()));
    if let Some(limit) = sd_notify::watchdog_enabled() {
        tasks.spawn(Duty::WATCHDOG, pulse::watchdog(engine.clone(), limit));
    }
    tasks.spawn(
        Duty::FOLLOW_THE_HOST,
        follow_the_host(engine.clone(), watch),
    );
    tasks.spawn(
        Duty::KEEP_THE_NACL,
        nacl::keep(config.clone(), engine.clone(), desk),
    );
    if config.metrics.enabled {
        serve_metrics(&config, &engine, &nacl, &mut tasks).await?;
    }

    notify(&[sd_notify::NotifyState::Ready]);
    info!(version = env!("CARGO_PKG_VERSION"), "nicban is up");
    let dispatch = Dispatch::new(engine.clone(), nacl.clone());
    // Without an engine nobody is served: whoever started the daemon starts another.
    let over = async move {
        tokio::select! {
            () = shutdown => {}
            () = engine.ended() => error!("the engine has ended, and the daemon with it"),
        }
    };
    control::serve(listener, access, dispatch, over).await;

    notify(&[sd_notify::NotifyState::Stopping]);
    tasks.shutdown().await;
    // Held so long, as the tier ends by itself with its last handle.
    drop(nacl);
    tokio::task::spawn_blocking(move || engine_thread.join())
        .await?
        .map_err(|_| anyhow::anyhow!("the engine panicked"))?;
    info!("stopped; what was dropped stays dropped");
    Ok(())
}

fn start_engine(
    config: &Config,
    host: Host,
) -> anyhow::Result<(EngineHandle, std::thread::JoinHandle<()>)> {
    let now = Now::read().context("cannot read the clock")?;
    let boot_id = clock::boot_id().context("cannot tell which boot this is")?;
    let engine = Engine::start(EngineConfig::from(config), host, boot_id, now)?;
    // Before there is a thread that would inherit it.
    shed::perfmon()?;
    engine.spawn().context("cannot start the engine's thread")
}

fn first_view(config: &Nacl) -> NaclView {
    match config.enabled {
        NaclEnabled::Off => {
            NaclView::idle(NaclState::Off, "switched off: [nacl] enabled = \"off\"")
        }
        _ => NaclView::idle(NaclState::Off, "looking for the instance metadata service"),
    }
}

async fn follow_the_host(engine: EngineHandle, mut watch: Watch) {
    loop {
        if let Err(error) = watch.changed().await {
            warn!(%error, "the kernel tells no more of its interfaces");
            return;
        }
        match Host::read().await {
            Ok(host) => {
                if !engine.tell(Message::Host(host)).await {
                    return;
                }
            }
            Err(error) => warn!(%error, "cannot read the machine's interfaces"),
        }
    }
}

async fn serve_metrics(
    config: &Config,
    engine: &EngineHandle,
    nacl: &crate::nacl::NaclHandle,
    tasks: &mut Tasks,
) -> anyhow::Result<()> {
    let address = config.metrics.listen.get();
    let listener = tokio::net::TcpListener::bind(address)
        .await
        .with_context(|| {
            format!("cannot listen on {address} for metrics; set another address in [metrics] listen, or enabled = false")
        })?;
    let source = metrics::Source {
        engine: engine.snapshots(),
        nacl: nacl.views(),
    };
    tasks.spawn(
        Duty::SERVE_METRICS,
        metrics::serve(listener, source, std::future::pending()),
    );
    Ok(())
}

/// Tells systemd, where it started us.
pub(super) fn notify(state: &[sd_notify::NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        warn!(%error, "cannot notify systemd");
    }
}
