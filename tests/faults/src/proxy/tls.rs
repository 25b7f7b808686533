//! The proxy's own authority and certificate, and the kubeconfig that leads a controller to it. Needs randomness and
//! the file system; no client, no clock.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use kube::config::Kubeconfig;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, KeyUsagePurpose, SanType};
use rustls::ServerConfig;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

/// What a proxy needs to be believed.
pub(super) struct Identity {
    /// Certificate of the authority, PEM.
    authority: String,
    /// Settings of the server.
    pub(super) server: Arc<ServerConfig>,
}

// === impl Identity ===

impl Identity {
    /// Makes an authority and a certificate for loopback.
    pub(super) fn create() -> Result<Self> {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
        let authority_key = KeyPair::generate()?;
        let authority = params.self_signed(&authority_key)?;
        let issuer = Issuer::new(params, authority_key);

        let mut params = CertificateParams::new(vec!["localhost".to_owned()])?;
        params.subject_alt_names.push(SanType::IpAddress(IpAddr::V4(Ipv4Addr::LOCALHOST)));
        params.use_authority_key_identifier_extension = true;
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &issuer)?;
        let private = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut server = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], private)?;
        // One request at a time on a connection: breaking one then breaks no other.
        server.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self { authority: authority.pem(), server: Arc::new(server) })
    }

    /// Writes a copy of the kubeconfig `original` that leads to the proxy. Who its bearer is stays as it is.
    pub(super) fn kubeconfig(&self, original: &Path, address: SocketAddr, copy: &Path) -> Result<()> {
        let mut config = Kubeconfig::read_from(original)
            .with_context(|| format!("cannot read kubeconfig {}", original.display()))?;
        for cluster in config.clusters.iter_mut().filter_map(|named| named.cluster.as_mut()) {
            cluster.server = Some(format!("https://{address}"));
            cluster.certificate_authority = None;
            cluster.certificate_authority_data = Some(STANDARD.encode(&self.authority));
        }
        // JSON is YAML. The library hides secrets when it serializes, so the user is copied from the file itself.
        let mut document = serde_json::to_value(&config)?;
        let text = std::fs::read_to_string(original)?;
        let source: serde_json::Value = serde_saphyr::from_str(&text)?;
        if let (Some(document), Some(users)) = (document.as_object_mut(), source.get("users")) {
            document.insert("users".to_owned(), users.clone());
        }
        std::fs::write(copy, serde_json::to_vec_pretty(&document)?)
            .with_context(|| format!("cannot write {}", copy.display()))
    }
}
