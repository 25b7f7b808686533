//! K3s in a container, where its image is present. Needs a Docker engine and a clock.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tempfile::TempDir;
use testcontainers::bollard::query_parameters::ListImagesOptionsBuilder;
use testcontainers::core::client::docker_client_instance;
use testcontainers::core::{IntoContainerPort as _, WaitFor};
use testcontainers::runners::AsyncRunner as _;
use testcontainers::{ContainerAsync, GenericImage, ImageExt as _};

const REPOSITORY: &str = "rancher/k3s";
const API_PORT: u16 = 6443;
const START_TIMEOUT: Duration = Duration::from_secs(180);
/// An engine that runs answers at once.
const ENGINE_TIMEOUT: Duration = Duration::from_secs(5);

/// A running K3s. The container is removed with this value.
pub(crate) struct K3s {
    _container: Box<ContainerAsync<GenericImage>>,
    _directory: TempDir,
    kubeconfig: PathBuf,
}

impl K3s {
    /// The tag of a K3s image that the engine holds. Nothing is ever pulled: a test run must not depend on a registry.
    ///
    /// # Errors
    /// When no engine answers or it holds no such image; says which.
    pub(crate) async fn local_tag() -> Result<String> {
        let ask = async {
            let docker = docker_client_instance().await?;
            let filters = HashMap::from([("reference", vec![REPOSITORY])]);
            let options = ListImagesOptionsBuilder::new().filters(&filters).build();
            anyhow::Ok(docker.list_images(Some(options)).await?)
        };
        let images = tokio::time::timeout(ENGINE_TIMEOUT, ask).await.context("no Docker engine answers")?;
        let images = images.context("no Docker engine answers")?;
        let tags = images.iter().flat_map(|image| &image.repo_tags);
        match tags.filter_map(|tag| tag.strip_prefix(&format!("{REPOSITORY}:"))).max() {
            Some(tag) => Ok(tag.to_owned()),
            None => bail!("the Docker engine holds no image {REPOSITORY}, and none is pulled"),
        }
    }

    /// Starts the image with `tag`.
    pub(crate) async fn start(tag: &str) -> Result<Self> {
        let container = GenericImage::new(REPOSITORY, tag)
            .with_exposed_port(API_PORT.tcp())
            .with_wait_for(WaitFor::message_on_stderr("Node controller sync successful"))
            .with_cmd(["server", "--disable=traefik,metrics-server", "--tls-san=127.0.0.1"])
            .with_privileged(true)
            .with_startup_timeout(START_TIMEOUT)
            .start()
            .await
            .context("K3s does not start")?;
        let port = container.get_host_port_ipv4(API_PORT.tcp()).await?;
        let original: Vec<u8> = container.copy_file_from("/etc/rancher/k3s/k3s.yaml", Vec::new()).await?;
        let text = String::from_utf8(original).context("the kubeconfig of K3s is not text")?;
        let directory = tempfile::tempdir()?;
        let kubeconfig = directory.path().join("kubeconfig");
        std::fs::write(&kubeconfig, outside(&text, port))?;
        Ok(Self { _container: Box::new(container), _directory: directory, kubeconfig })
    }

    pub(crate) fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }
}

/// K3s writes the port it has inside the container.
fn outside(kubeconfig: &str, port: u16) -> String {
    kubeconfig.replace(&format!("https://127.0.0.1:{API_PORT}"), &format!("https://127.0.0.1:{port}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kubeconfig_leads_to_the_published_port() {
        assert_eq!(
            outside("    server: https://127.0.0.1:6443\n", 32_768),
            "    server: https://127.0.0.1:32768\n"
        );
    }
}
