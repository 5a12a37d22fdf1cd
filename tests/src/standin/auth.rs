//! The Signature Version 4 header: its form and its scope, not its cryptography.

use std::time::SystemTime;

use super::credentials::{Issued, Refusal};
use super::error::ApiError;

/// What a request must show.
#[derive(Debug, Clone)]
pub struct Gate {
    /// The Region that the scope must name.
    pub region: String,
    /// Whose access keys are good; `None` accepts any.
    pub issued: Option<Issued>,
}

impl Gate {
    /// Checks `Authorization` and `X-Amz-Security-Token`: `AuthFailure` for what is
    /// missing, malformed, or out of scope; `RequestExpired` for credentials whose life
    /// is over.
    pub fn check(
        &self,
        authorization: Option<&str>,
        token: Option<&str>,
        now: SystemTime,
    ) -> Result<(), ApiError> {
        let header = authorization.ok_or_else(|| failure("no Authorization header"))?;
        let access_key = self.access_key(header).ok_or_else(|| {
            failure(
                "the Authorization header is not a Signature Version 4 of this Region and service",
            )
        })?;
        match self
            .issued
            .as_ref()
            .map(|issued| issued.check(access_key, token, now))
        {
            None | Some(Ok(())) => Ok(()),
            Some(Err(Refusal::Unknown)) => Err(failure("the access key is unknown")),
            Some(Err(Refusal::Expired)) => {
                Err(ApiError::new("RequestExpired", "Request has expired."))
            }
        }
    }

    fn access_key<'h>(&self, header: &'h str) -> Option<&'h str> {
        let parts = header.strip_prefix("AWS4-HMAC-SHA256 ")?;
        let mut credential = None;
        let mut signed = None;
        let mut signature = None;
        for part in parts.split(',') {
            let (name, value) = part.trim().split_once('=')?;
            match name {
                "Credential" => credential = Some(value),
                "SignedHeaders" => signed = Some(value),
                "Signature" => signature = Some(value),
                _ => return None,
            }
        }
        let signature = signature?;
        let is_hex = signature.len() == 64 && signature.bytes().all(|b| b.is_ascii_hexdigit());
        let signs_host = signed?.split(';').any(|name| name == "host");
        let mut scope = credential?.split('/');
        let access_key = scope.next().filter(|key| !key.is_empty())?;
        let date = scope.next()?;
        let good_date = date.len() == 8 && date.bytes().all(|b| b.is_ascii_digit());
        let scoped = scope.eq([self.region.as_str(), "ec2", "aws4_request"]);
        (is_hex && signs_host && good_date && scoped).then_some(access_key)
    }
}

fn failure(why: &str) -> ApiError {
    ApiError::new(
        "AuthFailure",
        format!("AWS was not able to validate the provided access credentials: {why}"),
    )
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn header(key: &str, scope: &str) -> String {
        format!(
            "AWS4-HMAC-SHA256 Credential={key}/20260101/{scope}, \
             SignedHeaders=content-type;host;x-amz-date, Signature={}",
            "0f".repeat(32)
        )
    }

    fn gate(issued: Option<Issued>) -> Gate {
        Gate {
            region: "eu-central-1".into(),
            issued,
        }
    }

    #[test]
    fn a_signature_of_this_region_and_service_passes() {
        let now = SystemTime::UNIX_EPOCH;
        let good = header("AKIAX", "eu-central-1/ec2/aws4_request");
        assert_eq!(gate(None).check(Some(&good), None, now), Ok(()));
    }

    #[test]
    fn everything_else_is_refused() {
        let now = SystemTime::UNIX_EPOCH;
        let good = header("AKIAX", "eu-central-1/ec2/aws4_request");
        for bad in [
            header("AKIAX", "us-east-1/ec2/aws4_request"),
            header("AKIAX", "eu-central-1/sts/aws4_request"),
            header("AKIAX", "eu-central-1/ec2/aws4"),
            header("AKIAX", "eu-central-1/ec2/aws4_request/x"),
            header("", "eu-central-1/ec2/aws4_request"),
            good.replace("Signature=0f", "Signature=zz"),
            good.replace("host;", ""),
            good.replace("20260101", "2026"),
            "Bearer x".to_owned(),
            String::new(),
        ] {
            let refused = gate(None).check(Some(&bad), None, now).unwrap_err();
            assert_eq!(refused.code, "AuthFailure", "{bad}");
        }
        let refused = gate(None).check(None, None, now).unwrap_err();
        assert_eq!(
            (refused.code.as_ref(), refused.status()),
            ("AuthFailure", 401)
        );
    }

    #[test]
    fn the_access_key_must_be_one_that_was_issued() {
        let issued = Issued::default();
        let now = SystemTime::UNIX_EPOCH;
        let life = Duration::from_mins(1);
        let credentials = issued.current(life, now);
        let gate = gate(Some(issued));
        let scope = "eu-central-1/ec2/aws4_request";
        let good = header(&credentials.access_key, scope);
        let token = Some(credentials.token.as_str());
        assert_eq!(gate.check(Some(&good), token, now), Ok(()));
        let code =
            |header: &str, token, now| gate.check(Some(header), token, now).unwrap_err().code;
        assert_eq!(code(&header("AKIAX", scope), token, now), "AuthFailure");
        assert_eq!(code(&good, None, now), "AuthFailure");
        assert_eq!(code(&good, token, now + life), "RequestExpired");
    }
}
