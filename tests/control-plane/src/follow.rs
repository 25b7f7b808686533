//! Following the audit log as it is written, to act right after a certain request. Needs the file system.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use anyhow::{Context, Result};
use rustix::fs::inotify;
use tokio::io::AsyncReadExt as _;
use tokio::net::unix::pipe;

use crate::audit::{AuditEvent, Mark, parse};

/// The requests since a mark, each as soon as the API server has written its line. See [`crate::Audit::follow`].
pub struct Follower {
    log: File,
    /// What the kernel tells of changes. Not a pipe, but read in the same way.
    changes: pipe::Receiver,
    /// The begin of a line whose end is not written yet.
    partial: Vec<u8>,
    events: VecDeque<AuditEvent>,
}

// === impl Follower ===

impl Follower {
    pub(crate) fn new(path: &Path, from: Mark) -> Result<Self> {
        let shown = path.display();
        let mut log = File::open(path).with_context(|| format!("cannot read {shown}"))?;
        log.seek(SeekFrom::Start(from.0))?;
        let changes = inotify::init(inotify::CreateFlags::NONBLOCK | inotify::CreateFlags::CLOEXEC)?;
        inotify::add_watch(&changes, path, inotify::WatchFlags::MODIFY)
            .with_context(|| format!("cannot watch {shown}"))?;
        let changes = pipe::Receiver::from_file_unchecked(File::from(changes))?;
        Ok(Self { log, changes, partial: Vec::new(), events: VecDeque::new() })
    }

    /// The next request, when it was answered. Waits for ever if there is none: bound it by a timeout.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub async fn next(&mut self) -> Result<AuditEvent> {
        loop {
            if let Some(event) = self.events.pop_front() {
                return Ok(event);
            }
            // The watch is older than this read, so what is written after it is told.
            if self.read()? == 0 {
                self.changed().await?;
            }
        }
    }

    /// The `count`-th request from here on for which `counts` holds.
    ///
    /// # Errors
    /// As [`Follower::next`].
    pub async fn nth(&mut self, count: usize, counts: impl Fn(&AuditEvent) -> bool) -> Result<AuditEvent> {
        let mut left = count;
        loop {
            let event = self.next().await?;
            if counts(&event) {
                left = left.saturating_sub(1);
                if left == 0 {
                    return Ok(event);
                }
            }
        }
    }

    /// Takes in what the log has more than before. Gives how many bytes that were.
    fn read(&mut self) -> Result<usize> {
        let read = self.log.read_to_end(&mut self.partial)?;
        let complete = self.partial.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        let lines: Vec<u8> = self.partial.drain(..complete).collect();
        for line in String::from_utf8_lossy(&lines).lines() {
            self.events.extend(parse(line)?);
        }
        Ok(read)
    }

    /// Waits until the kernel tells of a change.
    async fn changed(&mut self) -> Result<()> {
        let mut told = [0; 4096];
        self.changes.read(&mut told).await.context("the kernel does not tell of changes")?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use tempfile::NamedTempFile;

    fn line(name: &str) -> String {
        format!(
            r#"{{"stage":"ResponseComplete","requestURI":"/x","verb":"create","user":{{"username":"olga"}},"objectRef":{{"name":"{name}"}},"requestReceivedTimestamp":"2030-01-01T00:00:00Z"}}"#
        )
    }

    #[tokio::test]
    async fn requests_come_as_their_lines_are_completed() {
        let mut log = NamedTempFile::new().unwrap();
        writeln!(log, "{}", line("before")).unwrap();
        let mark = Mark(log.as_file().metadata().unwrap().len());
        writeln!(log, "{}", line("one")).unwrap();
        let mut follower = Follower::new(log.path(), mark).unwrap();
        assert_eq!(follower.next().await.unwrap().name, "one");

        let text = format!("{}\n", line("two"));
        let (begin, end) = text.split_at(20);
        log.write_all(begin.as_bytes()).unwrap();
        let next = tokio::spawn(async move { (follower.next().await.unwrap().name, follower) });
        log.write_all(end.as_bytes()).unwrap();
        let (name, mut follower) = next.await.unwrap();
        assert_eq!(name, "two");

        for name in ["a", "counted", "b", "counted-too"] {
            writeln!(log, "{}", line(name)).unwrap();
        }
        let second = follower.nth(2, |event| event.name.starts_with("counted")).await.unwrap();
        assert_eq!(second.name, "counted-too");
    }
}
