//! Answers of EC2, through the SDK's own parsers.
//!
//! The first line says what is called, by a letter, and with which HTTP status the answers come.
//! Behind it stand the answers' bodies, parted by zero octets.
#![no_main]

use std::cell::RefCell;
use std::sync::{Arc, Mutex};

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, SharedHttpConnector, http_client_fn,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::retry::RetryConfig;
use aws_smithy_types::timeout::TimeoutConfig;
use libfuzzer_sys::fuzz_target;
use nicban::aws::Ec2;
use nicban::nacl::acl::{Acl, Direction, Position, RULE_NUMBERS, Rule};
use nicban::nacl::api::{AclApi as _, Mutation};
use nicban::nacl::error::{ApiError, ErrorKind};
use nicban_fuzz::{changes_only_ours, one_line};

/// A network on whose other end the answers lie ready. When there are none left, nobody is there.
#[derive(Debug, Clone, Default)]
struct Answers(Arc<Mutex<(u16, Vec<Vec<u8>>)>>);

impl HttpConnector for Answers {
    fn call(&self, _: HttpRequest) -> HttpConnectorFuture {
        let mut answers = self.0.lock().expect("nobody panicked");
        let status = answers.0;
        HttpConnectorFuture::ready(match answers.1.pop() {
            Some(body) => Ok(HttpResponse::new(
                status.try_into().expect("three digits"),
                SdkBody::from(body),
            )),
            None => Err(ConnectorError::io("nobody is there".into())),
        })
    }
}

/// Long-lived: to make a client costs more than to ask it.
struct Caller {
    runtime: tokio::runtime::Runtime,
    answers: Answers,
    ec2: Ec2,
}

impl Caller {
    fn new() -> Self {
        let answers = Answers::default();
        let connector = SharedHttpConnector::new(answers.clone());
        let keys = Credentials::new("AKIDEXAMPLE", "secret", None, None, "fuzz");
        let settings = SdkConfig::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new("eu-central-1"))
            .credentials_provider(SharedCredentialsProvider::new(keys))
            .retry_config(RetryConfig::disabled())
            .timeout_config(TimeoutConfig::disabled())
            .http_client(http_client_fn(move |_, _| connector.clone()))
            .build();
        Self {
            runtime: tokio::runtime::Builder::new_current_thread()
                .enable_time()
                .build()
                .expect("a runtime"),
            answers,
            ec2: Ec2::new(settings),
        }
    }

    fn ask(&self, call: u8, status: u16, mut bodies: Vec<Vec<u8>>) -> Result<Vec<Acl>, ApiError> {
        bodies.reverse();
        *self.answers.0.lock().expect("nobody panicked") = (status, bodies);
        let rule = Rule {
            position: Position {
                direction: Direction::Ingress,
                number: 7,
            },
            network: "198.51.100.1/32".parse().expect("a network"),
        };
        let none = |()| Vec::new();
        self.runtime.block_on(async {
            match call {
                b'c' => self
                    .ec2
                    .mutate("acl-1", &Mutation::Create(rule))
                    .await
                    .map(none),
                b'r' => self
                    .ec2
                    .mutate("acl-1", &Mutation::Replace(rule))
                    .await
                    .map(none),
                b'x' => self
                    .ec2
                    .mutate("acl-1", &Mutation::Delete(rule.position))
                    .await
                    .map(none),
                b't' => self
                    .ec2
                    .rehearse("acl-1", &Mutation::Create(rule))
                    .await
                    .map(none),
                b'd' => self.ec2.describe("acl-1").await.map(|acl| vec![acl]),
                _ => self.ec2.describe_by_subnets(&["subnet-1".to_owned()]).await,
            }
        })
    }
}

thread_local! {
    static CALLER: RefCell<Caller> = RefCell::new(Caller::new());
}

fuzz_target!(|input: &[u8]| {
    let Some(end) = input.iter().position(|byte| *byte == b'\n') else {
        return;
    };
    let (head, bodies) = (&input[..end], &input[end + 1..]);
    let [call, status @ ..] = head else { return };
    let status = std::str::from_utf8(status)
        .ok()
        .and_then(|text| text.trim().parse().ok());
    let Some(status @ 100..=599) = status else {
        return;
    };
    let bodies = bodies
        .split(|byte| *byte == 0)
        .map(<[u8]>::to_vec)
        .collect();
    match CALLER.with_borrow(|caller| caller.ask(*call, status, bodies)) {
        Ok(acls) => {
            for acl in &acls {
                readable(acl);
            }
            changes_only_ours(&acls, &["10.0.0.0/8".parse().expect("a network")]);
        }
        Err(error) => {
            one_line(&error.to_string());
            one_line(error.code.as_deref().unwrap_or_default());
            assert!(error.message.chars().count() <= 4096);
            // What went through counts as done, and only a dry run may say so by an error.
            assert!(error.kind != ErrorKind::WouldHaveWorked || error.code.is_some());
        }
    }
});

fn readable(acl: &Acl) {
    for id in [&acl.id, &acl.owner, &acl.vpc] {
        one_line(id);
        assert!((1..=64).contains(&id.len()), "{id:?}");
    }
    for entry in &acl.entries {
        assert!(RULE_NUMBERS.contains(&entry.position.number), "{entry:?}");
        assert_eq!(entry.network, entry.network.trunc());
    }
}
