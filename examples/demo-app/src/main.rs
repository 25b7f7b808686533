//! The binary `demo-app`.

use std::process::ExitCode;

fn main() -> ExitCode {
    tenantry_demo_app::main()
}
