use super::*;
use crate::controller::roots::RootObject;
use serde_json::json;
use tenantry_crds::subscription::AcceptedRevisions;

fn root(name: &str) -> Root {
    let object: RootObject =
        serde_json::from_value(json!({"metadata": {"name": name, "uid": format!("uid-{name}")}})).unwrap();
    Root::from_object(object).unwrap()
}

fn fact(tenant: &str, item: &str, number: i32) -> JournalFact {
    JournalFact {
        id: format!("{tenant}/item/{item}/{number}"),
        operation: 1,
        subject: JournalSubject::Item,
        item: item.to_owned(),
        outcome: DONE.to_owned(),
        accepted: AcceptedRevisions {
            plan: "gold@1".to_owned(),
            application: "erp@2".to_owned(),
            version: "erp-4@3".to_owned(),
            blueprint: "standard@4".to_owned(),
            price_list: None,
        },
        started_at: Some(time::time(jiff::Timestamp::from_second(100).unwrap())),
        at: time::time(jiff::Timestamp::from_second(107).unwrap()),
        machine_seconds: 7,
        people_seconds: 0,
        attempts: 0,
        actor: "tenantry".to_owned(),
        evidence: "{}".to_owned(),
    }
}

fn opened() -> Journal {
    let journal = Journal::default();
    assert!(!journal.load(Vec::new(), Learned::default()));
    journal
}

/// Records what waits, as the writer does.
fn write(journal: &Journal) -> (Vec<String>, bool) {
    journal.recorded(journal.next(usize::MAX))
}

#[test]
fn a_fact_is_offered_once_and_known_when_it_is_recorded() {
    let journal = opened();
    let acme = root("acme");
    journal.offer(&acme, vec![fact("k7", "a", 1)]);
    journal.offer(&acme, vec![fact("k7", "a", 1), fact("k7", "b", 1)]);
    let waiting: Vec<String> = journal.next(9).into_iter().map(|(_, entry)| entry.id).collect();
    assert_eq!(waiting, ["k7/item/a/1", "k7/item/b/1"]);
    assert!(!journal.has(&fact("k7", "a", 1)), "it waits");
    assert_eq!(write(&journal), (Vec::new(), false));
    assert!(journal.has(&fact("k7", "a", 1)));
    journal.offer(&acme, vec![fact("k7", "a", 1)]);
    assert_eq!(journal.waiting(), 0);
    journal.forget("k7");
    assert!(!journal.has(&fact("k7", "a", 1)));
}

#[test]
fn an_entry_says_whose_it_is_and_under_which_names() {
    let journal = opened();
    journal.offer(&root("acme"), vec![fact("k7", "a", 1)]);
    let (_, entry) = journal.next(1).remove(0);
    assert_eq!(
        (entry.tenant.as_str(), entry.subscription.as_str(), entry.uid.as_str()),
        ("k7", "acme", "uid-acme")
    );
    let names = [&entry.plan, &entry.application, &entry.version, &entry.blueprint];
    assert_eq!(names, ["gold", "erp", "erp-4", "standard"]);
    assert_eq!((entry.started_at, entry.ended_at, entry.machine_seconds), (Some(100), 107, 7));
}

#[test]
fn what_is_offered_before_the_database_is_read_makes_everybody_look_again() {
    let journal = Journal::default();
    journal.offer(&root("acme"), vec![fact("k7", "a", 1)]);
    assert_eq!(journal.waiting(), 0);
    assert!(journal.load(vec!["k7/item/a/1".to_owned()], Learned::default()));
    assert!(journal.has(&fact("k7", "a", 1)) && !journal.has(&fact("k8", "a", 1)));
}

#[test]
fn who_waits_is_woken_when_something_of_his_is_recorded() {
    let journal = opened();
    journal.waits("acme");
    journal.offer(&root("bolt"), vec![fact("k8", "a", 1)]);
    assert_eq!(write(&journal).0, Vec::<String>::new());
    journal.offer(&root("acme"), vec![fact("k7", "a", 1)]);
    assert_eq!(write(&journal).0, ["acme"]);
    journal.offer(&root("acme"), vec![fact("k7", "a", 2)]);
    assert_eq!(write(&journal).0, Vec::<String>::new(), "he was told");
}

#[test]
fn what_does_not_fit_is_offered_again() {
    let journal = opened();
    let acme = root("acme");
    let many = i32::try_from(MOST_WAITING).unwrap();
    journal.offer(&acme, (0..=many).map(|number| fact("k7", "a", number)).collect());
    assert_eq!(journal.waiting(), MOST_WAITING);
    let first = journal.next(10);
    assert!(!journal.recorded(first).1, "more waits still");
    assert!(write(&journal).1, "now everybody looks again");
    journal.offer(&acme, vec![fact("k7", "a", many)]);
    assert_eq!(write(&journal), (Vec::new(), false));
    assert!(journal.has(&fact("k7", "a", many)));
}

#[test]
fn recorded_items_teach_how_long_they_take() {
    let journal = opened();
    let similar =
        Similar { application: "erp".to_owned(), version: "erp-4".to_owned(), plan: "gold".to_owned() };
    for number in 0..19 {
        journal.offer(&root("acme"), vec![fact("k7", "a", number)]);
    }
    let failed = JournalFact { outcome: "Failed".to_owned(), ..fact("k7", "a", 90) };
    let later = JournalFact { operation: 2, ..fact("k7", "a", 91) };
    journal.offer(&root("acme"), vec![failed, later]);
    write(&journal);
    let why = "nineteen are not enough, and neither a failure nor a later operation teaches anything";
    assert_eq!(journal.usual(&similar, "a"), None, "{why}");
    journal.offer(&root("acme"), vec![fact("k7", "a", 20)]);
    write(&journal);
    assert_eq!(journal.usual(&similar, "a").map(|usual| usual.typical), Some(Estimate::of_seconds(7, 0)));
}

#[tokio::test(start_paused = true)]
async fn whoever_needs_a_fact_on_record_waits_for_it_and_is_told_when_it_takes_too_long() {
    let journal = opened();
    let acme = root("acme");
    let second = Duration::from_secs(1);
    assert!(!journal.record(&acme, vec![fact("k7", "a", 1)], second).await);
    assert_eq!(write(&journal).0, ["acme"], "he goes on then");
    assert!(journal.record(&acme, vec![fact("k7", "a", 1)], second).await);
    let both = async {
        tokio::task::yield_now().await;
        write(&journal);
    };
    let (recorded, ()) = tokio::join!(journal.record(&acme, vec![fact("k7", "b", 1)], second), both);
    assert!(recorded);
}
