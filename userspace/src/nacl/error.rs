//! The named outcome of every way in which a call to EC2 fails.

use std::error::Error;
use std::fmt;

use serde::Serialize;

/// The calls that nicban makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Operation {
    /// `DescribeNetworkAcls`.
    Describe,
    /// `CreateNetworkAclEntry`.
    Create,
    /// `ReplaceNetworkAclEntry`.
    Replace,
    /// `DeleteNetworkAclEntry`.
    Delete,
}

impl Operation {
    /// EC2's name of it, which is also the name of the IAM action after `ec2:`.
    pub const fn action(self) -> &'static str {
        match self {
            Self::Describe => "DescribeNetworkAcls",
            Self::Create => "CreateNetworkAclEntry",
            Self::Replace => "ReplaceNetworkAclEntry",
            Self::Delete => "DeleteNetworkAclEntry",
        }
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.action())
    }
}

/// What an error means, whatever code it came with.
///
/// The codes are those of "Error codes for the Amazon EC2 API" (Amazon EC2 API
/// Reference), and those that the SDK itself holds for throttling.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorKind {
    /// The account's request bucket is empty.
    Throttled,
    /// The NACL has no room for an entry of that direction and family.
    QuotaReached,
    /// An entry stands at that number.
    NumberTaken,
    /// No entry stands at that number.
    EntryMissing,
    /// There is no such NACL.
    AclMissing,
    /// EC2 does not take the request as it is written.
    Malformed,
    /// The role, a service control policy or the NACL's owner does not allow it.
    Forbidden,
    /// There are no credentials, or they are not valid now.
    Credentials,
    /// A dry run that would have gone through.
    WouldHaveWorked,
    /// EC2 has a fault of its own; the change may or may not be made.
    Unavailable,
    /// No usable reply came; the change may or may not be made.
    Unreachable,
    /// A code that this version does not know.
    Unknown,
}

/// What nicban does upon an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Response {
    /// Nothing: there is no fault.
    Proceed,
    /// Leave this step, go on with the next: asking again can't help.
    Skip,
    /// The NACL is not what the plan took it for: leave the rest of its steps,
    /// observe it, plan again.
    Reobserve,
    /// As [`Response::Reobserve`], and hold what is observed for all that its
    /// quota has room for.
    LearnQuota,
    /// The NACL is gone: leave the rest of its steps, discover the subnet's anew.
    Rediscover,
    /// Turn the tier off for this NACL, with the reason in the status. It stays
    /// off until a slow probe finds that someone has changed it.
    TurnOff,
    /// The same call again, after a pause that grows.
    Retry,
    /// Leave the round; try at the next one. The status says why.
    Suspend,
}

impl ErrorKind {
    /// The kind of a code, or of the HTTP status (a number) where EC2 gave no
    /// code that is known.
    pub fn of(code: Option<&str>, status: Option<u16>) -> Self {
        match code.and_then(Self::of_code) {
            Some(kind) => kind,
            None => match status {
                Some(429) => Self::Throttled,
                Some(500..) => Self::Unavailable,
                _ => Self::Unknown,
            },
        }
    }

    fn of_code(code: &str) -> Option<Self> {
        Some(match code {
            "RequestLimitExceeded"
            | "Throttling"
            | "ThrottlingException"
            | "ThrottledException"
            | "RequestThrottled"
            | "RequestThrottledException"
            | "EC2ThrottledException"
            | "TooManyRequestsException"
            | "BandwidthLimitExceeded"
            | "PriorRequestNotComplete"
            | "SlowDown" => Self::Throttled,
            "NetworkAclEntryLimitExceeded" => Self::QuotaReached,
            "NetworkAclEntryAlreadyExists" => Self::NumberTaken,
            "InvalidNetworkAclEntry.NotFound" => Self::EntryMissing,
            "InvalidNetworkAclID.NotFound" | "InvalidNetworkAclId.NotFound" => Self::AclMissing,
            "InvalidNetworkAclId.Malformed"
            | "InvalidNetworkAclID.Malformed"
            | "InvalidParameter"
            | "InvalidParameterCombination"
            | "InvalidParameterValue"
            | "InvalidFilter"
            | "InvalidAction"
            | "InvalidQueryParameter"
            | "InvalidRequest"
            | "FilterLimitExceeded"
            | "MalformedQueryString"
            | "MissingAction"
            | "MissingParameter"
            | "NoSuchVersion"
            | "UnknownParameter"
            | "ValidationError" => Self::Malformed,
            "UnauthorizedOperation"
            | "AuthFailure"
            | "AccessDenied"
            | "AccessDeniedException"
            | "Blocked"
            | "OperationNotPermitted"
            | "OptInRequired"
            | "PendingVerification" => Self::Forbidden,
            "ExpiredToken"
            | "ExpiredTokenException"
            | "RequestExpired"
            | "RequestTimeTooSkewed"
            | "InvalidClientTokenId"
            | "InvalidAccessKeyId"
            | "InvalidSecurity"
            | "IncompleteSignature"
            | "InvalidSignatureException"
            | "SignatureDoesNotMatch"
            | "MissingAuthenticationToken"
            | "MissingAuthenticationTokenException"
            | "UnrecognizedClientException" => Self::Credentials,
            "DryRunOperation" => Self::WouldHaveWorked,
            "Unavailable"
            | "InternalError"
            | "InternalFailure"
            | "InternalServerError"
            | "RequestTimeout"
            | "RequestTimeoutException"
            | "ServerInternal"
            | "ServiceUnavailable"
            | "ServiceUnavailableException" => Self::Unavailable,
            _ => return None,
        })
    }

