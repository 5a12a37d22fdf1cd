//! The adapter: what the SDK makes of EC2's replies, call by call.

use nicban::aws::Ec2;
use nicban::nacl::acl::{Direction, Position, Rule};
use nicban::nacl::api::{AclApi, Mutation};
use nicban::nacl::error::{ApiError, ErrorKind as K, Operation};
use nicban_tests::standin::config::Ec2Config;
use nicban_tests::standin::credentials::Issued;
use nicban_tests::standin::ec2::Ec2StandIn;
use nicban_tests::standin::faults::{Fault, FaultRule};

use crate::site::{ACL, SUBNET};

/// Every code that has a name, by what it means.
const CODES: &[(K, &[&str])] = &[
    (
        K::Throttled,
        &[
            "RequestLimitExceeded",
            "Throttling",
            "ThrottlingException",
            "ThrottledException",
            "RequestThrottled",
            "RequestThrottledException",
            "EC2ThrottledException",
            "TooManyRequestsException",
            "BandwidthLimitExceeded",
            "PriorRequestNotComplete",
            "SlowDown",
        ],
    ),
    (K::QuotaReached, &["NetworkAclEntryLimitExceeded"]),
    (K::NumberTaken, &["NetworkAclEntryAlreadyExists"]),
    (K::EntryMissing, &["InvalidNetworkAclEntry.NotFound"]),
    (
        K::AclMissing,
        &[
            "InvalidNetworkAclID.NotFound",
            "InvalidNetworkAclId.NotFound",
        ],
    ),
    (
        K::Malformed,
        &[
            "InvalidNetworkAclId.Malformed",
            "InvalidNetworkAclID.Malformed",
            "InvalidParameter",
            "InvalidParameterCombination",
            "InvalidParameterValue",
            "InvalidFilter",
            "InvalidAction",
            "InvalidQueryParameter",
            "InvalidRequest",
            "FilterLimitExceeded",
            "MalformedQueryString",
            "MissingAction",
            "MissingParameter",
            "NoSuchVersion",
            "UnknownParameter",
            "ValidationError",
        ],
    ),
    (
        K::Forbidden,
        &[
            "UnauthorizedOperation",
            "AuthFailure",
            "AccessDenied",
            "AccessDeniedException",
            "Blocked",
            "OperationNotPermitted",
            "OptInRequired",
            "PendingVerification",
        ],
    ),
    (
        K::Credentials,
        &[
            "ExpiredToken",
            "ExpiredTokenException",
            "RequestExpired",
            "RequestTimeTooSkewed",
            "InvalidClientTokenId",
            "InvalidAccessKeyId",
            "InvalidSecurity",
            "IncompleteSignature",
            "InvalidSignatureException",
            "SignatureDoesNotMatch",
            "MissingAuthenticationToken",
            "MissingAuthenticationTokenException",
            "UnrecognizedClientException",
        ],
    ),
    (K::WouldHaveWorked, &["DryRunOperation"]),
    (
        K::Unavailable,
        &[
            "Unavailable",
            "InternalError",
            "InternalFailure",
            "InternalServerError",
            "RequestTimeout",
            "RequestTimeoutException",
            "ServerInternal",
            "ServiceUnavailable",
            "ServiceUnavailableException",
        ],
    ),
];

const OPERATIONS: [Operation; 4] = [
    Operation::Describe,
    Operation::Create,
    Operation::Replace,
    Operation::Delete,
];

async fn double() -> (Ec2StandIn, Ec2) {
    let config = Ec2Config {
        any_access_key: true,
        throttle: generous(),
        ..Ec2Config::one_subnet(SUBNET, ACL)
    };
    let standin = Ec2StandIn::start(config, Issued::default()).await.unwrap();
    let ec2 = Ec2::at(&standin.endpoint(), "eu-central-1", "AKIASTANDIN", "secret").await;
    (standin, ec2)
}

/// Far more calls than EC2 gives.
fn generous() -> nicban_tests::standin::throttle::Rates {
    let rate = nicban_tests::standin::throttle::Rate {
        burst: 10_000.0,
        per_second: 10_000.0,
    };
    nicban_tests::standin::throttle::Rates {
        mutating: rate,
        describe: rate,
    }
}

pub(crate) fn rule(number: u16, network: &str) -> Rule {
    Rule {
        position: Position {
            direction: Direction::Ingress,
            number,
        },
        network: network.parse().unwrap(),
    }
}

