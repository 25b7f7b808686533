//! Files of each document in a folder, for whoever fetches them. Needs a file system.
//!
//! A file is there whole or not at all: it is written under another name, made durable, and then given its own, which nobody else may
//! have meanwhile. One that is there with the same content was written by an earlier delivery.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Write as _};
use std::path::{Path, PathBuf};

use futures::FutureExt as _;
use futures::future::BoxFuture;
use tenantry_documents::language::Language;
use tenantry_documents::page::page;
use tenantry_documents::standard::{Syntax, xml};
use tenantry_ledger::document::Document;
use tenantry_ledger::ladder::Notice;

use crate::{Delivered, Letter, Reminder, Sink, Trouble};

/// What is written of each document.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Form {
    /// JSON.
    Json,
    /// A page in the account's language.
    Html,
    /// EN 16931 in UBL.
    Ubl,
    /// EN 16931 in CII.
    Cii,
}

/// A folder.
#[derive(Clone, Debug)]
pub struct Folder {
    path: PathBuf,
    forms: Vec<Form>,
}

// === impl Form ===

impl Form {
    fn suffix(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Html => "html",
            Self::Ubl => "ubl.xml",
            Self::Cii => "cii.xml",
        }
    }

    fn text(self, document: &Document) -> Result<String, Trouble> {
        let failed = |error: &dyn std::fmt::Display| Trouble::refused(error.to_string());
        match self {
            Self::Json => serde_json::to_string_pretty(document).map_err(|error| failed(&error)),
            Self::Html => {
                let language = document.language.as_deref().and_then(|code| code.parse().ok());
                page(document, language.unwrap_or(Language::En)).map_err(|error| failed(&error))
            }
            Self::Ubl => Ok(xml(document, Syntax::Ubl)?),
            Self::Cii => Ok(xml(document, Syntax::Cii)?),
        }
    }
}

// === impl Folder ===

impl Folder {
    /// A folder that exists, and what is written into it.
    #[must_use]
    pub fn new(path: PathBuf, forms: Vec<Form>) -> Self {
        Self { path, forms }
    }

    fn write(&self, document: &Document) -> Result<(), Trouble> {
        // Numbers may have a slash and never an underscore.
        let name = document.number.replace('/', "_");
        for form in &self.forms {
            let text = form.text(document)?;
            self.file(&format!("{name}.{}", form.suffix()), &text)?;
        }
        Ok(())
    }

    /// A notice is written as JSON, whatever documents are written as.
    fn write_notice(&self, notice: &Notice) -> Result<(), Trouble> {
        let name = notice.number.replace('/', "_");
        let text = serde_json::to_string_pretty(notice);
        let text = text.map_err(|error| Trouble::refused(error.to_string()))?;
        self.file(&format!("{name}.{}.json", notice.stage.as_str().to_lowercase()), &text)
    }

    fn file(&self, name: &str, text: &str) -> Result<(), Trouble> {
        let file = self.path.join(name);
        put(&file, text.as_bytes()).map_err(|error| match error.kind() {
            ErrorKind::AlreadyExists => Trouble::refused(format!(
                "{} is there with another content; move it away and send the document again",
                file.display()
            )),
            _ => Trouble::later(format!("{} cannot be written: {error}", file.display())),
        })
    }
}

/// Writes a file whole. One that is there with this content is left.
fn put(file: &Path, content: &[u8]) -> io::Result<()> {
    let folder = file.parent().unwrap_or(Path::new("."));
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    let draft = folder.join(format!(".{name}.part"));
    let mut written = File::create(&draft)?;
    written.write_all(content)?;
    written.sync_all()?;
    // A link is refused where the name is taken; a rename would take it.
    let linked = fs::hard_link(&draft, file);
    fs::remove_file(&draft)?;
    match linked {
        Err(error) if error.kind() == ErrorKind::AlreadyExists && fs::read(file)? == content => {}
        other => other?,
    }
    File::open(folder)?.sync_all()
}

impl Sink for Folder {
    fn find<'a>(&'a self, _letter: Letter<'a>) -> BoxFuture<'a, Result<Option<Delivered>, Trouble>> {
        // Writing looks for itself, file by file.
        async { Ok(None) }.boxed()
    }

    fn send<'a>(&'a self, letter: Letter<'a>) -> BoxFuture<'a, Result<Delivered, Trouble>> {
        async move {
            let (folder, document) = (self.clone(), letter.document.clone());
            let writing = tokio::task::spawn_blocking(move || folder.write(&document));
            writing.await.map_err(|error| Trouble::later(error.to_string()))??;
            Ok(Delivered { foreign: Some(letter.number().to_owned()) })
        }
        .boxed()
    }

    fn remind<'a>(&'a self, reminder: Reminder<'a>) -> Option<BoxFuture<'a, Result<Delivered, Trouble>>> {
        let (folder, notice) = (self.clone(), reminder.notice.clone());
        Some(
            async move {
                let writing = tokio::task::spawn_blocking(move || folder.write_notice(&notice));
                writing.await.map_err(|error| Trouble::later(error.to_string()))??;
                Ok(Delivered { foreign: Some(reminder.key()) })
            }
            .boxed(),
        )
    }
}
