//! Who is measured: a contender is described by a file, so that another tool can be raced without changing code. Needs
//! the file system.

mod act;
mod running;
mod variables;

pub use act::{Actor, Offer};
pub use running::Running;
pub use variables::Variables;

use crate::canonical::{Differences, FieldDifference, ObjectRef};
use crate::workload::Workload;
use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// A contender as its file describes it. Texts may hold variables: see [`Variables`].
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Contender {
    /// Its name in the report.
    pub name: String,
    /// What it is, with its version, for people.
    pub description: String,
    /// Who it is to the API server.
    pub identity: Identity,
    /// What the administrator installs before it starts, in this order.
    #[serde(default)]
    pub install: Vec<Install>,
    /// Its process, unless it is only commands.
    pub process: Option<Process>,
    /// Objects that must carry a true condition before anything is measured.
    #[serde(default)]
    pub settled: Vec<Settled>,
    /// What is created for a tenant.
    pub tenant: Tenant,
    /// How all tenants get two changed objects.
    pub change: Option<Change>,
    /// Workloads it can do. What is not listed is no part of what it is for.
    pub workloads: BTreeSet<Workload>,
    /// File with the table of its differences from the canonical objects.
    pub differences: Option<PathBuf>,
    /// Directory of the file.
    #[serde(skip)]
    pub directory: PathBuf,
}

/// A ServiceAccount, never a member of `system:masters`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Identity {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub service_account: String,
    /// Whether the harness makes the account and binds it to `cluster-admin`; otherwise what is installed does that.
    #[serde(default)]
    pub cluster_admin: bool,
}

/// Something to install.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Install {
    /// A YAML file to apply.
    File(String),
    /// A command whose output is applied.
    OutputOf(Vec<String>),
}

/// A process that runs as long as a leg.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Process {
    /// Program and arguments.
    pub command: Vec<String>,
    /// Environment besides `KUBECONFIG`, `HOME` and `PATH`.
    #[serde(default)]
    pub environment: BTreeMap<String, String>,
    /// Path on `127.0.0.1:${PORT}` that answers 200 once it works.
    pub ready: Option<String>,
    /// Lease that a killed process leaves behind.
    pub lease: Option<LeaseRef>,
}

/// A lease to remove between a kill and the next start.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LeaseRef {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

/// An object and a condition of it that must be true.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Settled {
    /// `example.com/v1`.
    pub api_version: String,
    /// Kind.
    pub kind: String,
    /// Name; the objects are cluster-scoped.
    pub name: String,
    /// Type of the condition.
    pub condition: String,
}

/// What is created for each tenant.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Tenant {
    /// Name of its namespace.
    pub namespace: String,
    /// How it is created.
    pub create: Create,
}

/// How a tenant is created and removed.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub enum Create {
    /// By one object, which a controller acts on.
    Object {
        /// File of the object.
        file: String,
        /// Condition that says that the tenant is ready, if there is one.
        ready: Option<String>,
    },
    /// By a command. `${FILE}` is the canonical tenant with its name put in.
    Command {
        /// Creates it.
        create: Vec<String>,
        /// Removes it.
        remove: Vec<String>,
        /// How many run side by side in a burst.
        parallel: usize,
    },
}

/// How two objects of every tenant change.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Change {
    /// File that the administrator applies once. Without one every tenant is created again with the fields set.
    pub apply: Option<String>,
    /// Fields that have other values afterwards.
    pub set: Vec<Set>,
}

/// One field with its new value.
#[derive(Clone, Debug, Deserialize)]
pub struct Set {
    /// Object, by the contender's name for it.
    pub object: ObjectRef,
    /// Field and value.
    #[serde(flatten)]
    pub field: FieldDifference,
}

// === impl Contender ===

impl Contender {
    /// Reads the file of a contender.
    ///
    /// # Errors
    /// When it cannot be read or does not describe one.
    pub fn read(path: &Path) -> Result<Self> {
        let mut contender: Self = read_yaml(path)?;
        contender.directory = std::path::absolute(path.parent().unwrap_or(Path::new(".")))?;
        let bad = |what: &str| format!("{}: {what}", path.display());
        ensure!(!contender.name.is_empty(), bad("name is empty: the report is keyed by it"));
        for workload in &contender.workloads {
            if workload.needs_process() && contender.process.is_none() {
                bail!(bad(&format!(
                    "workloads: {workload} needs a process: describe it, or leave {workload} out"
                )));
            }
            if *workload == Workload::W5 && contender.change.is_none() {
                bail!(bad("workloads: W5 needs a change: describe it, or leave W5 out"));
            }
        }
        Ok(contender)
    }

    /// The table of its differences.
    ///
    /// # Errors
    /// When the file cannot be read or is no such table.
    pub fn differences(&self) -> Result<Differences> {
        match &self.differences {
            Some(file) => read_yaml(&self.directory.join(file)),
            None => Ok(Differences::default()),
        }
    }

    /// Its name in the API server's audit log.
    #[must_use]
    pub fn user(&self) -> String {
        format!("system:serviceaccount:{}:{}", self.identity.namespace, self.identity.service_account)
    }
}

/// Read by way of JSON, which knows one way only to write a variant.
fn read_yaml<T: DeserializeOwned>(path: &Path) -> Result<T> {
    let text = std::fs::read_to_string(path).with_context(|| format!("{} cannot be read", path.display()))?;
    let value: Value =
        serde_saphyr::from_str(&text).with_context(|| format!("{} is not YAML", path.display()))?;
    serde_json::from_value(value).with_context(|| format!("{} is not what it should be", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shipped(name: &str) -> Contender {
        Contender::read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("contenders").join(name)).unwrap()
    }

    #[test]
    fn the_shipped_contenders_are_good() {
        let tenantry = shipped("tenantry.yaml");
        assert_eq!(tenantry.user(), "system:serviceaccount:tenantry-system:tenantry-controller");
        assert!(!tenantry.identity.cluster_admin);
        let differences = tenantry.differences().unwrap();
        assert_eq!(differences.more.len(), 1, "the canonical objects and our own role binding");
        let kubectl = shipped("kubectl.yaml");
        assert!(kubectl.process.is_none() && kubectl.differences().unwrap().objects.is_empty());
    }

    #[test]
    fn what_cannot_work_is_refused_with_the_remedy() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("x.yaml");
        let text = |workloads: &str| {
            format!(
                "name: x\ndescription: x\nidentity: {{namespace: a, serviceAccount: b}}\nworkloads: {workloads}\n\
                 tenant: {{namespace: '${{TENANT}}', create: {{command: {{create: [a], remove: [b], parallel: 8}}}}}}\n"
            )
        };
        for (workloads, remedy) in [
            ("[W1, W4]", "W4 needs a process"),
            ("[W5]", "needs a change"),
            ("[W99]", "is not what it should be"),
        ] {
            std::fs::write(&path, text(workloads)).unwrap();
            let error = Contender::read(&path).unwrap_err();
            assert!(format!("{error:#}").contains(remedy), "{error:#}");
        }
        std::fs::write(&path, text("[W1, W2, W7]")).unwrap();
        assert_eq!(Contender::read(&path).unwrap().directory, directory.path());
    }
}
