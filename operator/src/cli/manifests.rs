//! Under construction.
#[derive(clap::Args, Debug)]
pub(crate) struct Arguments {}
pub(crate) fn run(_: &Arguments) -> anyhow::Result<super::Outcome> { anyhow::bail!("") }
