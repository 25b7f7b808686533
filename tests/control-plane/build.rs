//! Stamps the crate with a digest of its sources, so that the library can tell a supervisor binary of another build
//! from its own. `cargo test -p some-other-crate` rebuilds the library but not the binary beside it.

use std::collections::hash_map::DefaultHasher;
use std::hash::Hasher;
use std::path::{Path, PathBuf};
use std::{fs, io};

fn main() -> io::Result<()> {
    let mut files = vec![PathBuf::from("stages.yaml")];
    collect(Path::new("src"), &mut files)?;
    collect(Path::new("tools"), &mut files)?;
    files.sort();
    let mut digest = DefaultHasher::new();
    for file in &files {
        digest.write(file.as_os_str().as_encoded_bytes());
        digest.write(&fs::read(file)?);
    }
    println!("cargo::rerun-if-changed=src");
    println!("cargo::rerun-if-changed=tools");
    println!("cargo::rerun-if-changed=stages.yaml");
    println!("cargo::rustc-env=TENANTRY_CONTROL_PLANE_SOURCE={:016x}", digest.finish());
    Ok(())
}

fn collect(directory: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if path.is_dir() {
            collect(&path, files)?;
        } else {
            files.push(path);
        }
    }
    Ok(())
}
