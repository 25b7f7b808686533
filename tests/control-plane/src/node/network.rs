//! The network of one real node: which addresses it has and the link that leads to it. Pure but for asking for and
//! removing links.
//!
//! All addresses are from the range that RFC 2544 sets aside for benchmarks, which no real network uses. Each node gets a
//! part of it, so that several can run side by side.

use std::net::Ipv4Addr;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

/// First address of the range.
const RANGE: u32 = u32::from_be_bytes([198, 18, 0, 0]);
/// Each node gets 4096 addresses of the 131072.
const BITS: u32 = 12;
const SLOTS: u8 = 32;
/// Where the parts lie in a node's addresses: the link has the first 256, then come pods, and Services from the middle on.
const PODS: u32 = 1 << 8;
const SERVICES: u32 = 1 << 11;

/// The addresses of one node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Network {
    slot: u8,
}

impl Network {
    /// Addresses that nobody uses: none of `taken`, and none whose link is still there.
    pub(crate) fn free(taken: &[Self]) -> Result<Self> {
        let is_free = |network: &Self| !taken.contains(network) && !network.has_link();
        (0..SLOTS).map(|slot| Self { slot }).find(is_free).with_context(|| {
            format!("all {SLOTS} networks for real nodes are taken: end a cluster, or look for links named tenantry*")
        })
    }

    /// The host's end of the link; the API server listens there.
    pub(crate) fn host(self) -> Ipv4Addr {
        self.address(1)
    }

    /// The node's end of the link.
    pub(crate) fn node(self) -> Ipv4Addr {
        self.address(2)
    }

    /// Length of the network prefix of the link.
    pub(crate) const LINK_PREFIX: u8 = 30;

    /// The addresses of pods.
    pub(crate) fn pods(self) -> String {
        format!("{}/24", self.address(PODS))
    }

    /// The addresses of Services.
    pub(crate) fn services(self) -> String {
        format!("{}/21", self.address(SERVICES))
    }

    /// The first address of Services, which Kubernetes gives to its own API.
    pub(crate) fn api_service(self) -> Ipv4Addr {
        self.address(SERVICES + 1)
    }

    /// The name of the host's end of the link.
    pub(crate) fn link(self) -> String {
        format!("tenantry{}", self.slot)
    }

    /// Removes the link, with both ends and all routes over it. By itself it goes a moment after the node's last process.
    pub(crate) fn remove_link(self) -> Result<()> {
        if !self.has_link() {
            return Ok(());
        }
        let output = Command::new("ip").args(["link", "delete", &self.link()]).output();
        let output = output.context("cannot run `ip`: install iproute2")?;
        // The kernel may have been faster.
        if !output.status.success() && self.has_link() {
            bail!("cannot remove link {}: {}", self.link(), String::from_utf8_lossy(&output.stderr).trim());
        }
        Ok(())
    }

    fn has_link(self) -> bool {
        Path::new("/sys/class/net").join(self.link()).exists()
    }

    fn address(self, offset: u32) -> Ipv4Addr {
        Ipv4Addr::from(RANGE + (u32::from(self.slot) << BITS) + offset)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_lie_side_by_side_in_the_range() {
        let (first, last) = (Network { slot: 0 }, Network { slot: SLOTS - 1 });
        assert_eq!((first.host().to_string(), first.pods()), ("198.18.0.1".into(), "198.18.1.0/24".into()));
        assert_eq!(first.services(), "198.18.8.0/21");
        assert_eq!(first.api_service().to_string(), "198.18.8.1");
        assert_eq!(
            (last.node().to_string(), last.services()),
            ("198.19.240.2".into(), "198.19.248.0/21".into())
        );
    }

    #[test]
    fn taken_networks_are_not_given_again() {
        let first = Network::free(&[]).unwrap();
        assert_ne!(Network::free(&[first]).unwrap(), first);
        let all: Vec<Network> = (0..SLOTS).map(|slot| Network { slot }).collect();
        assert!(Network::free(&all).unwrap_err().to_string().contains("are taken"));
    }
}
