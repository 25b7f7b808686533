//! The order in which checklist items depend on each other; pure, needs neither client nor clock.

use std::collections::{BTreeMap, BTreeSet};
use tenantry_crds::blueprint::Item;
use thiserror::Error;

/// One item and the items it waits for.
#[derive(Clone, Copy, Debug)]
pub struct Node<'a> {
    /// Name of the item.
    pub name: &'a str,
    /// Names of the items it waits for.
    pub depends_on: &'a [String],
}

/// Why items have no order.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum GraphError {
    /// Two items have one name.
    #[error("item {name} is there twice; rename one of them")]
    Duplicate {
        /// The name.
        name: String,
    },
    /// An item waits for one that does not exist.
    #[error(
        "item {item} depends on {dependency}, which does not exist; correct the name or remove it from dependsOn"
    )]
    Unknown {
        /// The item that waits.
        item: String,
        /// The name that nothing has.
        dependency: String,
    },
    /// Items wait for each other.
    #[error("items depend on each other: {}; remove one of these from dependsOn", path.join(" -> "))]
    Cycle {
        /// The way around, the first item again at its end.
        path: Vec<String>,
    },
}

/// Positions of the items in an order where each comes after everything it waits for. Items that do not wait for each
/// other keep the order they were written in.
///
/// # Errors
/// Every duplicate name and unknown dependency, or else one cycle.
pub fn order(nodes: &[Node<'_>]) -> Result<Vec<usize>, Vec<GraphError>> {
    let positions = positions(nodes)?;
    let mut done = BTreeSet::new();
    let mut sorted = Vec::with_capacity(nodes.len());
    while sorted.len() < nodes.len() {
        let ready = nodes.iter().enumerate().find(|(at, node)| {
            !done.contains(at)
                && node
                    .depends_on
                    .iter()
                    .all(|name| positions.get(name.as_str()).is_some_and(|p| done.contains(p)))
        });
        let Some((at, _)) = ready else { return Err(vec![cycle(nodes, &positions, &done)]) };
        done.insert(at);
        sorted.push(at);
    }
    Ok(sorted)
}

/// The items of a blueprint as nodes.
#[must_use]
pub fn nodes(items: &[Item]) -> Vec<Node<'_>> {
    items.iter().map(|item| Node { name: &item.name, depends_on: &item.depends_on }).collect()
}

/// Everything that waits, directly or not, for the item `name`, itself included.
#[must_use]
pub(crate) fn dependents<'a>(nodes: &[Node<'a>], name: &'a str) -> BTreeSet<&'a str> {
    let mut found = BTreeSet::from([name]);
    loop {
        let before = found.len();
        for node in nodes {
            if node.depends_on.iter().any(|dependency| found.contains(dependency.as_str())) {
                found.insert(node.name);
            }
        }
        if found.len() == before {
            return found;
        }
    }
}

fn positions<'a>(nodes: &[Node<'a>]) -> Result<BTreeMap<&'a str, usize>, Vec<GraphError>> {
    let mut positions = BTreeMap::new();
    let mut errors = Vec::new();
    for (at, node) in nodes.iter().enumerate() {
        if positions.insert(node.name, at).is_some() {
            errors.push(GraphError::Duplicate { name: node.name.to_owned() });
        }
    }
    for node in nodes {
        for dependency in node.depends_on.iter().filter(|name| !positions.contains_key(name.as_str())) {
            errors.push(GraphError::Unknown { item: node.name.to_owned(), dependency: dependency.clone() });
        }
    }
    if errors.is_empty() { Ok(positions) } else { Err(errors) }
}

/// Follows one open dependency after the other until an item comes up again.
fn cycle(nodes: &[Node<'_>], positions: &BTreeMap<&str, usize>, done: &BTreeSet<usize>) -> GraphError {
    let mut path: Vec<String> = Vec::new();
    let mut next = (0..nodes.len()).find(|at| !done.contains(at));
    while let Some(node) = next.and_then(|at| nodes.get(at)) {
        let seen = path.iter().position(|name| name == node.name);
        path.push(node.name.to_owned());
        if let Some(start) = seen {
            path.drain(..start);
            break;
        }
        next = node
            .depends_on
            .iter()
            .filter_map(|name| positions.get(name.as_str()).copied())
            .find(|at| !done.contains(at));
    }
    GraphError::Cycle { path }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    type Given = Vec<(String, Vec<String>)>;

    fn given(items: &[(&str, &[&str])]) -> Given {
        items.iter().map(|(n, d)| ((*n).to_owned(), d.iter().map(|d| (*d).to_owned()).collect())).collect()
    }

    fn as_nodes(items: &Given) -> Vec<Node<'_>> {
        items.iter().map(|(name, depends_on)| Node { name, depends_on }).collect()
    }

    #[test]
    fn written_order_is_kept_where_nothing_says_otherwise() {
        let items = given(&[("c", &["a"]), ("b", &[]), ("a", &[])]);
        assert_eq!(order(&as_nodes(&items)), Ok(vec![1, 2, 0]));
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (items, wanted) in [
            (
                given(&[("a", &["b"]), ("b", &["c"]), ("c", &["b"])]),
                "items depend on each other: b -> c -> b;",
            ),
            (given(&[("a", &["a"])]), "a -> a"),
            (given(&[("a", &["x"])]), "item a depends on x, which does not exist"),
            (given(&[("a", &[]), ("a", &[])]), "item a is there twice"),
        ] {
            let errors = order(&as_nodes(&items)).unwrap_err();
            assert_eq!(errors.len(), 1);
            assert!(errors[0].to_string().contains(wanted), "{}", errors[0]);
        }
    }

    #[test]
    fn dependents_are_found_over_several_steps() {
        let items = given(&[("a", &[]), ("b", &["a"]), ("c", &["b"]), ("d", &[])]);
        assert_eq!(dependents(&as_nodes(&items), "a"), BTreeSet::from(["a", "b", "c"]));
    }

    proptest! {
        #[test]
        fn each_item_comes_after_what_it_waits_for(edges in proptest::collection::vec((0_usize..12, 0_usize..12), 0..40)) {
            let items: Given = (0..12)
                .map(|at| {
                    let waits = edges.iter().filter(|(from, _)| *from == at).map(|(_, to)| to.to_string()).collect();
                    (at.to_string(), waits)
                })
                .collect();
            match order(&as_nodes(&items)) {
                Ok(sorted) => {
                    prop_assert_eq!(sorted.len(), items.len());
                    let place: BTreeMap<usize, usize> = sorted.iter().enumerate().map(|(p, at)| (*at, p)).collect();
                    for (from, to) in &edges {
                        prop_assert!(place[to] < place[from]);
                    }
                }
                Err(errors) => {
                    let [GraphError::Cycle { path }] = errors.as_slice() else { panic!("{errors:?}") };
                    prop_assert_eq!(path.first(), path.last());
                    for pair in path.windows(2) {
                        let edge = (pair[0].parse::<usize>().unwrap(), pair[1].parse::<usize>().unwrap());
                        prop_assert!(edges.contains(&edge));
                    }
                }
            }
        }
    }
}
