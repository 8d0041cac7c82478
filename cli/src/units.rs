//! Durations and sizes: as people type them (`250ms`, `8MiB`), and as they read them (`1.24 ms`, `3.1 KiB`).
//!
//! A duration must say its unit, because `10` could be seconds or milliseconds, and the difference is a broken script.

use std::time::Duration;

const DURATION_UNITS: [(&str, u64); 5] = [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];

const SIZE_UNITS: [(&str, u64); 5] = [("", 1), ("B", 1), ("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30)];

/// The longest duration that the wire can say: 365 days.
const DURATION_MS_MAX: u64 = 365 * 86_400_000;

/// Reads a duration. Only nothing at all needs no unit.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || "a duration has a unit: 250ms, 10s, 5m, 24h or 7d".to_owned();
    let (number, unit) = split(text).ok_or_else(wrong)?;
    if number == 0 && unit.is_empty() {
        return Ok(Duration::ZERO);
    }
    let (_, factor) = DURATION_UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(wrong)?;
    let millis = number.checked_mul(*factor).filter(|millis| *millis <= DURATION_MS_MAX);
    millis.map(Duration::from_millis).ok_or_else(|| "the longest duration is 365d".to_owned())
}

/// Reads a duration in which something can happen.
pub(crate) fn some_time(text: &str) -> Result<Duration, String> {
    match duration(text)? {
        Duration::ZERO => Err("nothing is answered in no time".to_owned()),
        some => Ok(some),
    }
}

/// Reads a size in bytes.
pub(crate) fn size(text: &str) -> Result<u64, String> {
    let wrong = || "a size is bytes, or has a unit: 65536, 64KiB, 8MiB or 1GiB".to_owned();
    let (number, unit) = split(text).ok_or_else(wrong)?;
    let (_, factor) = SIZE_UNITS.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit)).ok_or_else(wrong)?;
    number.checked_mul(*factor).ok_or_else(wrong)
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

/// A duration in three figures that count: `87 µs`, `1.24 ms`, `3.10 s`, `5 m 3 s`.
pub(crate) fn show_duration(duration: Duration) -> String {
    let micros = duration.as_micros();
    match micros {
        0..1_000 => format!("{micros} µs"),
        1_000..1_000_000 => format!("{} ms", figures(micros as f64 / 1e3)),
        1_000_000..60_000_000 => format!("{} s", figures(micros as f64 / 1e6)),
        _ => show_long(duration.as_secs()),
    }
}

/// A time that is only known in milliseconds.
pub(crate) fn show_ms(ms: u64) -> String {
    if ms < 1_000 { format!("{ms} ms") } else { show_duration(Duration::from_millis(ms)) }
}

fn show_long(seconds: u64) -> String {
    match seconds {
        0..3_600 => format!("{} m {} s", seconds / 60, seconds % 60),
        3_600..86_400 => format!("{} h {} m", seconds / 3_600, seconds / 60 % 60),
        _ => format!("{} d {} h", seconds / 86_400, seconds / 3_600 % 24),
    }
}

/// Milliseconds with a fraction, for JSON.
pub(crate) fn ms(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e6).round() / 1e3
}

/// Bytes in the unit that makes them short: `64 B`, `1.5 KiB`.
pub(crate) fn show_size(bytes: u64) -> String {
    let (name, factor) = SIZE_UNITS.iter().rev().find(|(_, factor)| bytes >= *factor).unwrap_or(&SIZE_UNITS[1]);
    match *factor {
        1 => format!("{bytes} B"),
        factor if bytes.is_multiple_of(factor) => format!("{} {name}", bytes / factor),
        factor => format!("{} {name}", figures(bytes as f64 / factor as f64)),
    }
}

/// A whole number with commas between its thousands.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A rate: whole from 10 on, with one place below.
pub(crate) fn show_rate(per_second: f64) -> String {
    if per_second >= 10.0 || per_second == 0.0 {
        grouped(per_second.round() as u64)
    } else {
        format!("{per_second:.1}")
    }
}

fn figures(number: f64) -> String {
    match number {
        n if n >= 99.95 => format!("{number:.0}"),
        n if n >= 9.995 => format!("{number:.1}"),
        _ => format!("{number:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_say_their_unit() {
        for (text, millis) in [("0", 0), ("0ms", 0), ("500ms", 500), ("2s", 2_000), ("1m", 60_000), ("7d", 604_800_000)]
        {
            assert_eq!(duration(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        for wrong in ["", "10", "s", "1.5s", "-1s", "10S", "1h30m", "366d", "99999999999999999999d"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn sizes_know_binary_units_only() {
        for (text, bytes) in [("0", 0), ("512", 512), ("512B", 512), ("64KiB", 65_536), ("8 mib", 8 << 20)] {
            assert_eq!(size(text), Ok(bytes), "{text}");
        }
        for wrong in ["", "KiB", "8MB", "1.5MiB", "-1", "17179869184GiB"] {
            assert!(size(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_people_read() {
        let durations = [0, 87, 1_240, 12_340, 999_999, 3_100_000, 303_000_000, 7_500_000_000, 180_000_000_000];
        let texts = durations.map(|micros| show_duration(Duration::from_micros(micros)));
        let expected = ["0 µs", "87 µs", "1.24 ms", "12.3 ms", "1000 ms", "3.10 s", "5 m 3 s", "2 h 5 m", "2 d 2 h"];
        assert_eq!(texts, expected);
        assert_eq!([0, 64, 1_024, 1_536, 8 << 20].map(show_size), ["0 B", "64 B", "1 KiB", "1.50 KiB", "8 MiB"]);
        assert_eq!([0, 999, 1_000, 1_234_567].map(grouped), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!([0.0, 0.5, 9.94, 1_234.5].map(show_rate), ["0", "0.5", "9.9", "1,235"]);
        assert_eq!((show_ms(7), show_ms(1_500)), ("7 ms".to_owned(), "1.50 s".to_owned()));
    }
}
