//! When a change of plan takes effect. Pure.

use jiff::civil::DateTime;
use serde::{Deserialize, Serialize};

/// When a change takes effect.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum When {
    /// Now.
    Immediate,
    /// When what is paid for is used up.
    EndOfTerm,
    /// Never: it is refused.
    Refused,
}

/// Which way a change goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Direction {
    /// To more.
    Upgrade,
    /// To less.
    Downgrade,
}

/// A rule; what is not written matches everything.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Rule {
    /// The plan left.
    pub from: Option<String>,
    /// The plan taken.
    pub to: Option<String>,
    /// Whether the subscription is in a trial.
    pub in_trial: Option<bool>,
    /// What then.
    pub when: Option<When>,
}

/// When a change takes effect: the first rule that matches, otherwise at once for upgrades and in a trial, and at the end of
/// the term for downgrades.
#[must_use]
pub fn when(rules: &[Rule], from: &str, to: &str, in_trial: bool, direction: Direction) -> When {
    let fits = |wanted: &Option<String>, plan: &str| wanted.as_deref().is_none_or(|wanted| wanted == plan);
    let rule = rules.iter().find(|rule| {
        fits(&rule.from, from) && fits(&rule.to, to) && rule.in_trial.is_none_or(|trial| trial == in_trial)
    });
    match (rule.and_then(|rule| rule.when), direction) {
        (Some(when), _) => when,
        (None, Direction::Downgrade) if !in_trial => When::EndOfTerm,
        (None, _) => When::Immediate,
    }
}

/// The moment of a change that was asked for at `asked`. What is charged in arrears has nothing charged ahead, so its term has
/// always just ended.
#[must_use]
pub fn effective(when: When, asked: DateTime, charged_through: Option<DateTime>) -> Option<DateTime> {
    match when {
        When::Immediate => Some(asked),
        When::EndOfTerm => Some(charged_through.map_or(asked, |through| through.max(asked))),
        When::Refused => None,
    }
}
