//! How the EC2 stand-in answers a request.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use hyper::{Method, Request};
use tokio::sync::watch;

use super::acl::Acls;
use super::auth::Gate;
use super::clock;
use super::config::{ConfigError, Ec2Config, SubnetConfig};
use super::control::Control;
use super::credentials::Issued;
use super::ec2::{Calls, Snapshot};
use super::error::ApiError;
use super::faults::{Fault, Faults};
use super::http::Answer;
use super::protocol::{self, Form};
use super::query;
use super::reply;
use super::state::{Change, State};
use super::throttle::Throttle;
use super::visibility::Visibility;

/// What the stand-in's handle and its connections share.
#[derive(Debug)]
pub(super) struct Shared {
    gate: Gate,
    account: String,
    subnets: Vec<SubnetConfig>,
    inner: Mutex<Inner>,
}

/// What changes while it runs. The lock is never held across an await.
#[derive(Debug)]
pub(super) struct Inner {
    pub(super) state: State,
    pub(super) visibility: Visibility,
    throttle: Throttle,
    pub(super) faults: Faults,
    pub(super) calls: Calls,
    pub(super) asked: Vec<(Instant, String)>,
    requests: u64,
    pub(super) changes: watch::Sender<Snapshot>,
}

impl Shared {
    pub(super) fn new(config: &Ec2Config, issued: Issued) -> Result<Self, ConfigError> {
        let state = State::new(config)?;
        let acls = Arc::clone(state.acls());
        let delay = Duration::from_millis(config.visible_after_ms);
        let inner = Inner {
            visibility: Visibility::new(Arc::clone(&acls), delay),
            throttle: Throttle::new(config.throttle, clock::monotonic()),
            faults: Faults::default(),
            calls: Calls::new(),
            asked: Vec::new(),
            requests: 0,
            changes: watch::Sender::new(Snapshot {
                version: 0,
                acls: Acls::clone(&acls),
            }),
            state,
        };
        Ok(Self {
            gate: Gate {
                region: config.region.clone(),
                issued: (!config.any_access_key).then_some(issued),
            },
            account: config.account.clone(),
            subnets: config.subnets.clone(),
            inner: Mutex::new(inner),
        })
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) async fn answer(&self, request: &Request<Bytes>) -> Answer {
        let path = request.uri().path();
        match (request.method(), path) {
            (&Method::POST, "/") => self.serve(request, request.body()).await,
            (&Method::GET, "/") => {
                let query = request.uri().query().unwrap_or_default();
                self.serve(request, query.as_bytes()).await
            }
            (&Method::POST, "/_control") => match serde_json::from_slice(request.body()) {
                Ok(order) => match self.control(order) {
                    Ok(()) => Answer::text(200, "ok\n"),
                    Err(error) => Answer::text(409, format!("{error}\n")),
                },
                Err(error) => Answer::text(400, format!("{error}\n")),
            },
            (&Method::GET, "/_control/acls") => self.dump(request.uri().query()).await,
            (&Method::GET, "/_control/calls") => Answer::json(&self.lock().calls),
            _ => Answer::text(404, "not found\n"),
        }
    }

    /// The state; with `after=VERSION`, once it is newer than that.
    async fn dump(&self, query: Option<&str>) -> Answer {
        let mut changes = self.lock().changes.subscribe();
        let after = query.and_then(|q| q.strip_prefix("after="));
        let newest = match after.map(str::parse::<u64>) {
            None => changes.borrow().clone(),
            Some(Err(error)) => return Answer::text(400, format!("after: {error}\n")),
            Some(Ok(after)) => match changes.wait_for(|seen| seen.version > after).await {
                Ok(newest) => newest.clone(),
                Err(_) => return Answer::Close,
            },
        };
        Answer::json(&newest)
    }

    pub(super) fn control(&self, order: Control) -> Result<(), ApiError> {
        let mut inner = self.lock();
        match order {
            Control::Fault { rule } => inner.faults.add(rule),
            Control::ClearFaults => inner.faults.clear(),
            Control::Consistency { delay_ms } => {
                inner.visibility.set_delay(Duration::from_millis(delay_ms));
            }
            Control::Quota { rules } => inner.state.set_quota(rules),
            Control::Throttle { rates } => {
                inner.throttle = Throttle::new(rates, clock::monotonic());
            }
            Control::Forbid { action } => inner.state.forbid(&action),
            Control::Permit { action } => inner.state.permit(&action),
            Control::Change { change } => inner.meddle(&change)?,
        }
        Ok(())
    }

