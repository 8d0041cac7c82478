//! Moments as people read them: `2026-11-21T15:02:33.000124Z`. Exact to the microsecond, and every moment has one text.

use super::WrongLine;

/// What stands for a moment that never comes.
const NEVER: &str = "never";

const MICROS: u64 = 1_000_000;
const DAY_SECONDS: u64 = 86_400;

/// Days from 0000-03-01, where a calendar of 400 years begins that ends with its leap day, to 1970-01-01.
const DAYS_TO_1970: u64 = 719_468;

/// Days in 400 years.
const ERA_DAYS: u64 = 146_097;

/// A clock time in microseconds since 1970.
pub(super) fn print(unix_micros: u64) -> String {
    if unix_micros == u64::MAX {
        return NEVER.to_owned();
    }
    format!("{}.{:06}Z", to_the_second(unix_micros, ':'), unix_micros % MICROS)
}

/// The same without the fraction and its zone; `between` stands between hour, minute and second.
pub(crate) fn to_the_second(unix_micros: u64, between: char) -> String {
    let seconds = unix_micros / MICROS;
    let (year, month, day) = date(seconds / DAY_SECONDS);
    let second = seconds % DAY_SECONDS;
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}{between}{minute:02}{between}{second:02}")
}

/// Reads what [`print`] writes; digits of the second's fraction may be left out.
pub(super) fn parse(text: &str) -> Result<u64, WrongLine> {
    if text == NEVER {
        return Ok(u64::MAX);
    }
    let wrong = || WrongLine::new("a time is written like 2026-11-21T15:02:33.000124Z, or \"never\"");
    let micros = parse_utc(text).filter(|micros| *micros != u64::MAX).ok_or_else(wrong)?;
    Ok(micros)
}

fn parse_utc(text: &str) -> Option<u64> {
    let (date, time) = text.strip_suffix('Z')?.split_once('T')?;
    let mut words = date.split('-');
    let (year, month, day) = (words.next()?, words.next()?, words.next()?);
    if words.next().is_some() || year.len() < 4 {
        return None;
    }
    let (year, month, day) = (digits(year)?, two(month)?, two(day)?);
    let (time, fraction) = time.split_once('.').unwrap_or((time, "0"));
    let mut words = time.split(':');
    let (hour, minute, second) = (two(words.next()?)?, two(words.next()?)?, two(words.next()?)?);
    if words.next().is_some() || hour > 23 || minute > 59 || second > 59 || fraction.len() > 6 {
        return None;
    }
    let micros = digits(fraction)? * 10_u64.pow(6 - fraction.len() as u32);
    let seconds = days(year, month, day)?.checked_mul(DAY_SECONDS)? + hour * 3600 + minute * 60 + second;
    seconds.checked_mul(MICROS)?.checked_add(micros)
}

/// A number without a sign.
fn digits(text: &str) -> Option<u64> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if is_number { text.parse().ok() } else { None }
}

fn two(text: &str) -> Option<u64> {
    if text.len() == 2 { digits(text) } else { None }
}

/// Year, month and day of a day since 1970. Years begin with March here, so that a leap day is the last of its year.
fn date(days: u64) -> (u64, u64, u64) {
    let days = days + DAYS_TO_1970;
    let (era, day) = (days / ERA_DAYS, days % ERA_DAYS);
    let year = (day - day / 1_460 + day / 36_524 - day / (ERA_DAYS - 1)) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let is_after_new_year = month >= 10;
    let year = era * 400 + year + u64::from(is_after_new_year);
    (year, if is_after_new_year { month - 9 } else { month + 3 }, day)
}

/// The day since 1970; nothing if there is no such day.
fn days(year: u64, month: u64, day: u64) -> Option<u64> {
    let shifted = if month > 2 { year } else { year.checked_sub(1)? };
    let (era, in_era) = (shifted / 400, shifted % 400);
    let month_from_march = (month + 9) % 12;
    let day_of_year = (153 * month_from_march + 2) / 5 + day.checked_sub(1)?;
    let day_of_era = in_era * 365 + in_era / 4 - in_era / 100 + day_of_year;
    let days = era.checked_mul(ERA_DAYS)?.checked_add(day_of_era)?.checked_sub(DAYS_TO_1970)?;
    // The 30th of February is a day in this count, but not one that it gives back.
    (date(days) == (year, month, day)).then_some(days)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_what_calendars_say() {
        for (micros, text) in [
            (0, "1970-01-01T00:00:00.000000Z"),
            (951_782_400_000_000, "2000-02-29T00:00:00.000000Z"),
            (951_868_800_000_001, "2000-03-01T00:00:00.000001Z"),
            (4_107_542_399_999_999, "2100-02-28T23:59:59.999999Z"),
            (4_107_542_400_000_000, "2100-03-01T00:00:00.000000Z"),
            (1_795_273_353_000_124, "2026-11-21T15:02:33.000124Z"),
            (u64::MAX, "never"),
        ] {
            assert_eq!((print(micros).as_str(), parse(text)), (text, Ok(micros)));
        }
        assert_eq!(parse("2026-11-21T15:02:33Z"), Ok(1_795_273_353_000_000));
        assert_eq!(parse("2026-11-21T15:02:33.5Z"), Ok(1_795_273_353_500_000));
    }

    #[test]
    fn every_moment_comes_back() {
        // A prime number of steps meets every day of several hundred years, and the far end too.
        for micros in (0..u64::MAX - 1)
            .step_by(3_600_000_000_000_000_007)
            .chain((0..15_000_000_000_000_000).step_by(43_200_000_007))
        {
            assert_eq!(parse(&print(micros)), Ok(micros), "{}", print(micros));
        }
        assert_eq!(parse(&print(u64::MAX - 1)), Ok(u64::MAX - 1));
    }

    #[test]
    fn what_is_no_moment_is_refused() {
        for text in [
            "",
            "Never",
            "now",
            "2026-11-21",
            "2026-11-21T15:02:33",
            "2026-11-21 15:02:33Z",
            "2026-02-30T00:00:00Z",
            "2026-13-01T00:00:00Z",
            "2026-00-01T00:00:00Z",
            "2026-01-00T00:00:00Z",
            "1969-12-31T23:59:59Z",
            "2026-11-21T24:00:00Z",
            "2026-11-21T15:60:00Z",
            "2026-11-21T15:02:33.0000001Z",
            "2026-11-21T15:02:33.Z",
            "+2026-11-21T15:02:33Z",
            "99999999999999999-01-01T00:00:00Z",
            "2026-11-21T15:02:33+01:00",
            "226-11-21T15:02:33Z",
            "2026-1-2T15:02:33Z",
            "2026-11-21T15:02:-3Z",
            "2026-11-99T15:02:33Z",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
