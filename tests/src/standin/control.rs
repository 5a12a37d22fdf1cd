//! The orders that the EC2 stand-in takes while it runs.

use serde::{Deserialize, Serialize};

use super::faults::FaultRule;
use super::state::Change;
use super::throttle::Rates;

/// One order, as a value or as the JSON body of `POST /_control`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "snake_case", deny_unknown_fields)]
pub enum Control {
    /// Fail.
    Fault {
        /// How and when.
        rule: FaultRule,
    },
    /// Forget all faults.
    ClearFaults,
    /// Let changes stay unseen by Describe.
    Consistency {
        /// For so many ms.
        delay_ms: u64,
    },
    /// Another quota.
    Quota {
        /// Entries for each direction and family, the default deny counted.
        rules: u32,
    },
    /// Other token buckets, full.
    Throttle {
        /// Their sizes.
        rates: Rates,
    },
    /// Refuse an action with `UnauthorizedOperation`.
    Forbid {
        /// Such as `CreateNetworkAclEntry`.
        action: String,
    },
    /// Take a [`Control::Forbid`] back.
    Permit {
        /// The action.
        action: String,
    },
    /// Somebody else changes something.
    Change {
        /// What.
        change: Change,
    },
}
