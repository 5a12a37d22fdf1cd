//! Bringing the NACL tier up, and up again.

use crate::{config::Config, engine::EngineHandle, nacl::tier::Desk};

/// A build without AWS: says so to whoever asks.
#[cfg(not(feature = "aws"))]
pub(super) async fn keep(_config: Config, _engine: EngineHandle, mut desk: Desk) {
    use nicban_protocol::NaclState;

    use crate::nacl::NaclView;

    desk.show(NaclView::idle(
        NaclState::Off,
        "this nicban was built without AWS (cargo feature `aws`)",
    ));
    // What this build can't do, none of its entries can be there for.
    desk.turn_away(std::future::pending(), || Some(0)).await;
}

#[cfg(feature = "aws")]
pub(super) use on_aws::keep;

#[cfg(feature = "aws")]
mod on_aws {
    use anyhow::Context as _;
    use nicban_protocol::NaclState;

    use super::{Config, Desk, EngineHandle};
    use crate::{
        aws::{Ec2, Imds, site},
        config::NaclEnabled,
        engine::Message,
        nacl::{
            NaclView, cadence::Rhythm, clock::SystemClock, ledger::Ledger as _, market::Measure,
            reconcile::Reconciler, tier::Tier,
        },
        store::{FILE_NAME, SqliteLedger},
    };

    type Ready = Reconciler<Ec2, SystemClock, SqliteLedger>;

    /// Keeps the tier at work for as long as anyone holds a handle to it. Where it
    /// can't work, it says why and tries again, at growing intervals.
    pub(in crate::daemon) async fn keep(config: Config, engine: EngineHandle, mut desk: Desk) {
        if config.nacl.enabled == NaclEnabled::Off {
            let owned = || owned(&config);
            desk.turn_away(std::future::pending(), owned).await;
            return;
        }
        let rhythm = Rhythm {
            every: config.nacl.observe_every,
            at_most: config.nacl.observe_at_most,
        };
        let mut pause = rhythm.every;
        let mut before = None;
        loop {
            match bring_up(&config, &engine, &mut before).await {
                Ok(reconciler) => {
                    pause = rhythm.every;
                    let tier = Tier::new(reconciler, engine.clone(), desk, rhythm);
                    match tier.run().await {
                        None => return,
                        Some(homeless) => {
                            desk = homeless.desk;
                            before = Some(homeless.reconciler);
                        }
                    }
                }
                Err(mut idle) => {
                    if let Some(before) = &before {
                        idle.calls.clone_from(before.calls());
                        idle.promotions = before.promotions();
                    }
                    desk.show(idle);
                    pause = pause.saturating_mul(2).min(rhythm.at_most);
                }
            }
            let again = tokio::time::sleep(pause);
            if !desk.turn_away(again, || owned(&config)).await {
                return;
            }
        }
    }

    /// Entries in the ledger, where it can be read.
    fn owned(config: &Config) -> Option<usize> {
        let ledger = SqliteLedger::open(&config.daemon.state_dir.join(FILE_NAME)).ok()?;
        Some(ledger.entries().ok()?.len())
    }

    /// The reconciler of before, if there is one, in its new place; else a first one.
    async fn bring_up(
        config: &Config,
        engine: &EngineHandle,
        before: &mut Option<Ready>,
    ) -> Result<Ready, NaclView> {
        let imds = Imds::new();
        if let Err(error) = imds.answers().await {
            // Nobody else takes entries out that were put in when it answered.
            let left_behind = owned(config).is_some_and(|entries| entries > 0);
            let state = match config.nacl.enabled {
                NaclEnabled::Auto if !left_behind => NaclState::Off,
                NaclEnabled::Off => NaclState::Off,
                NaclEnabled::On | NaclEnabled::Auto => NaclState::Degraded,
            };
            return Err(NaclView::idle(
                state,
                format!("not on AWS, or its instance metadata service is switched off: {error}"),
            ));
        }
        connect(config, &imds, engine, before)
            .await
            .map_err(|error| NaclView::idle(NaclState::Degraded, format!("{error:#}")))
    }

    async fn connect(
        config: &Config,
        imds: &Imds,
        engine: &EngineHandle,
        before: &mut Option<Ready>,
    ) -> anyhow::Result<Ready> {
        let discovery = site::site(config, imds).await?;
        let place = site::place(&discovery);
        // Elsewhere an attacker may well stand inside the VPC, and XDP sees it.
        if config.nacl.compete == Measure::Failures {
            let message = Message::Vpc(place.vpc_networks.clone());
            anyhow::ensure!(engine.tell(message).await, "the engine has ended");
        }
        if let Some(mut reconciler) = before.take() {
            reconciler.relocate(place);
            return Ok(reconciler);
        }
        let ledger = SqliteLedger::open(&config.daemon.state_dir.join(FILE_NAME))
            .context("cannot open the ledger of NACL entries")?;
        Ok(Reconciler::new(
            site::caller(&config.nacl, &discovery).await,
            ledger,
            place,
            config.nacl.plan(),
        ))
    }
}
