//! How a changed definition reaches running tenants, a few at a time; pure, needs neither client nor clock.

use std::fmt;

/// One tenant that runs a definition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tenant {
    /// Name of the subscription.
    pub name: String,
    /// Whether it runs the latest accepted revision.
    pub on_latest: bool,
    /// Whether it runs the latest revision and everything about it is ready.
    pub moved_and_ready: bool,
    /// Whether it runs the latest revision and something failed for good.
    pub moved_and_failed: bool,
    /// Whether the latest revision takes something from it that it was not told of.
    pub held: bool,
    /// Whether it is served and none of its maintenance windows is open.
    pub closed: bool,
}

/// Bounds of a move.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Tenants that may be on their way at the same time; at least one is let through.
    pub max_in_flight: usize,
    /// Failed tenants after which no further tenant moves; at least one failure stops it.
    pub stop_after_failures: usize,
}

/// Who may move now, and how far the move is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pace {
    /// Names of the tenants that may move now, in order of their names.
    pub may_move: Vec<String>,
    /// Tenants that run the definition.
    pub total: usize,
    /// Tenants that run the latest revision and are ready.
    pub ready: usize,
    /// Tenants that run the latest revision and are neither ready nor failed; `may_move` is not counted.
    pub in_flight: usize,
    /// Tenants that run the latest revision and failed.
    pub failed: usize,
    /// Tenants that stay where they are until they are told what the latest revision takes from them.
    pub held: usize,
    /// Tenants that stay where they are until a maintenance window of theirs opens.
    pub closed: usize,
    /// Whether failures keep the others where they are.
    pub stopped: bool,
}

/// Says which tenants may move to the latest revision now. The order is that of their names.
#[must_use]
pub fn pace(tenants: &[Tenant], limits: Limits) -> Pace {
    let count = |test: fn(&Tenant) -> bool| tenants.iter().filter(|tenant| test(tenant)).count();
    let failed = count(|t| t.on_latest && t.moved_and_failed);
    let ready = count(|t| t.on_latest && t.moved_and_ready && !t.moved_and_failed);
    let in_flight = count(|t| t.on_latest && !t.moved_and_ready && !t.moved_and_failed);
    let stopped = failed >= limits.stop_after_failures.max(1);
    let room = if stopped { 0 } else { limits.max_in_flight.max(1).saturating_sub(in_flight) };
    let held = count(|t| !t.on_latest && t.held);
    let closed = count(|t| !t.on_latest && !t.held && t.closed);
    let movable = tenants.iter().filter(|t| !t.on_latest && !t.held && !t.closed);
    let mut may_move: Vec<String> = movable.map(|t| t.name.clone()).collect();
    may_move.sort_unstable();
    may_move.truncate(room);
    Pace { may_move, total: tenants.len(), ready, in_flight, failed, held, closed, stopped }
}

impl fmt::Display for Pace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {} tenants run the latest revision", self.ready, self.total)?;
        if self.in_flight > 0 {
            write!(f, ", {} on the way", self.in_flight)?;
        }
        if self.held > 0 {
            write!(f, ", {} stay until they are told what it takes from them", self.held)?;
        }
        if self.closed > 0 {
            write!(f, ", {} wait for their maintenance windows", self.closed)?;
        }
        if self.stopped {
            write!(
                f,
                "; stopped because {} failed: correct the definition, or the tenants that failed, and it goes on",
                self.failed
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// `o` old, `h` old and held, `c` old and closed, `f` in flight, `r` ready, `x` failed; named by position, from the back.
    fn tenants(states: &str) -> Vec<Tenant> {
        let name = |at: usize| char::from(b'z' - u8::try_from(at).unwrap()).to_string();
        let tenant = |(at, state): (usize, char)| Tenant {
            name: name(at),
            on_latest: !"ohc".contains(state),
            moved_and_ready: state == 'r',
            moved_and_failed: state == 'x',
            held: state == 'h',
            closed: state == 'c',
        };
        states.chars().enumerate().map(tenant).collect()
    }

    #[test]
    fn rules() {
        for (states, max_in_flight, stop_after_failures, wanted) in [
            ("ooo", 2, 1, vec!["x", "y"]),
            ("ofo", 2, 1, vec!["x"]),
            ("off", 2, 1, vec![]),
            ("orr", 1, 1, vec!["z"]),
            ("oox", 2, 1, vec![]),
            ("oox", 2, 2, vec!["y", "z"]),
            ("ooxx", 5, 2, vec![]),
            ("oo", 0, 0, vec!["y"]),
            ("hoh", 3, 1, vec!["y"]),
            ("hh", 3, 1, vec![]),
            // Who comes later in the order goes while no window of those before him is open.
            ("oocc", 1, 1, vec!["y"]),
            ("cc", 3, 1, vec![]),
            ("", 3, 3, vec![]),
        ] {
            let answer = pace(&tenants(states), Limits { max_in_flight, stop_after_failures });
            assert_eq!(answer.may_move, wanted, "{states}");
        }
    }

    #[test]
    fn the_summary_says_why_it_stopped() {
        let text = pace(&tenants("orfx"), Limits { max_in_flight: 3, stop_after_failures: 1 }).to_string();
        assert_eq!(
            text,
            "1 of 4 tenants run the latest revision, 1 on the way; stopped because 1 failed: correct the definition, \
             or the tenants that failed, and it goes on"
        );
    }

    proptest! {
        #[test]
        fn bounds_hold_and_the_move_ends(states in "[ohcfrx]{0,12}", max in 0_usize..5, stop in 0_usize..5) {
            let limits = Limits { max_in_flight: max, stop_after_failures: stop };
            let mut tenants = tenants(&states);
            for _ in 0..=tenants.len() {
                let answer = pace(&tenants, limits);
                prop_assert!(answer.may_move.len() + answer.in_flight <= max.max(1).max(answer.in_flight));
                prop_assert!(!answer.stopped || answer.may_move.is_empty());
                for tenant in &mut tenants {
                    if answer.may_move.contains(&tenant.name) || (tenant.on_latest && !tenant.moved_and_failed) {
                        (tenant.on_latest, tenant.moved_and_ready) = (true, true);
                    }
                }
            }
            let answer = pace(&tenants, limits);
            prop_assert!(answer.stopped || answer.ready + answer.failed + answer.held + answer.closed == answer.total);
        }
    }
}
