//! Both stand-ins as one cloud: EC2 takes the credentials that IMDS hands out.

use std::io;

use serde::{Deserialize, Serialize};

use super::config::Ec2Config;
use super::credentials::Issued;
use super::ec2::{Ec2StandIn, StartError};
use super::imds::ImdsStandIn;
use super::metadata::{ImdsConfig, Interface};

/// The settings of both; the file that `nicban-standin --config` reads.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// EC2's.
    pub ec2: Ec2Config,
    /// IMDS's.
    pub imds: ImdsConfig,
}

impl Default for Config {
    /// One subnet with one NACL, one interface in it.
    fn default() -> Self {
        let subnet = "subnet-0123456789abcdef0";
        Self {
            ec2: Ec2Config::one_subnet(subnet, "acl-0123456789abcdef0"),
            imds: ImdsConfig {
                interfaces: vec![Interface::simple("06:00:00:00:00:01", subnet)],
                ..ImdsConfig::default()
            },
        }
    }
}

/// Why the two can't start.
#[derive(Debug, thiserror::Error)]
pub enum PairError {
    /// EC2 can't.
    #[error("can't start the EC2 stand-in")]
    Ec2(#[from] StartError),
    /// IMDS can't.
    #[error("can't start the IMDS stand-in")]
    Imds(#[source] io::Error),
}

/// Both at work; they end when dropped.
#[derive(Debug)]
pub struct Pair {
    /// EC2.
    pub ec2: Ec2StandIn,
    /// IMDS.
    pub imds: ImdsStandIn,
}

impl Pair {
    /// Starts both.
    pub async fn start(config: Config) -> Result<Self, PairError> {
        let issued = Issued::default();
        let imds = ImdsStandIn::start(config.imds, issued.clone());
        let imds = imds.await.map_err(PairError::Imds)?;
        let ec2 = Ec2StandIn::start(config.ec2, issued).await?;
        Ok(Self { ec2, imds })
    }

    /// Ends both; when this returns, connections are refused.
    pub async fn stop(self) {
        self.ec2.stop().await;
        self.imds.stop().await;
    }
}

#[cfg(test)]
mod tests {
    use super::super::control::Control;
    use super::super::state::State;
    use super::*;

    #[test]
    fn the_json_of_the_readme_reads() {
        let mut blocks = include_str!("README.md").split("```json").skip(1);
        let mut next = || Some(blocks.next()?.split_once("```")?.0);
        let config: Config = serde_json::from_str(next().unwrap()).unwrap();
        let state = State::new(&config.ec2).unwrap();
        let acl = &state.acls()["acl-0123456789abcdef0"];
        assert_eq!(acl.entries.len(), 10);
        let mut orders = 0;
        while let Some(order) = next() {
            serde_json::from_str::<Control>(order).unwrap_or_else(|e| panic!("{order}: {e}"));
            orders += 1;
        }
        assert_eq!(orders, 11);
    }

    #[test]
    fn a_misspelt_key_is_refused() {
        let json = serde_json::to_string(&Config::default()).unwrap();
        assert!(serde_json::from_str::<Config>(&json).is_ok());
        let misspelt = json.replacen("\"quota\"", "\"quotas\"", 1);
        let error = serde_json::from_str::<Config>(&misspelt).unwrap_err();
        assert!(error.to_string().contains("quotas"), "{error}");
    }
}
