//! The binary `tenantry`.

use std::process::ExitCode;
use tikv_jemallocator::Jemalloc;

/// A third of a busy controller's time was spent in the allocator of the C library, and what a start frees, lists of every
/// kind, stayed with the process (docs/performance.md).
#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

/// Settings of the allocator: one arena for few threads, and what is free goes back to the system at once.
#[allow(unsafe_code, reason = "the allocator reads its settings from a symbol of this name")]
#[unsafe(export_name = "_rjem_malloc_conf")]
static SETTINGS: &[u8; 44] = b"narenas:1,dirty_decay_ms:0,muzzy_decay_ms:0\0";

fn main() -> ExitCode {
    tenantry::main()
}
