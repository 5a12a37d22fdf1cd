//! Numbers and times as people read them.

/// A whole number with its thousands apart: `1,234,567`.
pub fn count(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Bytes in the largest binary unit that leaves a whole part: `1.5 GiB`.
pub fn bytes(n: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if n < 1024 {
        return format!("{n} B");
    }
    #[expect(clippy::cast_precision_loss, reason = "one decimal is shown")]
    let mut value = n as f64 / 1024.0;
    let mut unit = 0;
    // From 1023.95 on, one decimal would show 1024.0.
    while value >= 1023.95 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    format!("{value:.1} {}", UNITS[unit])
}

/// A rate in packets per second, to three digits where it is small: `0.25/s`, `12.5/s`, `1,234/s`.
pub fn rate(rate: f64) -> String {
    if !rate.is_finite() || rate < 0.005 {
        return "0/s".to_owned();
    }
    if rate < 9.995 {
        format!("{rate:.2}/s")
    } else if rate < 99.95 {
        format!("{rate:.1}/s")
    } else {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "positive here, and a cast saturates"
        )]
        let whole = rate.round() as u64;
        format!("{}/s", count(whole))
    }
}

/// Seconds in their two largest units: `45s`, `2m 5s`, `3h 20m`, `9d 4h`.
pub fn duration(seconds: u64) -> String {
    const UNITS: [(u64, &str); 4] = [(86_400, "d"), (3600, "h"), (60, "m"), (1, "s")];
    let Some(first) = UNITS.iter().position(|(unit, _)| seconds >= *unit) else {
        return "0s".to_owned();
    };
    let (unit, name) = UNITS[first];
    let mut text = format!("{}{name}", seconds / unit);
    if let Some((next, name)) = UNITS.get(first + 1)
        && seconds % unit / next > 0
    {
        text.extend([format!(" {}{name}", seconds % unit / next)]);
    }
    text
}

/// How long from now until then: `in 5m`, `over`, `never` where there is no end.
pub fn until(end: Option<i64>, now: i64) -> String {
    match end {
        None => "never".to_owned(),
        Some(end) => match u64::try_from(end.saturating_sub(now)) {
            Ok(left) if left > 0 => format!("in {}", duration(left)),
            _ => "over".to_owned(),
        },
    }
}

/// How long it has been since then: `5m`; a clock that was set back gives `0s`.
pub fn since(start: i64, now: i64) -> String {
    duration(u64::try_from(now.saturating_sub(start)).unwrap_or(0))
}

/// A share in whole percent, rounded down, so that only what is full shows 100 %.
pub fn percent(part: u64, whole: u64) -> String {
    let share = u128::from(part) * 100 / u128::from(whole.max(1));
    if share == 0 && part > 0 {
        "<1 %".to_owned()
    } else {
        format!("{share} %")
    }
}

/// `one` or `many` with their number: `1 ban`, `2 bans`.
pub fn plural(n: u64, one: &str, many: &str) -> String {
    format!("{} {}", count(n), if n == 1 { one } else { many })
}

#[cfg(test)]
mod tests {
    use super::{bytes, count, duration, percent, plural, rate, since, until};

    #[test]
    fn counts() {
        assert_eq!(count(0), "0");
        assert_eq!(count(999), "999");
        assert_eq!(count(1000), "1,000");
        assert_eq!(count(u64::MAX), "18,446,744,073,709,551,615");
    }

    #[test]
    fn sizes() {
        assert_eq!(bytes(1023), "1023 B");
        assert_eq!(bytes(1024), "1.0 KiB");
        assert_eq!(bytes(1536 * 1024 * 1024), "1.5 GiB");
        assert_eq!(bytes(1024 * 1024 - 1), "1.0 MiB");
        assert_eq!(bytes(u64::MAX), "16.0 EiB");
    }

    #[test]
    fn rates() {
        assert_eq!(rate(0.0), "0/s");
        assert_eq!(rate(0.25), "0.25/s");
        assert_eq!(rate(12.34), "12.3/s");
        assert_eq!(rate(9.999), "10.0/s");
        assert_eq!(rate(99.97), "100/s");
        assert_eq!(rate(1234.5), "1,235/s");
        assert_eq!(rate(f64::NAN), "0/s");
    }

    #[test]
    fn durations() {
        assert_eq!(duration(0), "0s");
        assert_eq!(duration(45), "45s");
        assert_eq!(duration(125), "2m 5s");
        assert_eq!(duration(3600), "1h");
        assert_eq!(duration(3605), "1h");
        assert_eq!(duration(12_000), "3h 20m");
        assert_eq!(duration(9 * 86_400 + 4 * 3600), "9d 4h");
    }

    #[test]
    fn distances() {
        assert_eq!(until(None, 100), "never");
        assert_eq!(until(Some(400), 100), "in 5m");
        assert_eq!(until(Some(100), 100), "over");
        assert_eq!(until(Some(i64::MIN), 100), "over");
        assert_eq!(since(100, 400), "5m");
        assert_eq!(since(400, 100), "0s");
    }

    #[test]
    fn shares() {
        assert_eq!(percent(0, 100), "0 %");
        assert_eq!(percent(1, 1000), "<1 %");
        assert_eq!(percent(999, 1000), "99 %");
        assert_eq!(percent(1000, 1000), "100 %");
        assert_eq!(percent(0, 0), "0 %");
    }

    #[test]
    fn plurals() {
        assert_eq!(plural(1, "ban", "bans"), "1 ban");
        assert_eq!(plural(0, "ban", "bans"), "0 bans");
        assert_eq!(plural(2000, "ban", "bans"), "2,000 bans");
    }
}
