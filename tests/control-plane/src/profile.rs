//! What a control plane consists of and what it can do. Pure data.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// How much of a cluster is started.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Profile {
    /// etcd and the API server: admission, CRDs, server-side apply. Namespaces never finish deleting.
    P0,
    /// P0 and the controller manager: quota status, garbage collection, namespace deletion, claims bind.
    P1,
    /// P1, the scheduler and simulated nodes: pods run, jobs complete, deployments become available.
    P2,
    /// P2 and one real node, `real-0`: pods are containers. Needs root on Linux, see [`crate::node::missing`].
    P3,
}

/// What a test may rely on; a test that needs more skips by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Capabilities {
    /// Requests can be counted from the audit log.
    pub audit: bool,
    /// The store is ours: nobody else writes to it, and its content goes with the cluster.
    pub etcd: bool,
    /// The controllers of Kubernetes run.
    pub controllers: bool,
    /// Pods are scheduled and run (or are played as running).
    pub nodes: bool,
    /// Pods that ask for no simulated node are containers that really run.
    pub containers: bool,
    /// The API server can be paused, stopped and started.
    pub outages: bool,
}

/// How to start a control plane.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Which processes.
    pub profile: Profile,
    /// Whether the gateway player runs from the start, as after [`crate::Cluster::play_gateway`].
    pub gateway: bool,
    /// How many simulated nodes `node-0`, `node-1`, ... exist and are ready when `start` returns. P2 and P3 have such
    /// nodes; those of P3 take only pods that tolerate [`crate::SIMULATED`].
    pub nodes: u32,
    /// Whether every request is written to the audit log. It costs the API server a line a request, so what is timed
    /// goes without.
    pub audit: bool,
    /// Whether its processes make way for others on a machine with too few processors.
    pub makes_way: bool,
}

impl Options {
    /// The profile with its usual nodes (one simulated for P2, one real for P3) and the audit log, without the gateway player.
    #[must_use]
    pub fn new(profile: Profile) -> Self {
        Self {
            profile,
            gateway: false,
            nodes: u32::from(profile == Profile::P2),
            audit: true,
            makes_way: false,
        }
    }

    /// What a cluster started like this can do.
    #[must_use]
    pub fn capabilities(&self) -> Capabilities {
        Capabilities { audit: self.audit, ..self.profile.capabilities() }
    }
}

impl Profile {
    /// What a cluster of this profile can do when this crate started its processes.
    #[must_use]
    pub fn capabilities(self) -> Capabilities {
        Capabilities {
            audit: true,
            etcd: true,
            controllers: self >= Self::P1,
            nodes: self >= Self::P2,
            containers: self >= Self::P3,
            outages: true,
        }
    }
}

impl fmt::Display for Profile {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::P0 => "P0",
            Self::P1 => "P1",
            Self::P2 => "P2",
            Self::P3 => "P3",
        })
    }
}

impl FromStr for Profile {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.to_ascii_uppercase().as_str() {
            "P0" => Ok(Self::P0),
            "P1" => Ok(Self::P1),
            "P2" => Ok(Self::P2),
            "P3" => Ok(Self::P3),
            _ => Err(format!("profile {text:?} does not exist: use P0, P1, P2 or P3")),
        }
    }
}

impl fmt::Display for Capabilities {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { audit, etcd, controllers, nodes, containers, outages } = *self;
        let named = [
            ("audit", audit),
            ("etcd", etcd),
            ("controllers", controllers),
            ("nodes", nodes),
            ("containers", containers),
            ("outages", outages),
        ];
        let present: Vec<&str> = named.into_iter().filter_map(|(name, has)| has.then_some(name)).collect();
        formatter.write_str(&present.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn profiles_read_and_print() {
        for profile in [Profile::P0, Profile::P1, Profile::P2, Profile::P3] {
            assert_eq!(profile.to_string().to_lowercase().parse::<Profile>(), Ok(profile));
        }
        assert!("P4".parse::<Profile>().unwrap_err().contains("P0, P1, P2 or P3"));
    }

    #[test]
    fn each_profile_can_more_than_the_one_before() {
        assert_eq!(Profile::P0.capabilities().to_string(), "audit, etcd, outages");
        assert_eq!(Profile::P1.capabilities().to_string(), "audit, etcd, controllers, outages");
        assert_eq!(Profile::P2.capabilities().to_string(), "audit, etcd, controllers, nodes, outages");
        assert_eq!(
            Profile::P3.capabilities().to_string(),
            "audit, etcd, controllers, nodes, containers, outages"
        );
    }

    #[test]
    fn a_cluster_without_an_audit_log_says_so() {
        let options = Options { audit: false, ..Options::new(Profile::P1) };
        assert_eq!(options.capabilities().to_string(), "etcd, controllers, outages");
    }
}
