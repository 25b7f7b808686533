//! A real Kubernetes control plane on loopback, for tests, the demo and benchmarks: etcd, kube-apiserver,
//! kube-controller-manager, kube-scheduler and simulated nodes (kwok), built once from pinned Go modules, started in about
//! four seconds without containers. Needs a client, a clock and the process table.
//!
//! ```no_run
//! use tenantry_control_plane::{Cluster, Options, Profile};
//!
//! # async fn example() -> anyhow::Result<()> {
//! let cluster = Cluster::start(Options::new(Profile::P2)).await?;
//! let audit = cluster.audit().await?;
//! let mark = audit.mark().await?;
//! cluster.client().await?.apiserver_version().await?;
//! assert_eq!(audit.count(mark, "admin").await?.reads, 1);
//! cluster.stop().await
//! # }
//! ```
//!
//! Profile P3 adds a real node: pods are containers, of images made from static programs without a registry ([`Image`]). It
//! needs root on Linux and a few packages ([`node::missing`]).
//!
//! # Safety of the machine
//! A supervisor process owns the Kubernetes processes. It ends them when the pipe to the test closes, which the kernel does
//! even if the test is killed; if the supervisor is killed, the kernel ends its children; what files it left, the next start
//! removes. Everything listens on 127.0.0.1 only, and keys lie in a directory that only its user can enter.
//!
//! A real node lives in namespaces of its own for processes, mounts and network, with its own `/var`, `/run` and packet filter.
//! The kernel removes all of that with the node's last process, whatever ended it. On the machine itself a node has one
//! link, `tenantry0` and so on, with addresses from 198.18.0.0/15 over which the API server is reached instead of 127.0.0.1,
//! and control groups named after the directory of its control plane.

mod audit;
mod binary;
mod cluster;
mod commands;
mod crds;
pub mod detached;
mod follow;
mod home;
mod image;
mod k3s;
mod kubeconfig;
mod ladder;
mod link;
mod logs;
pub mod node;
mod nodes;
mod pki;
mod postgres;
mod profile;
mod protocol;
mod skip;
pub mod supervisor;
pub mod tools;

pub use audit::{Audit, AuditEvent, Mark, Tally};
pub use cluster::Cluster;
pub use crds::{Crd, await_served};
pub use follow::Follower;
pub use image::Image;
pub use kubeconfig::{client_from, config_from};
pub use nodes::{SIMULATED, Taint};
pub use postgres::Postgres;
pub use profile::{Capabilities, Options, Profile};
pub use skip::skipped;
