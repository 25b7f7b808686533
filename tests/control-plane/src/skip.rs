//! Tests that cannot run here. Needs the environment and the file system.

use std::fs::OpenOptions;
use std::io::Write;

/// Counts `test` as skipped, by name and with the reason: in the file that `TENANTRY_SKIP_FILE` names, from which the test
/// run's last lines are made.
///
/// # Panics
/// In CI (`CI=true`), where everything must run, and when the file cannot be written.
#[allow(clippy::panic, clippy::expect_used, reason = "it ends a test")]
pub fn skipped(test: &str, reason: &str) {
    assert!(std::env::var("CI").as_deref() != Ok("true"), "{test}: {reason}");
    println!("skipped: {test}: {reason}");
    if let Some(file) = std::env::var_os("TENANTRY_SKIP_FILE") {
        let file = OpenOptions::new().append(true).create(true).open(file);
        writeln!(file.expect("the file of skipped tests"), "{test}: {reason}").expect("a line");
    }
}
