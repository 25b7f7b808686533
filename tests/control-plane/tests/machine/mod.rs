//! What a real node could leave on a machine. Needs the process table, the file system, `ip` and `nft`.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

/// What can be seen of all real nodes from outside, and what they could have changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Machine {
    processes: BTreeSet<String>,
    mounts: BTreeSet<String>,
    interfaces: BTreeSet<String>,
    routes: BTreeSet<String>,
    control_groups: BTreeSet<String>,
    packet_filter: BTreeSet<String>,
    kernel: BTreeSet<String>,
}

impl Machine {
    pub(crate) fn look() -> Self {
        Self {
            processes: processes(),
            mounts: mounts(),
            interfaces: names("/sys/class/net"),
            routes: said("ip", &["route", "show", "table", "all"]),
            control_groups: control_groups(),
            packet_filter: said("nft", &["list", "ruleset"]),
            kernel: kernel(),
        }
    }

    pub(crate) fn assert_same(&self, before: &Self) {
        let pairs = [
            ("processes", &self.processes, &before.processes),
            ("mounts", &self.mounts, &before.mounts),
            ("interfaces", &self.interfaces, &before.interfaces),
            ("routes", &self.routes, &before.routes),
            ("control groups", &self.control_groups, &before.control_groups),
            ("packet filter", &self.packet_filter, &before.packet_filter),
            ("kernel settings", &self.kernel, &before.kernel),
        ];
        for (what, now, before) in pairs {
            let (more, less): (Vec<_>, Vec<_>) =
                (now.difference(before).collect(), before.difference(now).collect());
            assert!(more.is_empty() && less.is_empty(), "{what}: new {more:#?}, gone {less:#?}");
        }
    }

    /// How many processes, interfaces and control groups of real nodes there are.
    pub(crate) fn counts(&self) -> [usize; 3] {
        let ours = |names: &BTreeSet<String>| names.iter().filter(|name| name.contains("tenantry")).count();
        [self.processes.len(), ours(&self.interfaces), ours(&self.control_groups)]
    }
}

/// Programs of a node, and of the containers that the tests start on it.
fn processes() -> BTreeSet<String> {
    const PROGRAMS: [&str; 7] =
        ["kubelet", "kube-proxy", "containerd", "containerd-shim-runc-v2", "runc", "pause", "probe"];
    let ids = names("/proc").into_iter().filter(|name| name.parse::<u32>().is_ok());
    ids.filter_map(|id| {
        let program = fs::read_link(format!("/proc/{id}/exe")).ok()?;
        let known = PROGRAMS.contains(&program.file_name()?.to_str()?);
        known.then(|| format!("{id} {}", program.display()))
    })
    .collect()
}

fn mounts() -> BTreeSet<String> {
    let table = fs::read_to_string("/proc/self/mountinfo").unwrap();
    // Without the first three fields, which are numbers that the kernel gives out.
    table.lines().map(|line| line.split(' ').skip(3).collect::<Vec<_>>().join(" ")).collect()
}

/// The upper groups of all trees. Where there is one tree only, they lie where else the trees do.
fn control_groups() -> BTreeSet<String> {
    let root = Path::new("/sys/fs/cgroup");
    let trees =
        names(root.to_str().unwrap()).into_iter().map(|name| root.join(name)).filter(|tree| tree.is_dir());
    let inner = trees.flat_map(|tree| {
        let groups =
            names(tree.to_str().unwrap()).into_iter().map(|name| tree.join(name)).collect::<Vec<_>>();
        std::iter::once(tree)
            .chain(groups)
            .filter(|group| group.is_dir())
            .map(|group| group.display().to_string())
    });
    inner.collect()
}

fn kernel() -> BTreeSet<String> {
    let settings = [
        "vm/overcommit_memory",
        "vm/panic_on_oom",
        "kernel/panic",
        "kernel/panic_on_oops",
        "net/ipv4/ip_forward",
    ];
    settings
        .map(|name| format!("{name} = {}", fs::read_to_string(Path::new("/proc/sys").join(name)).unwrap()))
        .into()
}

fn said(program: &str, arguments: &[&str]) -> BTreeSet<String> {
    let output = Command::new(program).args(arguments).output().unwrap();
    assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}

fn names(directory: &str) -> BTreeSet<String> {
    let entries = fs::read_dir(directory).into_iter().flatten().filter_map(Result::ok);
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}
