//! Moments as people write and read them.
// SPDX-License-Identifier: MIT OR Apache-2.0

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp, Zoned};
use placet::record::ids::Micros;

/// A moment, as it was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Moment {
    /// An instant.
    At(Micros),
    /// A whole day in UTC: from its first instant to its last.
    Day(Micros, Micros),
}

impl Moment {
    pub(crate) fn first(self) -> Micros {
        match self {
            Self::At(at) | Self::Day(at, _) => at,
        }
    }

    pub(crate) fn last(self) -> Micros {
        match self {
            Self::At(at) | Self::Day(_, at) => at,
        }
    }
}

/// Reads a moment: RFC 3339 in any time zone, a day, or how long ago.
pub(crate) fn parse(text: &str) -> Result<Moment, String> {
    let text = text.trim();
    if let Ok(at) = text.parse::<Timestamp>() {
        return Ok(Moment::At(Micros(at.as_microsecond())));
    }
    if let Ok(at) = text.parse::<Zoned>() {
        return Ok(Moment::At(Micros(at.timestamp().as_microsecond())));
    }
    let utc = |day: Date| day.to_zoned(TimeZone::UTC).ok().map(|start| start.timestamp().as_microsecond());
    if let Ok(day) = text.parse::<Date>()
        && text.len() == 10
        && let (Some(start), Some(next)) = (utc(day), day.tomorrow().ok().and_then(utc))
    {
        return Ok(Moment::Day(Micros(start), Micros(next.saturating_sub(1))));
    }
    let ago = text.parse::<Span>().ok().map(Span::abs);
    let ago = ago.and_then(|span| Timestamp::now().to_zoned(TimeZone::UTC).checked_sub(span).ok());
    ago.map(|at| Moment::At(Micros(at.timestamp().as_microsecond()))).ok_or_else(|| {
        format!("`{text}` is no time; write RFC 3339 with its time zone (`2026-11-26T14:00:00+02:00`), a day in UTC (`2026-11-26`), or how long ago (`90m`, `7d`)")
    })
}

/// `2026-11-26 12:00:00Z`.
pub(crate) fn short(at: Micros) -> String {
    Timestamp::from_microsecond(at.0)
        .map_or_else(|_| format!("{} us", at.0), |at| at.strftime("%Y-%m-%d %H:%M:%SZ").to_string())
}

/// RFC 3339 in UTC with microseconds.
pub(crate) fn exact(at: Micros) -> String {
    Timestamp::from_microsecond(at.0).map_or_else(|_| format!("{} us", at.0), |at| format!("{at:.6}"))
}

/// `1.204 s`, `12 ms`, `85 us`.
pub(crate) fn duration(us: u64) -> String {
    match us {
        0..1_000 => format!("{us} us"),
        1_000..1_000_000 => format!("{}.{} ms", us / 1_000, us % 1_000 / 100),
        _ => format!("{}.{:03} s", us / 1_000_000, us % 1_000_000 / 1_000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_the_same_in_any_time_zone() {
        let utc = parse("2026-11-26T12:00:00Z").unwrap();
        assert_eq!(parse("2026-11-26T14:00:00+02:00"), Ok(utc));
        assert_eq!(parse("2026-11-26T07:00:00-05:00[America/New_York]"), Ok(utc));
        assert_eq!(short(utc.first()), "2026-11-26 12:00:00Z");
    }

    #[test]
    fn a_day_reaches_from_its_first_to_its_last_instant() {
        let day = parse("2026-11-26").unwrap();
        assert_eq!(exact(day.first()), "2026-11-26T00:00:00.000000Z");
        assert_eq!(exact(day.last()), "2026-11-26T23:59:59.999999Z");
        assert!(parse("yesterday-ish").unwrap_err().contains("RFC 3339"));
        assert!(parse("7d").unwrap().first() < parse("6d").unwrap().first());
    }
}
