//! The SDK's errors, turned into named outcomes.

use std::error::Error;

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_ec2::error::{ProvideErrorMetadata, SdkError};

use super::convert::Unreadable;
use crate::nacl::error::{ApiError, ErrorKind, Operation};

/// Turns an error of any EC2 call into ours.
pub(super) fn failure<E>(operation: Operation, acl: Option<&str>, error: SdkError<E>) -> ApiError
where
    E: ProvideErrorMetadata + Error + Send + Sync + 'static,
{
    let status = error.raw_response().map(|raw| raw.status().as_u16());
    let code = error.code().map(one_line);
    let kind = match &error {
        // A success without EC2's reply in it: of a proxy, perhaps.
        SdkError::ServiceError(_) if code.is_none() && matches!(status, Some(200..300)) => {
            ErrorKind::Unreachable
        }
        SdkError::ServiceError(_) => ErrorKind::of(code.as_deref(), status),
        SdkError::ConstructionFailure(_) => ErrorKind::Malformed,
        // A reply that makes no sense: of a broken gateway, perhaps.
        SdkError::ResponseError(_) => match status {
            Some(500..) => ErrorKind::Unavailable,
            _ => ErrorKind::Unreachable,
        },
        _ if lacks_credentials(&error) => ErrorKind::Credentials,
        _ => ErrorKind::Unreachable,
    };
    let message = match error.message() {
        Some(message) => one_line(message),
        None => in_words(status, &error),
    };
    ApiError {
        operation,
        acl: acl.map(str::to_owned),
        code,
        message,
        kind,
        source: Some(Box::new(error)),
    }
}

/// What an error and those below it say, in one line.
fn in_words(status: Option<u16>, error: &(dyn Error + 'static)) -> String {
    let mut words: Vec<String> = status
        .map(|status| format!("HTTP status {status}"))
        .into_iter()
        .chain(chain(error).map(ToString::to_string))
        .collect();
    // A wrapper often repeats what it wraps.
    words.dedup();
    one_line(&words.join(": "))
}

/// The most characters of what EC2 says: three times the longest known, a refusal with its blob.
const LONGEST: usize = 4096;

/// Logs and the status have one line for it, and a terminal may show it. XML has names for
/// characters that no text may hold as they are.
fn one_line(text: &str) -> String {
    let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let shown = |letter: char| match letter {
        _ if letter.is_control() => char::REPLACEMENT_CHARACTER,
        _ => letter,
    };
    words.chars().map(shown).take(LONGEST).collect()
}

/// An error and those below it.
fn chain<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&error| error.source())
}

/// A description that can't be read.
pub(super) fn unreadable(acl: Option<&str>, error: Unreadable) -> ApiError {
    ApiError {
        operation: Operation::Describe,
        acl: acl.map(str::to_owned),
        code: None,
        message: error.to_string(),
        kind: ErrorKind::Unknown,
        source: Some(Box::new(error)),
    }
}

/// The SDK signs a request on its way out, so that a lack of credentials comes as
/// a failure to send.
fn lacks_credentials(error: &(dyn Error + 'static)) -> bool {
    chain(error).any(<dyn Error>::is::<CredentialsError>)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ec2_says_stays_on_its_line_and_moves_no_cursor() {
        assert_eq!(
            one_line("You may not.\r\n  Ask\tyour \u{1b}[2Jadmin\u{9b}1A"),
            "You may not. Ask your \u{fffd}[2Jadmin\u{fffd}1A"
        );
        assert_eq!(one_line(&"x".repeat(2 * LONGEST)).len(), LONGEST);
    }
}
