//! Which tenants are complete, from what the watches saw. Pure.

use crate::canonical::ObjectRef;
use crate::measure::watch::{Sighting, What};
use std::collections::HashMap;
use tokio::time::Instant;

/// Counts the objects of tenants as they appear.
#[derive(Debug)]
pub struct Board {
    /// Place of each object in the mask, by the contender's names.
    places: HashMap<ObjectRef, u32>,
    progress: HashMap<String, Progress>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Progress {
    mask: u64,
    complete: Option<Instant>,
}

// === impl Board ===

impl Board {
    /// Watches for `names` in these namespaces. A namespace itself has the placeholder for its name, as in
    /// [`ObjectRef::of`].
    #[must_use]
    pub fn new(
        names: impl IntoIterator<Item = ObjectRef>,
        namespaces: impl IntoIterator<Item = String>,
    ) -> Self {
        let places = names.into_iter().zip(0..).collect();
        let progress = namespaces.into_iter().map(|namespace| (namespace, Progress::default())).collect();
        Self { places, progress }
    }

    /// Takes an event in. Gives the namespace when its last object has appeared by it.
    pub fn see(&mut self, sighting: &Sighting) -> Option<&str> {
        if sighting.what != What::Added {
            return None;
        }
        let is_namespace = &*sighting.kind == "Namespace";
        let name = if is_namespace { crate::canonical::PLACEHOLDER } else { &sighting.name };
        let object = ObjectRef { kind: sighting.kind.to_string(), name: name.to_owned() };
        let place = *self.places.get(&object)?;
        let all = u64::MAX.checked_shr(64 - self.places.len() as u32).unwrap_or_default();
        let progress = self.progress.get_mut(&sighting.namespace)?;
        progress.mask |= 1 << place;
        if progress.mask != all || progress.complete.is_some() {
            return None;
        }
        progress.complete = Some(sighting.at);
        self.progress.get_key_value(&sighting.namespace).map(|(namespace, _)| namespace.as_str())
    }

    /// When the last object of a namespace appeared.
    #[must_use]
    pub fn complete_since(&self, namespace: &str) -> Option<Instant> {
        self.progress.get(namespace)?.complete
    }

    /// How many namespaces are not complete.
    #[must_use]
    pub fn incomplete(&self) -> usize {
        self.progress.values().filter(|progress| progress.complete.is_none()).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn sighting(at: Instant, what: What, kind: &str, namespace: &str, name: &str) -> Sighting {
        Sighting {
            at,
            what,
            kind: kind.into(),
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            deleting: false,
            body: serde_json::Map::new(),
        }
    }

    #[test]
    fn a_tenant_is_complete_with_its_last_object_and_only_once() {
        let names = ["Namespace/TENANT", "ConfigMap/a", "ConfigMap/b"].map(|name| name.parse().unwrap());
        let mut board = Board::new(names, ["one".to_owned(), "two".to_owned()]);
        let now = Instant::now();
        let at = |seconds| now + Duration::from_secs(seconds);
        let events = [
            (sighting(at(1), What::Added, "Namespace", "one", "one"), None),
            (sighting(at(2), What::Added, "ConfigMap", "one", "a"), None),
            (sighting(at(3), What::Added, "ConfigMap", "one", "a"), None),
            (sighting(at(4), What::Modified, "ConfigMap", "one", "b"), None),
            (sighting(at(5), What::Added, "ConfigMap", "one", "kube-root-ca.crt"), None),
            (sighting(at(6), What::Added, "ConfigMap", "elsewhere", "b"), None),
            (sighting(at(7), What::Added, "ConfigMap", "one", "b"), Some("one")),
            (sighting(at(8), What::Added, "ConfigMap", "one", "b"), None),
        ];
        for (event, complete) in &events {
            assert_eq!(board.see(event), *complete, "{event:?}");
        }
        assert_eq!(board.complete_since("one"), Some(at(7)));
        assert_eq!((board.complete_since("two"), board.incomplete()), (None, 1));
    }
}
