//! The nearest known name for a misspelt one; pure.

/// The candidate nearest to `wanted` by edit distance, if about a third of the letters differ at most.
pub(crate) fn nearest<'a>(wanted: &str, candidates: impl Iterator<Item = &'a str>) -> Option<String> {
    let limit = wanted.chars().count().div_ceil(3);
    candidates
        .map(|candidate| (distance(wanted, candidate), candidate))
        .filter(|(distance, _)| *distance <= limit)
        .min()
        .map(|(_, candidate)| candidate.to_owned())
}

/// Levenshtein distance without regard to case.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().flat_map(char::to_lowercase).collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().flat_map(char::to_lowercase).enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        for (cell, y) in row.iter_mut().skip(1).zip(&b) {
            let best = (diagonal + usize::from(x != *y)).min(left + 1).min(*cell + 1);
            diagonal = *cell;
            *cell = best;
            left = best;
        }
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_names_are_suggested_and_far_ones_are_not() {
        let known = ["network", "networkPolicy", "organization", "users"];
        for (wanted, expected) in [
            ("netwrk", Some("network")),
            ("organisation", Some("organization")),
            ("user", Some("users")),
            ("Users", Some("users")),
            ("parameters", None),
            ("x", None),
        ] {
            assert_eq!(nearest(wanted, known.into_iter()).as_deref(), expected, "{wanted}");
        }
        assert_eq!(distance("kitten", "sitting"), 3);
    }
}
