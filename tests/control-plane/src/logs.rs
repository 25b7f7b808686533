//! Reading the end of a process' log for an error message, and telling people what takes long. Needs the file system only.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write, stderr};
use std::path::Path;

/// Enough for a stack of Go errors; logs themselves may be many megabytes.
const TAIL_BYTES: u64 = 16 * 1024;

/// The last `lines` lines of `path`, or why they cannot be read.
pub(crate) fn tail(path: &Path, lines: usize) -> String {
    let read = || -> std::io::Result<String> {
        let mut file = File::open(path)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(TAIL_BYTES)))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    };
    match read() {
        Ok(text) => {
            let all: Vec<&str> = text.lines().collect();
            let skipped = all.len().saturating_sub(lines);
            all.into_iter().skip(skipped).collect::<Vec<_>>().join("\n")
        }
        Err(error) => format!("({} cannot be read: {error})", path.display()),
    }
}

/// Writes past the test harness' capture: somebody waits minutes for this.
pub(crate) fn say(text: &str) {
    let mut stream = stderr();
    let _ = stream.write_all(text.as_bytes()).and_then(|()| stream.flush());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tail_gives_the_last_lines_or_the_reason() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "a\nb\nc\n").unwrap();
        assert_eq!(tail(file.path(), 2), "b\nc");
        assert!(tail(Path::new("/nonexistent/log"), 2).contains("cannot be read"));
    }
}
