//! Writing kubeconfig files and making clients from them. Needs the file system; opens no connection by itself.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use kube::Client;
use kube::config::{Config, KubeConfigOptions, Kubeconfig};
use serde::Serialize;
use serde_json::{Value, json};

use crate::pki::Identity;

/// Where a cluster is and which authority signs its certificate (PEM).
#[derive(Clone, Debug)]
pub(crate) struct Server {
    pub(crate) url: String,
    pub(crate) authority: String,
}

/// Writes a kubeconfig with one context. Every value lies inside the file, so that it can be copied.
pub(crate) fn write(path: &Path, server: &Server, user: &str, identity: &Identity) -> Result<()> {
    let document = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{
            "name": "tenantry",
            "cluster": {"server": server.url, "certificate-authority-data": STANDARD.encode(&server.authority)},
        }],
        "users": [{
            "name": user,
            "user": {
                "client-certificate-data": STANDARD.encode(&identity.certificate),
                "client-key-data": STANDARD.encode(&identity.key),
            },
        }],
        "contexts": [{"name": "tenantry", "context": {"cluster": "tenantry", "user": user}}],
        "current-context": "tenantry",
    });
    write_document(path, &document)
}

/// Writes a copy of `original` whose bearer acts as somebody else. The original identity needs the right to impersonate.
pub(crate) fn write_impersonating(path: &Path, original: &Path, user: &str, groups: &[&str]) -> Result<()> {
    let mut config = read(original)?;
    for named in &mut config.auth_infos {
        if let Some(info) = &mut named.auth_info {
            info.impersonate = Some(user.to_owned());
            info.impersonate_groups = Some(groups.iter().map(|group| (*group).to_owned()).collect());
        }
    }
    write_document(path, &config)
}

/// Writes a copy of `original` that carries `token` instead of the original proof.
pub(crate) fn write_with_token(path: &Path, original: &Path, user: &str, token: &str) -> Result<()> {
    let config = read(original)?;
    let mut document = serde_json::to_value(&config)?;
    let users: Vec<Value> =
        config.auth_infos.iter().map(|named| json!({"name": named.name, "user": {"token": token}})).collect();
    let fields =
        document.as_object_mut().with_context(|| format!("the kubeconfig of {user} is not an object"))?;
    fields.insert("users".to_owned(), Value::Array(users));
    write_document(path, &document)
}

/// A client that speaks as the kubeconfig's current context.
///
/// # Errors
/// When the file cannot be read or does not describe a usable context.
pub async fn client_from(kubeconfig: &Path) -> Result<Client> {
    let config = config_from(kubeconfig).await?;
    Client::try_from(config).with_context(|| format!("cannot make a client from {}", kubeconfig.display()))
}

/// What the kubeconfig's current context says. kube's own retry is off: a test that counts requests must see each one it
/// makes. No proxy either way: the servers are on loopback.
///
/// # Errors
/// When the file cannot be read or does not describe a usable context.
pub async fn config_from(kubeconfig: &Path) -> Result<Config> {
    install_crypto_provider();
    let mut config = Config::from_custom_kubeconfig(read(kubeconfig)?, &KubeConfigOptions::default())
        .await
        .with_context(|| format!("{} names no usable cluster", kubeconfig.display()))?;
    config.default_retry = false;
    config.proxy_url = None;
    Ok(config)
}

/// The address of the API server a kubeconfig leads to.
pub(crate) fn server_url(kubeconfig: &Path) -> Result<String> {
    let config = read(kubeconfig)?;
    let cluster = config.clusters.into_iter().next().and_then(|named| named.cluster);
    cluster
        .and_then(|cluster| cluster.server)
        .with_context(|| format!("{} names no server", kubeconfig.display()))
}

/// Several TLS providers may be linked into one test binary, and then rustls refuses to choose. Only the first choice of
/// a process counts, hence the ignored answer.
fn install_crypto_provider() {
    let _ = rustls::crypto::ring::default_provider().install_default();
}

fn read(path: &Path) -> Result<Kubeconfig> {
    Kubeconfig::read_from(path).with_context(|| format!("cannot read kubeconfig {}", path.display()))
}

/// JSON is YAML, and needs no quoting rules.
fn write_document(path: &Path, document: &impl Serialize) -> Result<()> {
    let text = serde_json::to_string_pretty(document)?;
    fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}

/// A file name for a user: readable, and different for different users.
pub(crate) fn file_name(user: &str, groups: &[&str]) -> String {
    let readable: String = user
        .chars()
        .map(|letter| if letter.is_ascii_alphanumeric() { letter } else { '-' })
        .take(40)
        .collect();
    let identity: BTreeMap<&str, &[&str]> = BTreeMap::from([(user, groups)]);
    let digest = blake3::hash(format!("{identity:?}").as_bytes()).to_hex();
    format!("{readable}-{}.kubeconfig", digest.chars().take(8).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_that_differ_only_in_signs_get_different_files() {
        let name = file_name("system:serviceaccount:a:b", &[]);
        assert!(name.starts_with("system-serviceaccount-a-b-"), "{name}");
        assert_ne!(name, file_name("system-serviceaccount-a-b", &[]));
        assert_ne!(name, file_name("system:serviceaccount:a:b", &["x"]));
    }

    #[test]
    fn impersonation_and_token_replace_only_the_user() {
        let directory = tempfile::tempdir().unwrap();
        let (original, copy) = (directory.path().join("a"), directory.path().join("b"));
        let server = Server { url: "https://127.0.0.1:6443".into(), authority: "PEM".into() };
        let identity = Identity { certificate: "first".into(), key: "key".into() };
        write(&original, &server, "admin", &identity).unwrap();

        write_impersonating(&copy, &original, "olga", &["staff", "people"]).unwrap();
        let config = read(&copy).unwrap();
        let info = config.auth_infos[0].auth_info.as_ref().unwrap();
        assert_eq!(info.impersonate.as_deref(), Some("olga"));
        assert_eq!(info.impersonate_groups.as_ref().unwrap().len(), 2);
        assert!(info.client_certificate_data.is_some());

        write_with_token(&copy, &original, "bot", "second").unwrap();
        let text = fs::read_to_string(&copy).unwrap();
        assert!(text.contains("second") && !text.contains(&STANDARD.encode("first")), "{text}");
        assert_eq!(
            read(&copy).unwrap().clusters[0].cluster.as_ref().unwrap().server.as_deref(),
            Some(&*server.url)
        );
    }
}
