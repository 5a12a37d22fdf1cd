//! The instance metadata service, version 2.

use std::time::Duration;

use aws_config::imds::Client;
use aws_config::imds::client::error::ImdsError;
use aws_config::provider_config::ProviderConfig;

use crate::nacl::discover::{Metadata, MetadataError};

/// It answers within milliseconds, from the hypervisor. What is not there is
/// mostly a silence.
const CONNECT: Duration = Duration::from_secs(1);
const READ: Duration = Duration::from_secs(2);

/// One question with its retries.
const CALL: Duration = Duration::from_secs(10);

/// How long [`Imds::answers`] takes at the most.
pub const PROBE: Duration = Duration::from_secs(1);

/// The client.
#[derive(Debug, Clone)]
pub struct Imds {
    client: Client,
    /// The same, but with one attempt.
    probe: Client,
}

impl Imds {
    /// A client of the service at its usual address, or at the one that
    /// `AWS_EC2_METADATA_SERVICE_ENDPOINT` names. Nothing is sent yet.
    pub fn new() -> Self {
        Self::build(|builder| builder)
    }

    fn build(
        endpoint: impl Fn(aws_config::imds::client::Builder) -> aws_config::imds::client::Builder,
    ) -> Self {
        let config = ProviderConfig::without_region().with_http_client(super::http_client());
        let builder = || {
            endpoint(
                Client::builder()
                    .configure(&config)
                    .connect_timeout(CONNECT)
                    .read_timeout(READ)
                    .operation_attempt_timeout(READ)
                    .operation_timeout(CALL),
            )
        };
        Self {
            client: builder().build(),
            probe: builder().max_attempts(1).build(),
        }
    }

    #[cfg(test)]
    fn at(endpoint: &str) -> Self {
        Self::build(|builder| builder.endpoint(endpoint).unwrap())
    }

    /// Whether there is such a service; takes at most [`PROBE`]. The error says why
    /// not.
    pub async fn answers(&self) -> Result<(), MetadataError> {
        let path = "/latest/meta-data/instance-id";
        match tokio::time::timeout(PROBE, get(&self.probe, path)).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(error),
            Err(elapsed) => Err(MetadataError {
                path: path.to_owned(),
                problem: "no answer",
                source: Box::new(elapsed),
            }),
        }
    }
}

impl Default for Imds {
    fn default() -> Self {
        Self::new()
    }
}

impl Metadata for Imds {
    async fn get(&self, path: &str) -> Result<Option<String>, MetadataError> {
        get(&self.client, path).await
    }
}

async fn get(client: &Client, path: &str) -> Result<Option<String>, MetadataError> {
    match client.get(path).await {
        Ok(text) => Ok(Some(text.into())),
        Err(ImdsError::ErrorResponse(reply)) if reply.response().status().as_u16() == 404 => {
            Ok(None)
        }
        Err(error) => Err(MetadataError {
            path: path.to_owned(),
            problem: match &error {
                ImdsError::FailedToLoadToken(token) if token.is_dispatch_failure() => "no answer",
                ImdsError::FailedToLoadToken(_) => {
                    "no session token (is IMDSv2 on, and its hop limit high enough?)"
                }
                ImdsError::ErrorResponse(_) => "refused",
                ImdsError::IoError(_) => "no answer",
                _ => "failed",
            },
            source: Box::new(error),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aws::wire::{Reply, Server};
    use crate::nacl::discover::discover;

    const MAC: &str = "0e:00:00:00:00:01";

    /// A service that gives out a token and asks to see it again.
    fn instance() -> Server {
        Server::answering(|request| {
            if request.line.starts_with("PUT /latest/api/token ") {
                assert!(
                    request
                        .header("x-aws-ec2-metadata-token-ttl-seconds")
                        .is_some()
                );
                return Reply::ok("a-token")
                    .header("x-aws-ec2-metadata-token-ttl-seconds", "21600");
            }
            if request.header("x-aws-ec2-metadata-token") != Some("a-token") {
                return Reply::status(401, "");
            }
            let macs = "/latest/meta-data/network/interfaces/macs/";
            let path = request.line.split(' ').nth(1).unwrap();
            let text = match path {
                "/latest/meta-data/placement/region" => "eu-central-1",
                "/latest/meta-data/instance-id" => "i-1",
                _ if path == macs => "0e:00:00:00:00:01/",
                _ => match path.strip_prefix(&format!("{macs}{MAC}/")) {
                    Some("interface-id") => "eni-1",
                    Some("subnet-id") => "subnet-1",
                    Some("vpc-id") => "vpc-1",
                    Some("owner-id") => "123456789012",
                    Some("local-ipv4s") => "10.0.0.1",
                    Some("vpc-ipv4-cidr-blocks") => "10.0.0.0/16\n10.1.0.0/16",
                    _ => return Reply::status(404, "not found"),
                },
            };
            Reply::ok(text)
        })
    }

    #[tokio::test]
    async fn an_instance_is_discovered_over_imdsv2() {
        let server = instance();
        let imds = Imds::at(&server.url());
        imds.answers().await.unwrap();
        let found = discover(&imds, &[]).await.unwrap();
        assert_eq!(found.region, "eu-central-1");
        assert_eq!(found.account, "123456789012");
        assert_eq!(found.subnets(), ["subnet-1"]);
        assert_eq!(found.interfaces[0].vpc_networks.len(), 2);
    }

    #[tokio::test]
    async fn a_refusal_names_the_path() {
        let server = Server::answering(|_| Reply::status(403, ""));
        let error = Imds::at(&server.url()).answers().await.unwrap_err();
        assert!(
            error
                .to_string()
                .starts_with("instance metadata /latest/meta-data/instance-id: "),
            "{error}"
        );
    }

    #[tokio::test]
    async fn nobody_there_is_an_answer_too() {
        // A port that was free a moment ago.
        let url = Server::answering(|_| Reply::ok("")).url();
        let error = Imds::at(&url).answers().await.unwrap_err();
        assert!(error.to_string().ends_with("no answer"), "{error}");
    }

    #[tokio::test]
    async fn a_silent_peer_is_given_up() {
        let server = Server::answering(|_| Reply::Never);
        let error = Imds::at(&server.url()).answers().await.unwrap_err();
        assert!(error.to_string().ends_with("no answer"), "{error}");
    }
}
