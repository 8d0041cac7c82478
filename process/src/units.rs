//! Sizes and durations as people write them: `8MiB`, `250ms`. What is printed here can be read here again.
//!
//! A duration must say its unit, because `10` could be seconds or milliseconds and the difference is a broken service. A
//! size without a unit is bytes. Sizes know binary units only: `8MB` is refused rather than guessed at.

use std::time::Duration;

const SIZE_UNITS: [(&str, u64); 4] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)];

const DURATION_UNITS: [(&str, u64); 5] = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

/// What a size must look like, for messages.
pub const A_SIZE: &str = "a size such as 65536, 64KiB, 8MiB or 1GiB";

/// What a duration must look like, for messages.
pub const A_DURATION: &str = "a duration with its unit, such as 250ms, 10s, 5m, 24h or 7d";

/// What a count must look like, for messages.
pub const A_COUNT: &str = "a whole number such as 10000 or 10_000";

/// Reads a size in bytes.
pub fn parse_size(text: &str) -> Option<u64> {
    let (number, unit) = split(text)?;
    let factor = match unit {
        "" => 1,
        _ => SIZE_UNITS.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit))?.1,
    };
    number.checked_mul(factor)
}

/// Reads a duration. Only nothing at all needs no unit.
pub fn parse_duration(text: &str) -> Option<Duration> {
    let (number, unit) = split(text)?;
    let factor = match unit {
        "" if number == 0 => 1,
        _ => DURATION_UNITS.iter().find(|(name, _)| *name == unit)?.1,
    };
    Some(Duration::from_millis(number.checked_mul(factor)?))
}

/// Reads a count.
pub fn parse_count(text: &str) -> Option<u64> {
    match split(text)? {
        (number, "") => Some(number),
        _ => None,
    }
}

/// A size in the largest unit that shows it whole.
pub fn print_size(bytes: u64) -> String {
    match SIZE_UNITS.iter().find(|(_, factor)| bytes >= *factor && bytes.is_multiple_of(*factor)) {
        Some((name, factor)) if *factor > 1 => format!("{}{name}", bytes / factor),
        _ => bytes.to_string(),
    }
}

/// A duration in the largest unit that shows it whole, in milliseconds at the finest.
pub fn print_duration(duration: Duration) -> String {
    let millis = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    match DURATION_UNITS.iter().find(|(_, factor)| millis >= *factor && millis.is_multiple_of(*factor)) {
        Some((name, factor)) => format!("{}{name}", millis / factor),
        None => "0ms".to_owned(),
    }
}

/// Digits, which may be grouped by `_`, and what stands behind them.
fn split(text: &str) -> Option<(u64, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '_').unwrap_or(text.len());
    let (digits, unit) = text.split_at(end);
    if !digits.starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    Some((digits.replace('_', "").parse().ok()?, unit.trim_start()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        for (text, bytes) in [
            ("0", 0),
            ("512", 512),
            ("512B", 512),
            ("64KiB", 65_536),
            ("8 MiB", 8 << 20),
            ("1gib", 1 << 30),
            ("1_000", 1_000),
        ] {
            assert_eq!(parse_size(text), Some(bytes), "{text}");
        }
        for wrong in ["", "MiB", "8MB", "8M", "-1", "1.5MiB", "_1", "99999999999999999999", "17179869184GiB", "８"] {
            assert_eq!(parse_size(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn durations_say_their_unit() {
        for (text, millis) in
            [("0", 0), ("250ms", 250), ("10s", 10_000), ("5m", 300_000), ("24h", 86_400_000), ("7d", 604_800_000)]
        {
            assert_eq!(parse_duration(text), Some(Duration::from_millis(millis)), "{text}");
        }
        for wrong in ["", "10", "s", "10 sec", "1h30m", "-1s", "1.5s", "10S", "99999999999999999d"] {
            assert_eq!(parse_duration(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn what_is_printed_can_be_read() {
        for bytes in [0, 1, 1_000, 1 << 10, 3 << 20, (8 << 20) + 1, 5 << 30] {
            assert_eq!(parse_size(&print_size(bytes)), Some(bytes));
        }
        for millis in [0, 1, 1_500, 10_000, 90_000, 86_400_000] {
            let duration = Duration::from_millis(millis);
            assert_eq!(parse_duration(&print_duration(duration)), Some(duration));
        }
        assert_eq!((print_size(8 << 20).as_str(), print_duration(Duration::from_secs(90)).as_str()), ("8MiB", "90s"));
    }

    #[test]
    fn counts_have_no_unit() {
        assert_eq!((parse_count("10_000"), parse_count("7")), (Some(10_000), Some(7)));
        assert_eq!((parse_count("7KiB"), parse_count("x")), (None, None));
    }
}
