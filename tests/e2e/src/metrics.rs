//! What a running controller counts, read from its administration address. Needs the network.

use crate::http;
use anyhow::{Context, Result};
use std::net::SocketAddr;

/// The sum of a counter over all its labels, such as `tenantry_reconciles_total`.
///
/// # Errors
/// When the controller does not answer or does not count this.
pub fn total(admin: SocketAddr, name: &str) -> Result<f64> {
    let answer = http::get(admin, "/metrics")?.body;
    sum(&answer, name).with_context(|| format!("the controller has no counter {name}"))
}

fn sum(text: &str, name: &str) -> Option<f64> {
    let values = text.lines().filter_map(|line| {
        let (series, value) = line.rsplit_once(' ')?;
        let is_of = series == name || series.strip_prefix(name).is_some_and(|rest| rest.starts_with('{'));
        is_of.then(|| value.parse::<f64>().ok())?
    });
    values.reduce(|one, other| one + other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_summed_and_longer_names_are_others() {
        let text =
            "# HELP a_total\na_total{outcome=\"x\"} 2\na_total{outcome=\"y\"} 3\na_total_more 7\nb 1\n";
        assert_eq!(sum(text, "a_total"), Some(5.0));
        assert_eq!(sum(text, "b"), Some(1.0));
        assert_eq!(sum(text, "c"), None);
    }
}
