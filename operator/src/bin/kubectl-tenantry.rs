//! The binary `kubectl-tenantry`, which `kubectl tenantry` finds on the path. It is the same program.

use std::process::ExitCode;

fn main() -> ExitCode {
    tenantry::main()
}