    /// What nicban does upon it.
    pub const fn response(self) -> Response {
        match self {
            Self::Throttled | Self::Unavailable => Response::Retry,
            Self::QuotaReached => Response::LearnQuota,
            Self::NumberTaken | Self::EntryMissing | Self::Unreachable => Response::Reobserve,
            Self::AclMissing => Response::Rediscover,
            Self::Malformed => Response::Skip,
            Self::Forbidden => Response::TurnOff,
            Self::Credentials | Self::Unknown => Response::Suspend,
            Self::WouldHaveWorked => Response::Proceed,
        }
    }

    /// Whether the call may have had its effect in spite of the error.
    pub const fn leaves_doubt(self) -> bool {
        matches!(self, Self::Unavailable | Self::Unreachable)
    }

    /// A name for metrics and JSON, in `snake_case`.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Throttled => "throttled",
            Self::QuotaReached => "quota_reached",
            Self::NumberTaken => "number_taken",
            Self::EntryMissing => "entry_missing",
            Self::AclMissing => "acl_missing",
            Self::Malformed => "malformed",
            Self::Forbidden => "forbidden",
            Self::Credentials => "credentials",
            Self::WouldHaveWorked => "would_have_worked",
            Self::Unavailable => "unavailable",
            Self::Unreachable => "unreachable",
            Self::Unknown => "unknown",
        }
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Throttled => "throttled",
            Self::QuotaReached => "the NACL's entry quota is reached",
            Self::NumberTaken => "the rule number is taken",
            Self::EntryMissing => "no entry has that rule number",
            Self::AclMissing => "no such NACL",
            Self::Malformed => "EC2 does not accept the request",
            Self::Forbidden => "not allowed",
            Self::Credentials => "no valid credentials",
            Self::WouldHaveWorked => "would have worked",
            Self::Unavailable => "EC2 has a fault",
            Self::Unreachable => "no usable reply from EC2",
            Self::Unknown => "an error that this version does not know",
        })
    }
}

/// A call that failed.
#[derive(Debug)]
pub struct ApiError {
    /// The call.
    pub operation: Operation,
    /// The NACL that it was about, if it was about one.
    pub acl: Option<String>,
    /// EC2's error code, if a reply came with one.
    pub code: Option<String>,
    /// EC2's message, or what went wrong on the way.
    pub message: String,
    /// What it means.
    pub kind: ErrorKind,
    /// The client's error below it.
    pub source: Option<Box<dyn Error + Send + Sync>>,
}

impl ApiError {
    /// What nicban does upon it.
    pub const fn response(&self) -> Response {
        self.kind.response()
    }

    /// EC2's message without the blob that `aws sts decode-authorization-message`
    /// reads, which is longer than all the rest.
    pub fn summary(&self) -> &str {
        self.message
            .split("Encoded authorization failure message:")
            .next()
            .unwrap_or_default()
            .trim_end()
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.operation)?;
        if let Some(acl) = &self.acl {
            write!(f, " on {acl}")?;
        }
        write!(f, ": {}", self.kind)?;
        if let Some(code) = &self.code {
            write!(f, " ({code})")?;
        }
        match self.summary() {
            "" => Ok(()),
            summary => write!(f, ": {summary}"),
        }
    }
}

