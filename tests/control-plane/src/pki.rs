//! Certificates of one control plane: a throw-away authority, the server's certificate and client certificates. Needs
//! randomness and the file system; no client, no clock (certificates of a test cluster do not expire).

use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType,
};

/// What the API server is called inside and outside the cluster.
const SERVER_NAMES: [&str; 4] = ["kubernetes", "kubernetes.default", "kubernetes.default.svc", "localhost"];

/// Names of the files in the directory of an authority.
pub(crate) struct PkiFiles {
    directory: PathBuf,
}

/// The authority of one cluster. Its key lies beside its certificate, readable by the owner only, so that a test process
/// can issue identities for a control plane that another process started.
pub(crate) struct Pki {
    authority: String,
    issuer: Issuer<'static, KeyPair>,
}

/// A certificate and its key, both PEM.
pub(crate) struct Identity {
    pub(crate) certificate: String,
    pub(crate) key: String,
}

// === impl PkiFiles ===

impl PkiFiles {
    pub(crate) fn new(directory: PathBuf) -> Self {
        Self { directory }
    }

    pub(crate) fn authority(&self) -> PathBuf {
        self.directory.join("ca.crt")
    }

    fn authority_key(&self) -> PathBuf {
        self.directory.join("ca.key")
    }

    pub(crate) fn server(&self) -> PathBuf {
        self.directory.join("server.crt")
    }

    pub(crate) fn server_key(&self) -> PathBuf {
        self.directory.join("server.key")
    }

    /// With which the API server introduces itself to a kubelet.
    pub(crate) fn kubelet_client(&self) -> PathBuf {
        self.directory.join("kubelet-client.crt")
    }

    pub(crate) fn kubelet_client_key(&self) -> PathBuf {
        self.directory.join("kubelet-client.key")
    }

    pub(crate) fn accounts_key(&self) -> PathBuf {
        self.directory.join("accounts.key")
    }

    pub(crate) fn accounts_public_key(&self) -> PathBuf {
        self.directory.join("accounts.pub")
    }
}

// === impl Pki ===

impl Pki {
    /// Makes the authority, the certificate of the API server for its `addresses` and the key pair that signs service
    /// account tokens.
    pub(crate) fn create(files: &PkiFiles, addresses: &[Ipv4Addr]) -> Result<Self> {
        fs::create_dir_all(&files.directory)
            .with_context(|| format!("cannot create {}", files.directory.display()))?;
        let key = KeyPair::generate()?;
        let authority = authority_params().self_signed(&key)?.pem();
        write(&files.authority(), &authority)?;
        write(&files.authority_key(), &key.serialize_pem())?;
        let pki = Self { authority, issuer: Issuer::new(authority_params(), key) };

        let server = pki.server(&SERVER_NAMES, addresses)?;
        write(&files.server(), &server.certificate)?;
        write(&files.server_key(), &server.key)?;

        let kubelet_client = pki.client("kube-apiserver-kubelet-client", Some("system:masters"))?;
        write(&files.kubelet_client(), &kubelet_client.certificate)?;
        write(&files.kubelet_client_key(), &kubelet_client.key)?;

        let accounts = KeyPair::generate()?;
        write(&files.accounts_key(), &accounts.serialize_pem())?;
        write(&files.accounts_public_key(), &accounts.public_key_pem())?;
        Ok(pki)
    }

    /// Opens the authority of a running control plane.
    pub(crate) fn open(files: &PkiFiles) -> Result<Self> {
        let read = |path: PathBuf| {
            fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))
        };
        let key = KeyPair::from_pem(&read(files.authority_key())?)?;
        Ok(Self { authority: read(files.authority())?, issuer: Issuer::new(authority_params(), key) })
    }

    /// The authority's certificate, PEM.
    pub(crate) fn authority(&self) -> &str {
        &self.authority
    }

    /// A client certificate. Kubernetes reads the user from the common name and the group from the organization.
    pub(crate) fn client(&self, user: &str, group: Option<&str>) -> Result<Identity> {
        let mut params = CertificateParams::default();
        params.distinguished_name.remove(DnType::CommonName);
        if let Some(group) = group {
            params.distinguished_name.push(DnType::OrganizationName, group);
        }
        params.distinguished_name.push(DnType::CommonName, user);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        self.issue(params)
    }

    /// A server's certificate for all its names and addresses.
    pub(crate) fn server(&self, names: &[&str], addresses: &[Ipv4Addr]) -> Result<Identity> {
        let mut params =
            CertificateParams::new(names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>())?;
        for address in addresses {
            params.subject_alt_names.push(SanType::IpAddress(IpAddr::V4(*address)));
        }
        params.distinguished_name.remove(DnType::CommonName);
        params.distinguished_name.push(DnType::CommonName, names.first().copied().unwrap_or_default());
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        self.issue(params)
    }

    fn issue(&self, mut params: CertificateParams) -> Result<Identity> {
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.use_authority_key_identifier_extension = true;
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &self.issuer)?;
        Ok(Identity { certificate: certificate.pem(), key: key.serialize_pem() })
    }
}

/// The same every time, so that the issuer can be rebuilt from the key alone.
fn authority_params() -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, "tenantry-control-plane");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages =
        vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign, KeyUsagePurpose::DigitalSignature];
    params
}

/// The directory above is closed to other users; the files inherit its protection.
fn write(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}
