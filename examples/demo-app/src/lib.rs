//! The application that the ERP example runs, and that tests break: one program in several roles.
//!
//! `web` answers the tenant's visitors, `worker` does the work, `store` keeps the data; `convert`, `verify`, `backup`,
//! `restore` and `export` are jobs around them. The README beside this crate says what each needs.

mod admin;
pub mod client;
mod config;
mod fault;
mod jobs;
pub mod names;
mod orders;
mod server;
mod store;
mod sums;
mod table;
mod web;
mod worker;

use clap::{Parser, Subcommand};
use fault::Fault;
use std::path::PathBuf;
use std::process::ExitCode;
use tracing_subscriber::EnvFilter;

#[derive(Debug, Parser)]
#[command(name = "demo-app", version, about = "The application that the ERP example runs")]
struct Cli {
    #[command(subcommand)]
    role: Role,
}

#[derive(Debug, Subcommand)]
enum Role {
    /// Answers the tenant's visitors
    Web(web::WebRole),
    /// Decides on orders
    Worker(worker::WorkerRole),
    /// Keeps keys and values on a volume
    Store(store::StoreRole),
    /// Loads rows of CSV into a table, compares and cuts over
    Convert(jobs::convert::ConvertRole),
    /// Tests whether the application does what a customer needs
    Verify(jobs::verify::VerifyRole),
    /// Copies the store as it is at one moment to files
    Backup(jobs::backup::BackupRole),
    /// Puts a backup into an empty store
    Restore(jobs::restore::RestoreRole),
    /// Writes everything in formats that others read
    Export(jobs::export::ExportRole),
    /// Breaks the role that runs in this container, or mends it with `none`
    Fault {
        /// none, unready, unhealthy, error, slow:MILLISECONDS, memory:MIB or crash
        fault: Fault,
        /// File that the role looks at
        #[arg(long, env = "ERP_FAULT_FILE", default_value = "/tmp/fault")]
        file: PathBuf,
    },
}

/// Runs the role of the command line and gives the exit code: 0 when it ended in order, 1 when not, 2 when the command
/// line was not understood.
#[must_use]
pub fn main() -> ExitCode {
    let role = Cli::parse().role;
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_unset| EnvFilter::new("info"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(false).init();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    match runtime {
        Ok(runtime) => {
            let code = runtime.block_on(run(role));
            // Threads that wait for a disk must not keep a process that is done.
            runtime.shutdown_background();
            code
        }
        Err(error) => failed(&error.into()),
    }
}

async fn run(role: Role) -> ExitCode {
    let ended = match role {
        Role::Web(role) => role.run().await,
        Role::Worker(role) => role.run().await,
        Role::Store(role) => role.run().await,
        Role::Convert(role) => return role.run().await,
        Role::Verify(role) => return role.run().await,
        Role::Backup(role) => return role.run().await,
        Role::Restore(role) => return role.run().await,
        Role::Export(role) => return role.run().await,
        Role::Fault { fault, file } => fault::set(&file, fault),
    };
    ended.map_or_else(|error| failed(&error), |()| ExitCode::SUCCESS)
}

fn failed(error: &anyhow::Error) -> ExitCode {
    eprintln!("error: {error:#}");
    ExitCode::FAILURE
}
