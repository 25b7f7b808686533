//! Container images without a registry: one layer with one static program, in the layout of the Open Container Initiative,
//! imported into the containerd of a real node. Needs the file system and `ctr`.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use ring::digest::{SHA256, digest};
use serde_json::{Value, json};
use tar::{Builder, Header};

use crate::node::{NodePlan, PAUSE_IMAGE, socket};
use crate::tools::NodeTools;

/// `nobody` and `nogroup` of Debian.
const NOBODY: &str = "65534:65534";
/// Kubernetes' part of containerd learns of an image within milliseconds.
const KNOWN_TIMEOUT: Duration = Duration::from_secs(30);
const KNOWN_PAUSE: Duration = Duration::from_millis(10);
/// With this Kubernetes' part of containerd marks the images it has learnt of.
const KNOWN: &str = "io.cri-containerd.image=managed";

/// An image to be made: one static program, which may play several roles.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// What pods name it, with a host and a tag: `example.test/shop:1`. No registry is ever asked, so a container of it has
    /// `imagePullPolicy: Never`, or `IfNotPresent`, which is also the default for tags other than `latest`.
    pub name: String,
    /// The program on this machine, statically linked, since nothing else is in the image. It lies at `/` in the image,
    /// under the name it has here.
    pub binary: PathBuf,
    /// The first words of the command line; a container's `args` follow.
    pub entrypoint: Vec<String>,
    /// Numbers of the user and the group as whom the program runs where the pod does not say: `10001:10001`.
    pub user: String,
}

impl Image {
    /// An image that runs `binary` as a user without rights.
    ///
    /// # Errors
    /// When the path has no file name.
    pub fn of(name: &str, binary: &Path) -> Result<Self> {
        let entrypoint = vec![format!("/{}", file_name(binary)?)];
        Ok(Self { name: name.to_owned(), binary: binary.to_path_buf(), entrypoint, user: NOBODY.to_owned() })
    }

    /// The image of every pod's first container.
    pub(crate) fn pause(tools: &NodeTools) -> Result<Self> {
        Self::of(PAUSE_IMAGE, &tools.binary("pause"))
    }

    /// Makes the image and hands it to the containerd of a node. Blocks. Importing an image again replaces it.
    pub(crate) fn import(&self, plan: &NodePlan) -> Result<()> {
        let archive = tempfile::Builder::new().suffix(".tar").tempfile_in(plan.paths.node())?;
        self.write(archive.as_file()).with_context(|| format!("cannot make image {}", self.name))?;
        let path = archive.path().display().to_string();
        ctr(plan, &["images", "import", &path]).with_context(|| format!("cannot import {}", self.name))?;
        let deadline = Instant::now() + KNOWN_TIMEOUT;
        let filter = format!("name=={}", self.name);
        while !ctr(plan, &["images", "list", &filter])?.contains(KNOWN) {
            if Instant::now() > deadline {
                bail!("containerd took image {} but does not offer it to pods", self.name);
            }
            std::thread::sleep(KNOWN_PAUSE);
        }
        Ok(())
    }

    /// Writes the archive: a manifest that names a configuration and a layer by their digests, and an index that names it.
    fn write(&self, file: &File) -> Result<()> {
        let layer = self.layer()?;
        let configuration = serde_json::to_vec(&json!({
            "architecture": architecture(),
            "os": "linux",
            "config": {"Entrypoint": self.entrypoint, "User": self.user, "WorkingDir": "/"},
            "rootfs": {"type": "layers", "diff_ids": [digest_of(&layer)]},
        }))?;
        let manifest = serde_json::to_vec(&json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": descriptor("application/vnd.oci.image.config.v1+json", &configuration),
            "layers": [descriptor("application/vnd.oci.image.layer.v1.tar", &layer)],
        }))?;
        let mut named = descriptor("application/vnd.oci.image.manifest.v1+json", &manifest);
        if let Some(fields) = named.as_object_mut() {
            fields.insert("annotations".to_owned(), json!({"io.containerd.image.name": self.name}));
        }
        let index = json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.index.v1+json",
            "manifests": [named],
        });
        let mut archive = Builder::new(file);
        append(&mut archive, "oci-layout", 0o444, br#"{"imageLayoutVersion":"1.0.0"}"#)?;
        append(&mut archive, "index.json", 0o444, index.to_string().as_bytes())?;
        for blob in [&configuration, &manifest, &layer] {
            append(&mut archive, &format!("blobs/{}", digest_of(blob).replace(':', "/")), 0o444, blob)?;
        }
        Ok(archive.into_inner()?.flush()?)
    }

    fn layer(&self) -> Result<Vec<u8>> {
        let program =
            fs::read(&self.binary).with_context(|| format!("cannot read {}", self.binary.display()))?;
        let mut layer = Builder::new(Vec::new());
        append(&mut layer, file_name(&self.binary)?, 0o555, &program)?;
        Ok(layer.into_inner()?)
    }
}

