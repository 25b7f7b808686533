//! What was ordered or reserved, hour by hour, from the instants at which it changed; pure.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::hours::{HOUR, hour_of};

/// How much there is from an instant on. Later ones of the same instant count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Level {
    /// From when on.
    pub at: Timestamp,
    /// How much.
    pub level: i64,
}

/// How the level of an hour becomes its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hourly {
    /// The level times the seconds for which it held.
    Seconds,
    /// The highest that held for at least a second.
    Highest,
}

/// The number of each whole hour of UTC from one instant to before another. Hours before anything was there are left out, those
/// after it was gone are not: they are nothing.
#[must_use]
pub fn hours(levels: &[Level], how: Hourly, from: Timestamp, to: Timestamp) -> BTreeMap<Timestamp, i128> {
    let mut levels: Vec<(i64, i64)> = levels.iter().map(|one| (one.at.as_second(), one.level)).collect();
    levels.sort_by_key(|(at, _)| *at);
    let Some((first, _)) = levels.first().copied() else { return BTreeMap::new() };
    let second = |at: Timestamp| hour_of(at).as_second();
    let begin = second(from).max(first.div_euclid(HOUR) * HOUR);
    let mut hours = BTreeMap::new();
    let mut next = 0;
    let mut level = 0;
    let mut hour = begin;
    while hour < second(to) {
        let mut at = hour;
        let mut count: i128 = 0;
        let mut hold = |level: i64, seconds: i64| match how {
            Hourly::Seconds => count += i128::from(level) * i128::from(seconds),
            Hourly::Highest if seconds > 0 => count = count.max(i128::from(level)),
            Hourly::Highest => {}
        };
        while let Some((since, then)) = levels.get(next).copied().filter(|(since, _)| *since < hour + HOUR) {
            hold(level, since.max(hour) - at);
            at = since.max(hour);
            level = then;
            next += 1;
        }
        hold(level, hour + HOUR - at);
        if let Ok(begin) = Timestamp::from_second(hour) {
            hours.insert(begin, count);
        }
        hour += HOUR;
    }
    hours
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn counted(levels: &[(i64, i64)], how: Hourly, from: i64, to: i64) -> Vec<(i64, i128)> {
        let levels: Vec<Level> =
            levels.iter().map(|(second, level)| Level { at: at(*second), level: *level }).collect();
        hours(&levels, how, at(from), at(to))
            .into_iter()
            .map(|(hour, count)| (hour.as_second() / HOUR, count))
            .collect()
    }

    #[test]
    fn a_level_counts_for_the_seconds_for_which_it_holds() {
        let levels = [(HOUR + 600, 4_000), (2 * HOUR, 8_000), (3 * HOUR + 1, 0)];
        let all = [(1, 3_000 * 4_000), (2, 3_600 * 8_000), (3, 8_000), (4, 0)];
        assert_eq!(counted(&levels, Hourly::Seconds, 0, 5 * HOUR), all);
        // Anew for a part of it, it is the same.
        assert_eq!(counted(&levels, Hourly::Seconds, 3 * HOUR + 5, 5 * HOUR + 5), all[2..]);
        assert_eq!(counted(&levels, Hourly::Seconds, 5 * HOUR, 6 * HOUR), [(5, 0)]);
        assert_eq!(counted(&[], Hourly::Seconds, 0, 5 * HOUR), []);
    }

    #[test]
    fn of_seats_the_most_of_an_hour_count() {
        let levels = [(0, 3), (HOUR / 2, 9), (HOUR, 5), (HOUR, 4), (2 * HOUR, 0), (2 * HOUR, 2)];
        assert_eq!(counted(&levels, Hourly::Highest, 0, 3 * HOUR), [(0, 9), (1, 4), (2, 2)]);
    }
}
