//! What an application counts; pure.

use crate::Problem;
use std::collections::BTreeSet;
use tenantry_crds::HostedApplicationSpec;

/// What is wrong with the meters of an application beyond what its schema can say.
#[must_use]
pub fn check(spec: &HostedApplicationSpec) -> Vec<Problem> {
    let mut names = BTreeSet::new();
    let twice = spec.meters.iter().enumerate().filter(|(_, meter)| !names.insert(meter.name.as_str()));
    let problem = |at: usize| {
        let message = "is listed twice; keep one of the two, or give the other a name of its own";
        Problem::new(format!("spec.meters[{at}].name"), "ApplicationInvalid", message)
    };
    twice.map(|(at, _)| problem(at)).collect()
}

/// Whether an application declares a meter.
#[must_use]
pub fn declares(spec: &HostedApplicationSpec, meter: &str) -> bool {
    spec.meters.iter().any(|own| own.name == meter)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures;
    use serde_json::json;

    #[test]
    fn each_meter_has_a_name_of_its_own() {
        let meters = |names: &[&str]| {
            let meters =
                names.iter().map(|name| json!({"name": name, "source": "Events", "unit": "Request"}));
            let meters = serde_json::from_value(json!(meters.collect::<Vec<_>>())).unwrap();
            HostedApplicationSpec { meters, ..fixtures::application() }
        };
        assert_eq!(check(&meters(&["calls", "mails"])), []);
        let found = check(&meters(&["calls", "mails", "calls"]));
        assert_eq!(found[0].field, "spec.meters[2].name");
        assert!(found.len() == 1 && found[0].message.contains("a name of its own"), "{found:?}");
        assert!(declares(&meters(&["calls"]), "calls") && !declares(&meters(&["calls"]), "mails"));
    }
}
