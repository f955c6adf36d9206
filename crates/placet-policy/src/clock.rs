//! Windows of time: hours of the day, across midnight too, and days of the week, in a time zone.
//!
//! The clock is the event's `now`; nothing here reads another.
// SPDX-License-Identifier: MIT OR Apache-2.0

use jiff::Timestamp;
use jiff::civil::Time;
use jiff::tz::TimeZone;

use crate::ir::Truth;

/// When a rule applies.
#[derive(Debug, Clone)]
pub struct TimeWindow {
    /// From this time of day on, inclusive.
    pub after: Option<Time>,
    /// Until this time of day, exclusive.
    pub before: Option<Time>,
    /// ISO weekdays, Monday is 1; empty means every day.
    pub weekdays: Vec<i8>,
    /// The zone in which the event's time is read; UTC unless the policy says otherwise.
    pub zone: TimeZone,
}

impl TimeWindow {
    /// Whether an RFC 3339 time lies in the window; unknown when it is missing, no time, or further from 1970 than
    /// 64-bit nanoseconds reach (292 years).
    #[must_use]
    pub fn holds(&self, now: Option<&str>) -> Truth {
        let now = now.and_then(|now| now.parse::<Timestamp>().ok());
        let Some(now) = now.filter(|now| nanoseconds(*now).is_some()) else { return Truth::Unknown };
        let local = now.to_zoned(self.zone.clone());
        let day = local.weekday().to_monday_one_offset();
        let in_days = self.weekdays.is_empty() || self.weekdays.contains(&day);
        Truth::of(in_days && self.in_hours(local.time()))
    }

    fn in_hours(&self, time: Time) -> bool {
        match (self.after, self.before) {
            // An evening start with a morning end is one window across midnight.
            (Some(after), Some(before)) if after > before => time >= after || time < before,
            (after, before) => {
                after.is_none_or(|after| time >= after) && before.is_none_or(|before| time < before)
            }
        }
    }
}

/// Nanoseconds since 1970, as other policy engines count time; `None` past 64 bits.
pub(crate) fn nanoseconds(now: Timestamp) -> Option<i64> {
    i64::try_from(now.as_nanosecond()).ok()
}