    async fn serve(&self, request: &Request<Bytes>, form: &[u8]) -> Answer {
        let form = Form::read(form);
        let action = form.action().to_owned();
        let (strike, id) = {
            let mut inner = self.lock();
            inner.requests += 1;
            inner.asked.push((clock::monotonic(), action.clone()));
            let id = format!("00000000-0000-4000-8000-{:012x}", inner.requests);
            (inner.faults.strike(&action), id)
        };
        let (outcome, answer) = match strike.fault {
            Some(Fault::HalfOpen) => {
                self.lock().count(&action, "half_open");
                return std::future::pending().await;
            }
            Some(Fault::Garbage { status }) => (
                "garbage".to_owned(),
                Answer::new(status, "text/html", "<html><body><h1>Sorry</body>"),
            ),
            Some(Fault::Error { code }) => {
                let error = ApiError::new(code, "This failure was asked for.");
                (error.code.to_string(), refusal(&id, &error))
            }
            fault => {
                let done = self.handle(request, form, &action, &id);
                let lost = matches!(fault, Some(Fault::ReplyLost));
                match done {
                    _ if lost => ("lost".to_owned(), Answer::Close),
                    Ok(body) => ("ok".to_owned(), xml(200, body)),
                    Err(error) => (error.code.to_string(), refusal(&id, &error)),
                }
            }
        };
        self.lock().count(&action, &outcome);
        if !strike.delay.is_zero() {
            tokio::time::sleep(strike.delay).await;
        }
        answer
    }

    /// In EC2's order: credentials, rate, parameters, permission, dry run, state.
    fn handle(
        &self,
        request: &Request<Bytes>,
        form: Form,
        action: &str,
        id: &str,
    ) -> Result<String, ApiError> {
        let header = |name| request.headers().get(name).and_then(|v| v.to_str().ok());
        let token = header("x-amz-security-token");
        self.gate
            .check(header("authorization"), token, clock::wall())?;
        let now = clock::monotonic();
        let mut inner = self.lock();
        inner.throttle.admit(!action.starts_with("Describe"), now)?;
        let call = form.call()?;
        inner.state.authorise(action, &call.request)?;
        if call.dry_run {
            return Err(ApiError::new(
                "DryRunOperation",
                "Request would have succeeded, but DryRun flag is set.",
            ));
        }
        match &call.request {
            protocol::Request::DescribeAcls(select) => {
                let visible = inner.visibility.view(now);
                Ok(reply::acls(id, &query::acls(&visible, select)?))
            }
            protocol::Request::DescribeSubnets(select) => {
                let page = query::subnets(&self.subnets, select)?;
                Ok(reply::subnets(id, &self.account, &page))
            }
            change => {
                inner.state.apply(change)?;
                inner.publish();
                Ok(reply::done(action, id))
            }
        }
    }
}

impl Inner {
    pub(super) fn meddle(&mut self, change: &Change) -> Result<(), ApiError> {
        self.state.change(change)?;
        self.publish();
        Ok(())
    }

    /// Tells Describe and the watchers, if anything changed.
    fn publish(&mut self) {
        let acls = Arc::clone(self.state.acls());
        let told = self.changes.send_if_modified(|snapshot| {
            if snapshot.acls == *acls {
                return false;
            }
            snapshot.version += 1;
            snapshot.acls = Acls::clone(&acls);
            true
        });
        if told {
            self.visibility.changed(acls, clock::monotonic());
        }
    }

    fn count(&mut self, action: &str, outcome: &str) {
        let outcomes = self.calls.entry(action.to_owned()).or_default();
        *outcomes.entry(outcome.to_owned()).or_default() += 1;
    }
}

fn refusal(id: &str, error: &ApiError) -> Answer {
    xml(error.status(), reply::error(id, error))
}

fn xml(status: u16, body: String) -> Answer {
    Answer::new(status, "text/xml;charset=UTF-8", body)
}
