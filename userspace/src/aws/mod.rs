//! The edge to AWS: the one place that knows the SDK.

mod convert;
pub mod ec2;
mod failure;
pub mod imds;
pub mod site;
#[cfg(test)]
mod wire;

use std::time::Duration;

use aws_config::{AppName, BehaviorVersion, ConfigLoader, Region};
use aws_sdk_ec2::config::SharedHttpClient;
use aws_sdk_ec2::config::retry::RetryConfig;
use aws_sdk_ec2::config::timeout::TimeoutConfig;
use aws_smithy_http_client::Builder;
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};

pub use ec2::Ec2;
pub use imds::Imds;

/// A connection to an AWS endpoint stands within milliseconds, or not at all.
const CONNECT: Duration = Duration::from_secs(3);

/// One attempt at a call. `DescribeNetworkAcls` takes well under a second.
const ATTEMPT: Duration = Duration::from_secs(10);

/// A call with all that comes before it, such as fetching the role's credentials.
const CALL: Duration = Duration::from_secs(20);

/// An HTTPS client with the machine's root certificates.
fn http_client() -> SharedHttpClient {
    Builder::new()
        .tls_provider(Provider::Rustls(CryptoMode::Ring))
        .build_https()
}

/// What every client of ours has: bounded times, and no retries of the SDK's own,
/// since the budget must see each attempt.
fn loader(region: Region) -> ConfigLoader {
    let loader = aws_config::defaults(BehaviorVersion::latest())
        .region(region)
        .http_client(http_client())
        .retry_config(RetryConfig::disabled())
        .timeout_config(
            TimeoutConfig::builder()
                .connect_timeout(CONNECT)
                .read_timeout(ATTEMPT)
                .operation_attempt_timeout(ATTEMPT)
                .operation_timeout(CALL)
                .build(),
        );
    match AppName::new("nicban") {
        Ok(name) => loader.app_name(name),
        Err(_) => loader,
    }
}
