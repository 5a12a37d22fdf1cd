//! An error as EC2 reports it.

use std::borrow::Cow;

/// An EC2 error code with its message.
///
/// The codes are those of the EC2 API reference, "Error codes for the Amazon EC2 API".
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {message}")]
pub struct ApiError {
    /// The code, such as `NetworkAclEntryLimitExceeded`.
    pub code: Cow<'static, str>,
    /// For people; clients must not depend on it.
    pub message: String,
}

impl ApiError {
    /// An error with a code and a message.
    pub fn new(code: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Self {
        Self {
            code: code.into(),
            message: message.into(),
        }
    }

    /// `MissingParameter` for a parameter.
    pub fn missing(parameter: &str) -> Self {
        Self::new(
            "MissingParameter",
            format!("The request must contain the parameter {parameter}"),
        )
    }

    /// `InvalidParameterValue` for a parameter's value.
    pub fn invalid(parameter: &str, value: impl std::fmt::Display) -> Self {
        Self::new(
            "InvalidParameterValue",
            format!("Value ({value}) for parameter {parameter} is invalid."),
        )
    }

    /// The HTTP status that goes with the code; 400 for those without their own.
    pub fn status(&self) -> u16 {
        match self.code.as_ref() {
            "AuthFailure" => 401,
            "UnauthorizedOperation" => 403,
            "DryRunOperation" => 412,
            "InternalError" | "InternalFailure" => 500,
            "RequestLimitExceeded" | "Unavailable" | "ServiceUnavailable" => 503,
            _ => 400,
        }
    }
}
