//! Where the store is, and what the tenant's settings say. Needs the file system and the environment.

use crate::client::Store;
use anyhow::{Context, Result, bail};
use clap::Args;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

/// Variable with the password, where it is in no file.
const PASSWORD: &str = "DATABASE_PASSWORD";

/// How a role finds the store. No name is looked up.
#[derive(Args, Clone, Debug)]
pub(crate) struct StoreArgs {
    /// Address of the store; without it, the one that Kubernetes gives in DATABASE_SERVICE_HOST and _PORT
    #[arg(long, env = "ERP_STORE", value_name = "IP:PORT")]
    store: Option<SocketAddr>,
    /// File with the store's password; without it, it is read from DATABASE_PASSWORD
    #[arg(long, env = "ERP_PASSWORD_FILE", value_name = "FILE")]
    password_file: Option<PathBuf>,
}

/// What the provider rendered for the tenant.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Settings {
    pub(crate) company: Company,
    pub(crate) plan: String,
    pub(crate) version: String,
    pub(crate) edition: String,
    pub(crate) fiscal_year_start: u8,
    pub(crate) hosts: Vec<String>,
    pub(crate) seats: u64,
}

/// Whose application it is.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Company {
    pub(crate) name: String,
    pub(crate) country: String,
}

// === impl StoreArgs ===

impl StoreArgs {
    /// A client of the store.
    ///
    /// # Errors
    /// When nobody said where it is, or its password is missing.
    pub(crate) fn client(&self) -> Result<Store> {
        let environment = |name: &str| std::env::var(name).ok();
        let address = match self.store {
            Some(address) => address,
            None => service_address("DATABASE", "--store", environment)?,
        };
        Store::new(address, &password(self.password_file.as_deref(), environment)?)
    }
}

/// The address of a Service, from the variables that Kubernetes sets in every pod that starts after it.
///
/// # Errors
/// When they are missing or no address; the message names the flag that says it instead.
pub(crate) fn service_address(
    service: &str,
    flag: &str,
    environment: impl Fn(&str) -> Option<String>,
) -> Result<SocketAddr> {
    let (host, port) = (format!("{service}_SERVICE_HOST"), format!("{service}_SERVICE_PORT"));
    let (Some(ip), Some(number)) = (environment(&host), environment(&port)) else {
        bail!(
            "an address is missing: {host} and {port} are not set, because the pod is older than its Service; start it \
             again, or write the address with {flag} IP:PORT"
        );
    };
    let ip: IpAddr =
        ip.parse().with_context(|| format!("{host}={ip} is no IP address; write it with {flag} IP:PORT"))?;
    let number = number
        .parse()
        .with_context(|| format!("{port}={number} is no port; write it with {flag} IP:PORT"))?;
    Ok(SocketAddr::new(ip, number))
}

/// The store's password, from a file or the environment. White space around it is not part of it.
///
/// # Errors
/// When there is none.
pub(crate) fn password(file: Option<&Path>, environment: impl Fn(&str) -> Option<String>) -> Result<String> {
    let found = match file {
        Some(file) => fs::read_to_string(file).with_context(|| {
            format!(
                "the password file {} cannot be read; mount the Secret, or name another with --password-file",
                file.display()
            )
        })?,
        None => environment(PASSWORD).unwrap_or_default(),
    };
    let found = found.trim();
    if found.is_empty() {
        bail!("the store has no password: set {PASSWORD}, or put it into the file of --password-file");
    }
    Ok(found.to_owned())
}

/// Reads a file of JSON.
///
/// # Errors
/// When it cannot be read, or is not what it should be; the message names the file, the place and the reason.
pub(crate) fn json_file<T: DeserializeOwned>(file: &Path, flag: &str) -> Result<T> {
    let text = fs::read_to_string(file)
        .with_context(|| format!("{} cannot be read; name the right file with {flag}", file.display()))?;
    serde_json::from_str(&text)
        .with_context(|| format!("{} is not as the application needs it", file.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn the_store_is_found_without_a_name_server() {
        let (host, port) = ("DATABASE_SERVICE_HOST", "DATABASE_SERVICE_PORT");
        let cases = [
            (vec![(host, "10.96.0.7"), (port, "7400")], Ok("10.96.0.7:7400")),
            (vec![(host, "fd00::7"), (port, "7400")], Ok("[fd00::7]:7400")),
            (vec![], Err("the pod is older than its Service")),
            (vec![(host, "10.96.0.7")], Err("DATABASE_SERVICE_PORT are not set")),
            (vec![(host, "database"), (port, "1")], Err("is no IP address; write it with --store")),
            (vec![(host, "::1"), (port, "tcp://::1:1")], Err("is no port; write it with --store")),
        ];
        for (variables, wanted) in cases {
            let set: BTreeMap<&str, &str> = variables.into_iter().collect();
            let found =
                service_address("DATABASE", "--store", |name| set.get(name).map(|value| (*value).to_owned()));
            match (found, wanted) {
                (Ok(found), Ok(wanted)) => assert_eq!(found.to_string(), wanted),
                (Err(error), Err(part)) => assert!(format!("{error:#}").contains(part), "{error:#}"),
                (found, wanted) => panic!("{found:?} instead of {wanted:?}"),
            }
        }
    }

    #[test]
    fn a_password_is_needed() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("password");
        assert!(password(Some(&file), |_| None).unwrap_err().to_string().contains("mount the Secret"));
        fs::write(&file, "\n").unwrap();
        assert!(password(Some(&file), |_| None).is_err());
        fs::write(&file, "s3cret\n").unwrap();
        assert_eq!(password(Some(&file), |_| None).unwrap(), "s3cret");
        assert_eq!(password(None, |_| Some("other".to_owned())).unwrap(), "other");
        assert!(password(None, |_| None).unwrap_err().to_string().contains("DATABASE_PASSWORD"));
    }
}
