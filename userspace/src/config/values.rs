//! Parsers of single values; each fails with what is allowed.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use toml::de::DeValue;

use super::error::closest;

/// What a parser gives: the value, or what is allowed.
pub(super) type Parsed<T> = Result<T, String>;

pub(super) fn boolean(value: &DeValue<'_>) -> Parsed<bool> {
    value.as_bool().ok_or_else(|| "true or false".to_owned())
}

pub(super) fn text<'v>(value: &'v DeValue<'_>, allowed: &str) -> Parsed<&'v str> {
    value.as_str().ok_or_else(|| allowed.to_owned())
}

/// A whole number within `range`.
pub(super) fn integer(range: RangeInclusive<u32>) -> impl Fn(&DeValue<'_>) -> Parsed<u32> {
    move |value| {
        value
            .as_integer()
            .and_then(|n| u32::from_str_radix(n.as_str(), n.radix()).ok())
            .filter(|n| range.contains(n))
            .ok_or_else(|| format!("a whole number from {} to {}", range.start(), range.end()))
    }
}

/// A number within `range`, with or without a fraction.
pub(super) fn number(range: RangeInclusive<f64>) -> impl Fn(&DeValue<'_>) -> Parsed<f64> {
    move |value| {
        let written = match value {
            DeValue::Float(n) => n.as_str(),
            DeValue::Integer(n) if n.radix() == 10 => n.as_str(),
            _ => "",
        };
        written
            .parse()
            .ok()
            .filter(|n| range.contains(n))
            .ok_or_else(|| format!("a number from {} to {}", range.start(), range.end()))
    }
}

/// A time such as `"10m"` or `"1h 30m"`, within `range`.
pub(super) fn duration(
    range: RangeInclusive<Duration>,
) -> impl Fn(&DeValue<'_>) -> Parsed<Duration> {
    move |value| {
        value
            .as_str()
            .and_then(|written| humantime::parse_duration(written).ok())
            .filter(|time| range.contains(time))
            .ok_or_else(|| {
                format!(
                    "a time in quotes from \"{}\" to \"{}\", such as \"90s\" or \"1h 30m\"",
                    humantime::format_duration(*range.start()),
                    humantime::format_duration(*range.end())
                )
            })
    }
}

/// One of a few words.
pub(super) fn word<T: Copy>(choices: &[(&str, T)]) -> impl Fn(&DeValue<'_>) -> Parsed<T> {
    move |value| {
        let written = value.as_str().unwrap_or_default();
        if let Some((_, choice)) = choices.iter().find(|(name, _)| *name == written) {
            return Ok(*choice);
        }
        let names: Vec<&str> = choices.iter().map(|(name, _)| *name).collect();
        let hint = closest(written, &names)
            .map(|name| format!("; did you mean \"{name}\"?"))
            .unwrap_or_default();
        Err(format!("one of \"{}\"{hint}", names.join("\", \"")))
    }
}

/// A list, each item by `item`; `allowed` says what a list is made of.
pub(super) fn list<T>(
    allowed: &str,
    item: impl Fn(&DeValue<'_>) -> Parsed<T>,
) -> impl Fn(&DeValue<'_>) -> Parsed<Vec<T>> {
    move |value| {
        let Some(array) = value.as_array() else {
            return Err(format!("a list in brackets of {allowed}"));
        };
        let mut items = Vec::with_capacity(array.len());
        for (i, value) in array.iter().enumerate() {
            items.push(
                item(value.get_ref()).map_err(|allowed| format!("item {}: {allowed}", i + 1))?,
            );
        }
        Ok(items)
    }
}

/// An absolute path of at most `longest` bytes.
pub(super) fn path(longest: usize) -> impl Fn(&DeValue<'_>) -> Parsed<PathBuf> {
    move |value| {
        value
            .as_str()
            .filter(|path| path.starts_with('/') && path.len() <= longest && !path.contains('\0'))
            .map(PathBuf::from)
            .ok_or_else(|| format!("an absolute path of at most {longest} bytes"))
    }
}

/// What `FromStr` understands; its error says what is allowed.
pub(super) fn parsed<T>(allowed: &str) -> impl Fn(&DeValue<'_>) -> Parsed<T>
where
    T: std::str::FromStr,
    T::Err: Display,
{
    move |value| {
        text(value, allowed)?
            .parse()
            .map_err(|error| format!("{error}"))
    }
}