async fn make(ec2: &Ec2, operation: Operation) -> Result<(), ApiError> {
    let rule = rule(7, "198.51.100.7/32");
    let mutation = match operation {
        Operation::Describe => {
            let subnets = [SUBNET.to_owned()];
            return ec2.describe_by_subnets(&subnets).await.map(drop);
        }
        Operation::Create => Mutation::Create(rule),
        Operation::Replace => Mutation::Replace(rule),
        Operation::Delete => Mutation::Delete(rule.position),
    };
    ec2.mutate(ACL, &mutation).await
}

#[tokio::test]
async fn every_named_code_of_every_call_comes_out_as_its_kind() {
    let (standin, ec2) = double().await;
    for operation in OPERATIONS {
        for (kind, codes) in CODES {
            for code in *codes {
                let fault = Fault::Error {
                    code: (*code).to_owned(),
                };
                standin.inject(FaultRule::times(operation.action(), 1, fault));
                let error = make(&ec2, operation).await.unwrap_err();
                let told = (error.operation, error.kind, error.code.as_deref());
                assert_eq!(told, (operation, *kind, Some(*code)), "{error}");
                // One attempt, and no more: the budget must see each.
                assert_eq!(standin.count(operation.action(), code), 1, "{code}");
            }
        }
    }
    assert_eq!(
        standin.acl(ACL).unwrap().entries.len(),
        8,
        "nothing changed"
    );
}

#[tokio::test]
async fn a_code_that_nobody_knows_is_kept() {
    let (standin, ec2) = double().await;
    for operation in OPERATIONS {
        let code = "SomethingNew".to_owned();
        let fault = Fault::Error { code };
        standin.inject(FaultRule::times(operation.action(), 1, fault));
        let error = make(&ec2, operation).await.unwrap_err();
        assert_eq!(error.kind, K::Unknown);
        assert!(error.to_string().contains("SomethingNew"), "{error}");
    }
}

#[tokio::test]
async fn what_is_no_reply_leaves_doubt() {
    let (standin, ec2) = double().await;
    for operation in OPERATIONS {
        let faults = [
            (Fault::ReplyLost, K::Unreachable),
            (Fault::Garbage { status: 500 }, K::Unavailable),
            (Fault::Garbage { status: 503 }, K::Unavailable),
        ];
        for (fault, kind) in faults {
            standin.inject(FaultRule::times(operation.action(), 1, fault.clone()));
            let error = make(&ec2, operation).await.unwrap_err();
            assert_eq!(error.kind, kind, "{operation} {fault:?}: {error}");
            assert!(error.kind.leaves_doubt());
        }
    }
}

#[tokio::test]
async fn a_page_that_is_no_reply_is_never_taken_for_an_empty_listing() {
    let (standin, ec2) = double().await;
    let fault = Fault::Garbage { status: 200 };
    standin.inject(FaultRule::times("DescribeNetworkAcls", 1, fault));
    let error = make(&ec2, Operation::Describe).await.unwrap_err();
    assert_eq!(error.kind, K::Unreachable, "{error}");
}

#[tokio::test]
async fn a_rehearsal_changes_nothing() {
    let (standin, ec2) = double().await;
    let before = standin.acls();
    let rule = rule(7, "198.51.100.7/32");
    let place = rule.position;
    for mutation in [
        Mutation::Create(rule),
        Mutation::Replace(rule),
        Mutation::Delete(place),
    ] {
        ec2.rehearse(ACL, &mutation).await.unwrap();
        let action = mutation.operation().action();
        standin.forbid(action);
        let error = ec2.rehearse(ACL, &mutation).await.unwrap_err();
        assert_eq!(error.kind, K::Forbidden);
        standin.permit(action);
    }
    assert_eq!(standin.acls(), before);
}

#[tokio::test]
async fn networks_arrive_in_canonical_form() {
    let (standin, ec2) = double().await;
    for (number, network) in [(1, "198.51.100.7/24"), (2, "2001:db8:bad:1::7/64")] {
        let create = Mutation::Create(rule(number, network));
        ec2.mutate(ACL, &create).await.unwrap();
    }
    let held = standin.acl(ACL).unwrap();
    let networks: Vec<String> = held
        .entries
        .values()
        .map(|e| e.network.to_string())
        .collect();
    assert!(networks.contains(&"198.51.100.0/24".to_owned()));
    assert!(networks.contains(&"2001:db8:bad:1::/64".to_owned()));
    let seen = ec2.describe(ACL).await.unwrap();
    assert_eq!(seen.entries.len(), 6, "the default denies are left out");
}
