//! The end of a subscription, as conditions, phase and operation tell of it.

use super::*;
use tenantry_crds::subscription::OperationKind;

fn ends(blockers: &[String], stuck: bool) -> Verdict<'_> {
    Verdict::Terminating {
        policy: DeletionPolicy::Delete,
        purge_at: None,
        blockers,
        stuck,
        unrecorded: false,
    }
}

#[test]
fn deletion_names_what_holds_it() {
    let live = accepted(&fixtures::order(), &evaluation([Done; 4]));
    let blockers = vec!["ConfigMap web: has the finalizer example.org/keep".to_owned()];
    let going = step(&live, ends(&blockers, false), None, &[], 60);
    assert_eq!(going.phase, Some(Phase::Terminating));
    assert_eq!(
        (told(&going, "Ready"), told(&going, "Live")),
        ("False Terminating".to_owned(), "False Terminating".to_owned())
    );
    assert_eq!(told(&going, "Reconciling"), "True Terminating");
    assert!(find(&going, "Reconciling").unwrap().message.contains("example.org/keep"));
    assert_eq!((&going.tenant, &going.hosts), (&live.tenant, &live.hosts));
    let stuck = step(&going, ends(&blockers, true), None, &[], 900);
    assert_eq!(
        (told(&stuck, "Stalled"), told(&stuck, "Reconciling")),
        ("True DeletionBlocked".to_owned(), "-".to_owned())
    );
}

#[test]
fn an_end_is_an_operation_and_says_what_it_waits_for() {
    let live = accepted(&fixtures::order(), &evaluation([Done; 4]));
    let purge_at = Some(at(90));
    let verdict = || Verdict::Terminating {
        policy: DeletionPolicy::ExportThenDelete,
        purge_at,
        blockers: &[],
        stuck: false,
        unrecorded: false,
    };
    let step_is = |name: &str, state, reason: &str| {
        let mut entry = live.checklist[0].clone();
        (entry.name, entry.category, entry.state) = (name.to_owned(), Category::Exit, state);
        (entry.reason, entry.message) = (reason.to_owned(), "told".to_owned());
        Evaluation { entries: vec![entry], ..Evaluation::default() }
    };
    let failed = step_is(crate::exit::EXPORT, Failed, "JobFailed");
    let status = step(&live, verdict(), Some(&failed), &[], 60);
    let operation = status.operation.as_ref().unwrap();
    assert_eq!((operation.kind, operation.number), (OperationKind::Offboard, 2));
    assert_eq!((operation.cause.as_str(), &operation.completed_at), ("ExportThenDelete", &None));
    assert_eq!(
        (told(&status, "Stalled"), status.phase),
        ("True ExportFailed".to_owned(), Some(Phase::Terminating))
    );
    assert!(find(&status, "Stalled").unwrap().message.contains("--skip-export"));
    assert_eq!(status.purge_at, purge_at.map(crate::time::time));
    // It begins once.
    let kept = step_is(crate::exit::KEEP, ItemState::Waiting, crate::item::DATA_KEPT);
    let status = step(&status, verdict(), Some(&kept), &[], 61);
    assert_eq!(status.operation.as_ref().map(|operation| operation.number), Some(2));
    assert_eq!(
        (told(&status, "Reconciling"), status.phase),
        ("True DataKept".to_owned(), Some(Phase::Archived))
    );
    assert_eq!(told(&status, "Stalled"), "-");
}