fn file_name(binary: &Path) -> Result<&str> {
    let name = binary.file_name().and_then(|name| name.to_str());
    name.with_context(|| format!("{} names no program", binary.display()))
}

fn append(archive: &mut Builder<impl Write>, path: &str, mode: u32, content: &[u8]) -> Result<()> {
    let mut header = Header::new_ustar();
    header.set_size(content.len().try_into()?);
    header.set_mode(mode);
    Ok(archive.append_data(&mut header, path, content)?)
}

fn descriptor(media_type: &str, content: &[u8]) -> Value {
    json!({"mediaType": media_type, "digest": digest_of(content), "size": content.len()})
}

fn digest_of(content: &[u8]) -> String {
    let bytes = digest(&SHA256, content);
    bytes.as_ref().iter().fold("sha256:".to_owned(), |text, byte| format!("{text}{byte:02x}"))
}

/// Go's name for the processor.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

fn ctr(plan: &NodePlan, arguments: &[&str]) -> Result<String> {
    let output = Command::new(plan.tools.binary("ctr"))
        .arg("--address")
        .arg(socket(&plan.paths))
        .args(["--namespace", "k8s.io"])
        .args(arguments)
        .output()
        .context("cannot run ctr")?;
    if !output.status.success() {
        bail!("ctr {}: {}", arguments.join(" "), String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::io::Read as _;

    use super::*;

    fn unpack(archive: impl std::io::Read) -> BTreeMap<String, Vec<u8>> {
        let mut archive = tar::Archive::new(archive);
        archive
            .entries()
            .unwrap()
            .map(|entry| {
                let mut entry = entry.unwrap();
                let mut content = Vec::new();
                entry.read_to_end(&mut content).unwrap();
                (entry.path().unwrap().display().to_string(), content)
            })
            .collect()
    }

    #[test]
    fn every_part_is_found_by_its_digest_and_the_layer_holds_the_program() {
        let directory = tempfile::tempdir().unwrap();
        let binary = directory.path().join("shop");
        fs::write(&binary, "program").unwrap();
        let image = Image::of("example.test/shop:1", &binary).unwrap();
        let file = directory.path().join("shop.tar");
        image.write(&File::create(&file).unwrap()).unwrap();

        let files = unpack(File::open(&file).unwrap());
        let blob = |descriptor: &Value| {
            let digest = descriptor["digest"].as_str().unwrap();
            let content = &files[&format!("blobs/{}", digest.replace(':', "/"))];
            assert_eq!(digest_of(content), digest);
            assert_eq!(descriptor["size"], content.len());
            content.clone()
        };
        let index: Value = serde_json::from_slice(&files["index.json"]).unwrap();
        assert_eq!(index["manifests"][0]["annotations"]["io.containerd.image.name"], "example.test/shop:1");
        let manifest: Value = serde_json::from_slice(&blob(&index["manifests"][0])).unwrap();
        let configuration: Value = serde_json::from_slice(&blob(&manifest["config"])).unwrap();
        assert_eq!(
            configuration["config"],
            json!({"Entrypoint": ["/shop"], "User": NOBODY, "WorkingDir": "/"})
        );
        let layer = blob(&manifest["layers"][0]);
        assert_eq!(configuration["rootfs"]["diff_ids"][0], digest_of(&layer));
        assert_eq!(unpack(&layer[..]), BTreeMap::from([("shop".to_owned(), b"program".to_vec())]));
    }

    #[test]
    fn digests_are_those_of_the_standard() {
        let empty = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(digest_of(b""), empty);
    }
}
