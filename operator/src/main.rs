//! The binary `tenantry`.

use std::process::ExitCode;

fn main() -> ExitCode {
    tenantry::main()
}
