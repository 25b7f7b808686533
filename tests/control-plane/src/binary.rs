//! Finding the binary that holds the supervisor, or building it. Needs the file system and perhaps `cargo`.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::logs::say;

const NAME: &str = "tenantry-control-plane";

/// The supervisor's binary where one exists: as `TENANTRY_CONTROL_PLANE_BIN` says, as cargo says to a test of this crate,
/// this very program, or beside this program in the target directory.
pub(crate) fn find() -> Result<Option<PathBuf>> {
    if let Some(path) = std::env::var_os("TENANTRY_CONTROL_PLANE_BIN").map(PathBuf::from) {
        if !path.is_file() {
            bail!("TENANTRY_CONTROL_PLANE_BIN names {}, which does not exist", path.display());
        }
        return Ok(Some(path));
    }
    let told = std::env::var_os(format!("CARGO_BIN_EXE_{NAME}")).map(PathBuf::from);
    let own = std::env::current_exe().context("cannot tell which program this is")?;
    let candidates =
        told.into_iter().chain(own.ancestors().take(3).skip(1).map(|directory| directory.join(NAME)));
    Ok(candidates.into_iter().find(|path| path.is_file()))
}

/// Builds the binary into the target directory this program lies in. Needed when a test of another crate runs and the
/// binary is missing or of another build.
pub(crate) fn build() -> Result<PathBuf> {
    let own = std::env::current_exe()?;
    let (target, profile) = target_directory(&own).with_context(|| {
        format!("{NAME} was not found beside {}: set TENANTRY_CONTROL_PLANE_BIN to its path", own.display())
    })?;
    say(&format!("building {NAME}, which owns the control planes of tests (minutes the first time)\n"));
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = Command::new(cargo)
        .args(["build", "--quiet", "--package", NAME, "--bin", NAME, "--profile", profile])
        .arg("--manifest-path")
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml"))
        .arg("--target-dir")
        .arg(target)
        .status()
        .with_context(|| format!("{NAME} is not built, and cargo cannot be run"))?;
    if !status.success() {
        bail!("cargo could not build {NAME}: {status}");
    }
    find()?.with_context(|| format!("cargo built {NAME}, but not into {}", target.display()))
}

/// The target directory and cargo profile of a program in `target/PROFILE` or `target/PROFILE/deps`.
fn target_directory(program: &Path) -> Option<(&Path, &str)> {
    let mut directory = program.parent()?;
    if matches!(directory.file_name()?.to_str()?, "deps" | "examples") {
        directory = directory.parent()?;
    }
    let profile = match directory.file_name()?.to_str()? {
        "debug" => "dev",
        other => other,
    };
    Some((directory.parent()?, profile))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn target_directory_and_profile_follow_from_the_path() {
        let cases = [
            ("/w/target/debug/deps/smoke-0123", "/w/target", "dev"),
            ("/w/target/release/tenantry-demo", "/w/target", "release"),
            (
                "/w/target/x86_64-unknown-linux-musl/bench/examples/a",
                "/w/target/x86_64-unknown-linux-musl",
                "bench",
            ),
        ];
        for (program, target, profile) in cases {
            assert_eq!(target_directory(Path::new(program)), Some((Path::new(target), profile)));
        }
    }
}
