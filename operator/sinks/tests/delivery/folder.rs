//! Files: whole, once, and never over another's.

use tenantry_sinks::folder::{Folder, Form};
use tenantry_sinks::{Reminder, Sink as _};

use crate::documents::{invoice, notice, now, until_there};

#[tokio::test]
async fn files_are_there_once_and_nothing_is_written_over() {
    let place = tempfile::tempdir().unwrap();
    let sink = Folder::new(place.path().to_owned(), vec![Form::Json, Form::Html, Form::Ubl, Form::Cii]);
    let document = invoice("EU/INV-001-001", "acme", "10.00");
    for _ in 0..2 {
        until_there(&sink, &document).await.1.unwrap();
    }
    let names = || {
        let mut names: Vec<String> = place
            .path()
            .read_dir()
            .unwrap()
            .map(|file| file.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    };
    let all = ["cii.xml", "html", "json", "ubl.xml"].map(|suffix| format!("EU_INV-001-001.{suffix}"));
    assert_eq!(names(), all);
    let kept: serde_json::Value =
        serde_json::from_slice(&std::fs::read(place.path().join("EU_INV-001-001.json")).unwrap()).unwrap();
    assert_eq!(kept, serde_json::to_value(&document).unwrap());

    std::fs::write(place.path().join("EU_INV-001-001.html"), "somebody else's").unwrap();
    let refused = until_there(&sink, &document).await.1.unwrap_err();
    assert!(refused.is_final && refused.reason.contains("is there with another content"), "{refused}");
    assert_eq!(std::fs::read_to_string(place.path().join("EU_INV-001-001.html")).unwrap(), "somebody else's");
    assert_eq!(names(), all, "no half file is left");
}

#[tokio::test]
async fn a_notice_is_a_file_of_its_own_whatever_documents_are_written_as() {
    let place = tempfile::tempdir().unwrap();
    let sink = Folder::new(place.path().to_owned(), vec![Form::Ubl]);
    let notice = notice("EU/INV-001-001");
    for _ in 0..2 {
        let reminder = Reminder { notice: &notice, at: now() };
        let told = sink.remind(reminder).unwrap().await.unwrap();
        assert_eq!(told.foreign.as_deref(), Some("EU/INV-001-001/Reminder"));
    }
    let file = place.path().join("EU_INV-001-001.reminder.json");
    let kept: serde_json::Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
    assert_eq!(kept, serde_json::to_value(&notice).unwrap());
    assert_eq!(place.path().read_dir().unwrap().count(), 1);
}

#[tokio::test]
async fn a_folder_that_is_not_there_is_tried_again() {
    let place = tempfile::tempdir().unwrap();
    let missing = place.path().join("later");
    let sink = Folder::new(missing.clone(), vec![Form::Json]);
    let document = invoice("INV-001-001", "acme", "10.00");
    let letter = tenantry_sinks::Letter { document: &document, answered: 0, at: crate::documents::now() };
    let trouble = tenantry_sinks::deliver(&sink, letter).await.unwrap_err();
    assert!(!trouble.is_final, "{trouble}");
    std::fs::create_dir(missing).unwrap();
    assert!(tenantry_sinks::deliver(&sink, letter).await.is_ok());
}
