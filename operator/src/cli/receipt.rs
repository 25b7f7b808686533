//! `tenantry receipt`: checks the signature of a receipt and shows what it says. Needs neither client nor database.

use super::Outcome;
use crate::controller::{RECEIPT_KEY, RECEIPT_PUBLIC_KEY};
use crate::receipt::verified;
use anyhow::Context;
use clap::Args;
use std::fs;
use std::path::{Path, PathBuf};

/// Arguments of `tenantry receipt`.
#[derive(Args, Debug)]
#[command(after_help = format!(
    "The key is in Secret {RECEIPT_KEY} of the controller's namespace: kubectl get secret {RECEIPT_KEY} \
     -o go-template='{{{{index .data \"{RECEIPT_PUBLIC_KEY}\" | base64decode}}}}'"
))]
pub(crate) struct Arguments {
    /// The receipt, as it was handed over.
    file: PathBuf,
    /// The provider's public key, in the form PEM.
    #[arg(long)]
    key: PathBuf,
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<Outcome> {
    match verified(&read(&arguments.file)?, &read(&arguments.key)?) {
        Ok(says) => {
            println!("{}", serde_json::to_string_pretty(&says)?);
            Ok(Outcome::Good)
        }
        Err(error) => {
            eprintln!("{}: {error}", arguments.file.display());
            Ok(Outcome::Bad)
        }
    }
}

fn read(path: &Path) -> anyhow::Result<String> {
    fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}