impl Error for ApiError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_its_named_outcome() {
        use ErrorKind as K;
        use Response as R;
        let table = [
            ("RequestLimitExceeded", K::Throttled, R::Retry),
            ("Throttling", K::Throttled, R::Retry),
            ("ThrottlingException", K::Throttled, R::Retry),
            ("ThrottledException", K::Throttled, R::Retry),
            ("RequestThrottled", K::Throttled, R::Retry),
            ("RequestThrottledException", K::Throttled, R::Retry),
            ("EC2ThrottledException", K::Throttled, R::Retry),
            ("TooManyRequestsException", K::Throttled, R::Retry),
            ("BandwidthLimitExceeded", K::Throttled, R::Retry),
            ("PriorRequestNotComplete", K::Throttled, R::Retry),
            ("SlowDown", K::Throttled, R::Retry),
            (
                "NetworkAclEntryLimitExceeded",
                K::QuotaReached,
                R::LearnQuota,
            ),
            ("NetworkAclEntryAlreadyExists", K::NumberTaken, R::Reobserve),
            (
                "InvalidNetworkAclEntry.NotFound",
                K::EntryMissing,
                R::Reobserve,
            ),
            ("InvalidNetworkAclID.NotFound", K::AclMissing, R::Rediscover),
            ("InvalidNetworkAclId.NotFound", K::AclMissing, R::Rediscover),
            ("InvalidNetworkAclId.Malformed", K::Malformed, R::Skip),
            ("InvalidNetworkAclID.Malformed", K::Malformed, R::Skip),
            ("InvalidParameter", K::Malformed, R::Skip),
            ("InvalidParameterCombination", K::Malformed, R::Skip),
            ("InvalidParameterValue", K::Malformed, R::Skip),
            ("InvalidFilter", K::Malformed, R::Skip),
            ("InvalidAction", K::Malformed, R::Skip),
            ("InvalidQueryParameter", K::Malformed, R::Skip),
            ("InvalidRequest", K::Malformed, R::Skip),
            ("FilterLimitExceeded", K::Malformed, R::Skip),
            ("MalformedQueryString", K::Malformed, R::Skip),
            ("MissingAction", K::Malformed, R::Skip),
            ("MissingParameter", K::Malformed, R::Skip),
            ("NoSuchVersion", K::Malformed, R::Skip),
            ("UnknownParameter", K::Malformed, R::Skip),
            ("ValidationError", K::Malformed, R::Skip),
            ("UnauthorizedOperation", K::Forbidden, R::TurnOff),
            ("AuthFailure", K::Forbidden, R::TurnOff),
            ("AccessDenied", K::Forbidden, R::TurnOff),
            ("AccessDeniedException", K::Forbidden, R::TurnOff),
            ("Blocked", K::Forbidden, R::TurnOff),
            ("OperationNotPermitted", K::Forbidden, R::TurnOff),
            ("OptInRequired", K::Forbidden, R::TurnOff),
            ("PendingVerification", K::Forbidden, R::TurnOff),
            ("ExpiredToken", K::Credentials, R::Suspend),
            ("ExpiredTokenException", K::Credentials, R::Suspend),
            ("RequestExpired", K::Credentials, R::Suspend),
            ("RequestTimeTooSkewed", K::Credentials, R::Suspend),
            ("InvalidClientTokenId", K::Credentials, R::Suspend),
            ("InvalidAccessKeyId", K::Credentials, R::Suspend),
            ("InvalidSecurity", K::Credentials, R::Suspend),
            ("IncompleteSignature", K::Credentials, R::Suspend),
            ("InvalidSignatureException", K::Credentials, R::Suspend),
            ("SignatureDoesNotMatch", K::Credentials, R::Suspend),
            ("MissingAuthenticationToken", K::Credentials, R::Suspend),
            (
                "MissingAuthenticationTokenException",
                K::Credentials,
                R::Suspend,
            ),
            ("UnrecognizedClientException", K::Credentials, R::Suspend),
            ("DryRunOperation", K::WouldHaveWorked, R::Proceed),
            ("Unavailable", K::Unavailable, R::Retry),
            ("InternalError", K::Unavailable, R::Retry),
            ("InternalFailure", K::Unavailable, R::Retry),
            ("InternalServerError", K::Unavailable, R::Retry),
            ("RequestTimeout", K::Unavailable, R::Retry),
            ("RequestTimeoutException", K::Unavailable, R::Retry),
            ("ServerInternal", K::Unavailable, R::Retry),
            ("ServiceUnavailable", K::Unavailable, R::Retry),
            ("ServiceUnavailableException", K::Unavailable, R::Retry),
            ("SomethingNewIn2031", K::Unknown, R::Suspend),
        ];
        for (code, kind, response) in table {
            assert_eq!(ErrorKind::of(Some(code), Some(400)), kind, "{code}");
            assert_eq!(kind.response(), response, "{code}");
        }
    }

    #[test]
    fn a_reply_without_a_known_code_is_judged_by_its_status() {
        assert_eq!(ErrorKind::of(None, Some(503)), ErrorKind::Unavailable);
        assert_eq!(
            ErrorKind::of(Some("Odd"), Some(500)),
            ErrorKind::Unavailable
        );
        assert_eq!(ErrorKind::of(None, Some(429)), ErrorKind::Throttled);
        assert_eq!(ErrorKind::of(None, Some(404)), ErrorKind::Unknown);
        assert_eq!(ErrorKind::of(None, None), ErrorKind::Unknown);
        // The code is the better witness: EC2 throttles with 503.
        assert_eq!(
            ErrorKind::of(Some("RequestLimitExceeded"), Some(503)),
            ErrorKind::Throttled
        );
    }

    #[test]
    fn the_text_names_call_and_subject_but_not_the_blob() {
        let error = ApiError {
            operation: Operation::Create,
            acl: Some("acl-1".into()),
            code: Some("UnauthorizedOperation".into()),
            message: "You may not, with an explicit deny in a service control policy. \
                      Encoded authorization failure message: 4HNmJ8"
                .into(),
            kind: ErrorKind::Forbidden,
            source: None,
        };
        assert_eq!(
            error.to_string(),
            "CreateNetworkAclEntry on acl-1: not allowed (UnauthorizedOperation): \
             You may not, with an explicit deny in a service control policy."
        );
    }
}
