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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_orders_of_the_readme_read() {
        for order in [
            r#"{"op":"fault","rule":{"action":"CreateNetworkAclEntry","times":2,
                "fault":{"kind":"error","code":"InternalError"}}}"#,
            r#"{"op":"fault","rule":{"fault":{"kind":"delay","ms":500}}}"#,
            r#"{"op":"clear_faults"}"#,
            r#"{"op":"consistency","delay_ms":2000}"#,
            r#"{"op":"quota","rules":40}"#,
            r#"{"op":"throttle","rates":{"mutating":{"burst":1,"per_second":0.1}}}"#,
            r#"{"op":"forbid","action":"DeleteNetworkAclEntry"}"#,
            r#"{"op":"change","change":{"kind":"put_entry","acl":"acl-0123abcd",
                "entry":{"number":50,"action":"deny","network":"192.0.2.0/24"}}}"#,
            r#"{"op":"change","change":{"kind":"remove_entry","acl":"acl-0123abcd","number":50}}"#,
        ] {
            serde_json::from_str::<Control>(order).unwrap_or_else(|e| panic!("{order}: {e}"));
        }
        assert!(serde_json::from_str::<Control>(r#"{"op":"quota","rules":1,"x":2}"#).is_err());
    }
}
