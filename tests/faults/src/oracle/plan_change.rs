//! O16: while a tenant goes from one plan to another, what bounds it has room for everything that stands.

use serde_json::Value;

use super::Finding;
use crate::history::{Key, Record, Sort, State, within};

/// Where quotas are.
const QUOTAS: &str = "resourcequotas";
/// Object of the tenant that says in `data.pods` how many pods its plan gives, and so which plan it is of.
const SETTINGS: &str = "settings";

/// At every revision the quota allows as many pods as the plan of what stands.
#[must_use]
pub fn room_for_what_stands(record: &Record) -> Vec<Finding> {
    let namespace = record.namespace();
    let settings = Key::new("configmaps", &namespace, SETTINGS);
    let mut findings = Vec::new();
    record.replay(|change, state: &State| {
        let is_about = change.key == settings || change.key.resource == QUOTAS;
        if !is_about || change.key.namespace != namespace || change.sort == Sort::Deleted {
            return;
        }
        let (Some(stands), Some(allowed)) = (
            state.get(&settings).and_then(|found| number(found.pointer("/data/pods")?)),
            pods(state, &namespace),
        ) else {
            return;
        };
        if allowed < stands {
            let what = format!("the quota allows {allowed} pods while objects of a plan of {stands} stand");
            findings.push(Finding::new("O16", what));
        }
    });
    findings.dedup();
    findings
}

/// Pods that the quotas of a namespace allow.
fn pods(state: &State, namespace: &str) -> Option<i64> {
    within(state, QUOTAS, namespace).find_map(|(_, quota)| number(quota.pointer("/spec/hard/pods")?))
}

fn number(value: &Value) -> Option<i64> {
    value.as_i64().or_else(|| value.as_str()?.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oracle::testing::Story;
    use serde_json::json;

    #[test]
    fn a_quota_that_is_raised_too_late_or_lowered_too_early_is_found() {
        let settings = |pods: &str| {
            (
                Key::new("configmaps", "tenant-acme", SETTINGS),
                json!({"metadata": {"uid": "c"}, "data": {"pods": pods}}),
            )
        };
        let quota = |pods: &str| {
            let object = json!({"metadata": {"uid": "q"}, "spec": {"hard": {"pods": pods}}});
            (Key::new(QUOTAS, "tenant-acme", "tenantry-quota"), object)
        };
        let found = |steps: &[(Key, Value)]| {
            let story = steps
                .iter()
                .cloned()
                .fold(Story::of("acme"), |story, (key, object)| story.with(Sort::Changed, key, object));
            room_for_what_stands(&story.record()).len()
        };
        assert_eq!(found(&[quota("10"), settings("10"), quota("20"), settings("20")]), 0, "up");
        assert_eq!(found(&[quota("10"), settings("10"), settings("20"), quota("20")]), 1, "raised too late");
        assert_eq!(found(&[quota("20"), settings("20"), settings("10"), quota("10")]), 0, "down");
        assert_eq!(
            found(&[quota("20"), settings("20"), quota("10"), settings("10")]),
            1,
            "lowered too early"
        );
    }
}
