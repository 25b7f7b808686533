//! Where a run took place. Pure but for the reader it is given.

use serde::Serialize;
use tenantry_control_plane::tools::{ETCD_VERSION, KUBERNETES_VERSION};

/// A machine and what ran on it.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Machine {
    /// Model of the processor.
    pub processor: String,
    /// Processors that programs may use.
    pub cores: usize,
    /// Memory.
    pub memory_mib: u64,
    /// Release of the kernel.
    pub kernel: String,
    /// Load over one minute when the run began: above 0.2, others used the machine, too.
    pub load_at_start: f64,
    /// Version of Kubernetes.
    pub kubernetes: &'static str,
    /// Version of etcd.
    pub etcd: &'static str,
    /// When the run began.
    pub began: String,
}

// === impl Machine ===

impl Machine {
    /// This machine, now.
    #[must_use]
    pub fn here() -> Self {
        Self::read(&|path| std::fs::read_to_string(path).ok())
    }

    /// A machine as its files of proc(5) describe it.
    #[must_use]
    pub fn read(file: &dyn Fn(&str) -> Option<String>) -> Self {
        let text = |path: &str| file(path).unwrap_or_default();
        let field = |text: &str, name: &str| {
            let line = text.lines().find(|line| line.starts_with(name));
            line.and_then(|line| line.split_once(':')).map(|(_, value)| value.trim().to_owned())
        };
        let memory = field(&text("/proc/meminfo"), "MemTotal");
        let memory_kib = memory.and_then(|value| value.split_whitespace().next()?.parse::<u64>().ok());
        let load = text("/proc/loadavg").split_whitespace().next().and_then(|load| load.parse().ok());
        Self {
            processor: field(&text("/proc/cpuinfo"), "model name").unwrap_or_else(|| "unknown".to_owned()),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            memory_mib: memory_kib.unwrap_or_default() / 1024,
            kernel: text("/proc/sys/kernel/osrelease").trim().to_owned(),
            load_at_start: load.unwrap_or_default(),
            kubernetes: KUBERNETES_VERSION,
            etcd: ETCD_VERSION,
            began: jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_is_read_from_its_files() {
        let machine = Machine::read(&|path| {
            let text = match path {
                "/proc/cpuinfo" => "processor\t: 0\nmodel name\t: Fast: 3000\n",
                "/proc/meminfo" => "MemTotal:       2097152 kB\n",
                "/proc/loadavg" => "0.25 0.1 0.1 1/100 1\n",
                "/proc/sys/kernel/osrelease" => "6.1.0\n",
                _ => return None,
            };
            Some(text.to_owned())
        });
        assert_eq!((machine.processor.as_str(), machine.memory_mib), ("Fast: 3000", 2048));
        assert_eq!((machine.kernel.as_str(), machine.load_at_start), ("6.1.0", 0.25));
        assert_eq!(Machine::read(&|_| None).processor, "unknown");
    }
}
