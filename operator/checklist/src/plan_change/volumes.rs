//! Whether the volumes that a tenant has can stay under another plan; pure.
//!
//! A claim keeps its class and its modes for ever, and never becomes smaller (Kubernetes, `PersistentVolumeClaimSpec`), and its data is
//! the customer's. A plan that asks for another one would be refused by the API server in the midst of the change.

use super::FIELD;
use crate::Problem;
use serde_json::Value;
use tenantry_crds::quantity::Quantity;

/// The other plan asks for volumes that the tenant's cannot become.
pub const CANNOT_CHANGE: &str = "VolumeCannotChange";

/// What of a claim is decided when it is made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Volume {
    /// Name of the claim.
    pub name: String,
    /// Its storage class; none for the cluster's usual one.
    pub class: Option<String>,
    /// How it may be mounted.
    pub modes: Vec<String>,
    /// How much it asks for.
    pub size: Option<Quantity>,
}

// === impl Volume ===

impl Volume {
    /// Reads the body of a claim.
    #[must_use]
    pub fn of(name: &str, claim: &Value) -> Self {
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let modes = claim.pointer("/spec/accessModes").and_then(Value::as_array);
        let size = claim.pointer("/spec/resources/requests/storage").and_then(Value::as_str);
        Self {
            name: name.to_owned(),
            class: claim.pointer("/spec/storageClassName").and_then(text),
            modes: modes.into_iter().flatten().filter_map(text).collect(),
            size: size.and_then(|size| size.parse().ok()),
        }
    }

    /// Why it cannot become another one of its name.
    fn differs(&self, other: &Self) -> Option<String> {
        let class =
            |volume: &Self| volume.class.clone().unwrap_or_else(|| "the cluster's usual one".to_owned());
        if self.class != other.class {
            return Some(format!("has the class {} and would need {}", class(self), class(other)));
        }
        if self.modes != other.modes {
            let [has, needs] = [self, other].map(|volume| volume.modes.join(" and "));
            return Some(format!("is {has} and would need to be {needs}"));
        }
        match (self.size, other.size) {
            (Some(has), Some(asks)) if asks < has => {
                Some(format!("has {has} and would have to shrink to {asks}"))
            }
            _ => None,
        }
    }
}

/// What a tenant has that cannot become what `plan` asks for. What is not asked for any more stays as it is.
#[must_use]
pub fn unchangeable(plan: &str, has: &[Volume], wanted: &[Volume]) -> Vec<Problem> {
    let differs = |volume: &Volume| {
        let wanted = wanted.iter().find(|other| other.name == volume.name)?;
        let (name, why) = (&volume.name, volume.differs(wanted)?);
        let message = format!(
            "the volume {name} {why} under plan {plan}, which a volume never does; ask the provider for a plan, or for a version or \
             parameters of the application, that leave it as it is"
        );
        Some(Problem::new(FIELD, CANNOT_CHANGE, message))
    };
    has.iter().filter_map(differs).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn volume(name: &str, class: &str, mode: &str, size: &str) -> Volume {
        let spec = json!({"storageClassName": class, "accessModes": [mode], "resources": {"requests": {"storage": size}}});
        Volume::of(name, &json!({"kind": "PersistentVolumeClaim", "spec": spec}))
    }

    #[test]
    fn a_volume_may_grow_and_nothing_else() {
        let has = [volume("data", "standard", "ReadWriteOnce", "20Gi")];
        let once = "ReadWriteOnce";
        let cases = [
            (volume("data", "standard", once, "20Gi"), None),
            (volume("data", "standard", once, "40Gi"), None),
            (volume("data", "standard", once, "20480Mi"), None),
            (volume("data", "standard", once, "10Gi"), Some("has 20Gi and would have to shrink to 10Gi")),
            (volume("data", "premium", once, "40Gi"), Some("has the class standard and would need premium")),
            (volume("data", "standard", "ReadWriteMany", "20Gi"), Some("would need to be ReadWriteMany")),
            (volume("other", "premium", once, "1Gi"), None),
        ];
        for (wanted, said) in cases {
            let problems = unchangeable("platinum", &has, std::slice::from_ref(&wanted));
            let message = problems.first().map(|problem| problem.message.as_str());
            assert_eq!(message.is_some(), said.is_some(), "{wanted:?}: {message:?}");
            let is_said = message.zip(said).is_none_or(|(message, said)| message.contains(said));
            assert!(is_said, "{message:?}");
            assert!(problems.iter().all(|problem| problem.reason == CANNOT_CHANGE && problem.field == FIELD));
        }
        assert_eq!(unchangeable("platinum", &has, &[]), []);
        let usual = Volume { class: None, ..has[0].clone() };
        let message = unchangeable("x", &[usual], &has).remove(0).message;
        assert!(
            message.contains("has the class the cluster's usual one and would need standard"),
            "{message}"
        );
    }
}
