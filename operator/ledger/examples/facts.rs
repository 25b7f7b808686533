//! Computes the facts of a file and says how many came out: `cargo run -q -p tenantry-ledger --example facts -- FILE`.
//!
//! Each fact that did not come out has a line with both values. The last line is `N of M facts`.

#[path = "../tests/facts/mod.rs"]
mod facts;

use anyhow::{Context as _, Result};

fn main() -> Result<()> {
    let path = std::env::args().nth(1).context("say which file: facts FILE")?;
    let text = std::fs::read_to_string(&path).with_context(|| format!("{path} cannot be read"))?;
    let tally = facts::run(&text)?;
    for miss in &tally.misses {
        println!("{miss}");
    }
    println!("{} of {} facts", tally.met, tally.all);
    Ok(())
}
