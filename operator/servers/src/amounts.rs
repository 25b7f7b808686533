//! Amounts of what servers have; pure.

use std::fmt;
use tenantry_crds::quantity::Quantity;

/// What a pool can be short of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Resource {
    /// Processors that pods request, in cores.
    Cpu,
    /// Memory that pods request, in bytes.
    Memory,
    /// Local scratch disk that pods request, in bytes.
    Disk,
    /// Pods.
    Pods,
    /// Processors that pods may use at most, in cores.
    CpuLimits,
    /// Memory that pods may use at most, in bytes.
    MemoryLimits,
    /// Whole nodes.
    Nodes,
}

/// What one node has, or what is asked of one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Room {
    /// Processors, in cores.
    pub cpu: Quantity,
    /// Memory, in bytes.
    pub memory: Quantity,
    /// Local scratch disk, in bytes.
    pub disk: Quantity,
    /// Pods.
    pub pods: Quantity,
}

/// What a tenant is promised, or what a pool has: requests, and limits besides, because these may be overcommitted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Amounts {
    /// What pods request.
    pub requests: Room,
    /// Processors that pods may use at most, in cores.
    pub cpu_limits: Quantity,
    /// Memory that pods may use at most, in bytes.
    pub memory_limits: Quantity,
}

// === impl Resource ===

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Cpu => "cpu",
            Self::Memory => "memory",
            Self::Disk => "disk",
            Self::Pods => "pods",
            Self::CpuLimits => "cpu of limits",
            Self::MemoryLimits => "memory of limits",
            Self::Nodes => "nodes",
        })
    }
}

// === impl Room ===

impl Room {
    /// The sum of both.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        self.each(other, Quantity::plus)
    }

    /// What is left of each when the other is taken away; never less than nothing.
    #[must_use]
    pub fn minus(self, other: Self) -> Self {
        self.each(other, Quantity::minus)
    }

    /// The larger of both, resource by resource.
    #[must_use]
    pub fn max(self, other: Self) -> Self {
        self.each(other, Ord::max)
    }

    /// Whether each is at least the other.
    #[must_use]
    pub fn covers(self, other: Self) -> bool {
        self.cpu >= other.cpu
            && self.memory >= other.memory
            && self.disk >= other.disk
            && self.pods >= other.pods
    }

    fn each(self, other: Self, with: impl Fn(Quantity, Quantity) -> Quantity) -> Self {
        Self {
            cpu: with(self.cpu, other.cpu),
            memory: with(self.memory, other.memory),
            disk: with(self.disk, other.disk),
            pods: with(self.pods, other.pods),
        }
    }
}

// === impl Amounts ===

impl Amounts {
    /// The sum of both.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        self.each(other, Room::plus, Quantity::plus)
    }

    /// What is left of each when the other is taken away; never less than nothing.
    #[must_use]
    pub fn minus(self, other: Self) -> Self {
        self.each(other, Room::minus, Quantity::minus)
    }

    /// The larger of both, resource by resource.
    #[must_use]
    pub fn max(self, other: Self) -> Self {
        self.each(other, Room::max, Ord::max)
    }

    /// Whether each is at least the other.
    #[must_use]
    pub fn covers(self, other: Self) -> bool {
        self.pairs(other).all(|(_, has, needs)| has >= needs)
    }

    /// Each resource with its amount here and there.
    pub fn pairs(self, other: Self) -> impl Iterator<Item = (Resource, Quantity, Quantity)> {
        [
            (Resource::Cpu, self.requests.cpu, other.requests.cpu),
            (Resource::Memory, self.requests.memory, other.requests.memory),
            (Resource::Disk, self.requests.disk, other.requests.disk),
            (Resource::Pods, self.requests.pods, other.requests.pods),
            (Resource::CpuLimits, self.cpu_limits, other.cpu_limits),
            (Resource::MemoryLimits, self.memory_limits, other.memory_limits),
        ]
        .into_iter()
    }

    fn each(
        self,
        other: Self,
        rooms: impl Fn(Room, Room) -> Room,
        with: impl Fn(Quantity, Quantity) -> Quantity,
    ) -> Self {
        Self {
            requests: rooms(self.requests, other.requests),
            cpu_limits: with(self.cpu_limits, other.cpu_limits),
            memory_limits: with(self.memory_limits, other.memory_limits),
        }
    }
}
