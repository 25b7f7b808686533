//! A wall clock that jumps, for one process and nobody else. Needs the file system, and the library libfaketime.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use thiserror::Error;

/// Where distributions put the library, below a directory that may be named after the machine's architecture.
const LIBRARY: &str = "faketime/libfaketimeMT.so.1";

/// A wall clock of its own. The monotonic clock is the machine's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Clock {
    library: PathBuf,
    /// How far it is off; read whenever somebody asks for the time.
    offset: PathBuf,
}

/// There is no such clock on this machine.
#[derive(Debug, Error)]
#[error("no {LIBRARY} below {}: install the package libfaketime", directory.display())]
pub struct NoClock {
    directory: PathBuf,
}

// === impl Clock ===

impl Clock {
    /// A clock whose offset is kept in `directory`.
    ///
    /// # Errors
    /// When the library is not installed.
    pub fn find(directory: &Path) -> Result<Self, NoClock> {
        Self::below(Path::new("/usr/lib"), directory)
    }

    fn below(libraries: &Path, directory: &Path) -> Result<Self, NoClock> {
        let entries = std::fs::read_dir(libraries).into_iter().flatten().flatten();
        let places = entries.map(|entry| entry.path()).chain([libraries.to_owned()]);
        let library = places.map(|place| place.join(LIBRARY)).find(|library| library.exists());
        let library = library.ok_or_else(|| NoClock { directory: libraries.to_owned() })?;
        Ok(Self { library, offset: directory.join("clock") })
    }

    /// What a process that is to go by it needs in its environment.
    #[must_use]
    pub fn environment(&self) -> Vec<(&'static str, PathBuf)> {
        let on = || PathBuf::from("1");
        vec![
            ("LD_PRELOAD", self.library.clone()),
            ("FAKETIME_TIMESTAMP_FILE", self.offset.clone()),
            ("FAKETIME_NO_CACHE", on()),
            ("FAKETIME_DONT_FAKE_MONOTONIC", on()),
            ("FAKETIME_DONT_RESET", on()),
        ]
    }

    /// Puts it so many seconds before or after the time of the machine.
    ///
    /// # Errors
    /// When the offset cannot be written.
    pub fn set(&self, seconds: i64) -> Result<()> {
        // Nobody may read half of it.
        let written = self.offset.with_extension("new");
        std::fs::write(&written, format!("{seconds:+}\n"))
            .and_then(|()| std::fs::rename(&written, &self.offset))
            .with_context(|| format!("cannot write {}", self.offset.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_library_is_found_wherever_it_is_and_missed_where_it_is_not() {
        let root = tempfile::tempdir().unwrap();
        let missing = Clock::below(root.path(), root.path()).unwrap_err();
        assert!(missing.to_string().contains("install the package libfaketime"), "{missing}");
        let library = root.path().join("x86_64-linux-gnu").join(LIBRARY);
        std::fs::create_dir_all(library.parent().unwrap()).unwrap();
        std::fs::write(&library, "").unwrap();
        let clock = Clock::below(root.path(), root.path()).unwrap();
        assert_eq!(clock.environment().first(), Some(&("LD_PRELOAD", library)));
    }

    #[test]
    fn the_offset_is_written_with_its_sign() {
        let directory = tempfile::tempdir().unwrap();
        let clock = Clock { library: PathBuf::new(), offset: directory.path().join("clock") };
        let text = |seconds| {
            clock.set(seconds).unwrap();
            std::fs::read_to_string(directory.path().join("clock")).unwrap()
        };
        assert_eq!([text(3600), text(-3600), text(0)], ["+3600\n", "-3600\n", "+0\n"]);
    }
}
