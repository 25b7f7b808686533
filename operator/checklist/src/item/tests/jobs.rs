//! Items that are jobs: one run at a time, each under a number of its own, and nothing that is done is done again.

use super::*;
use crate::item::jobs::REFUSALS;
use tenantry_crds::subscription::JobRun;

/// The job of the item `verify`, as the cluster has it.
fn job(name: &str, made: bool) -> JobInput {
    JobInput { name: name.to_owned(), made, ..JobInput::default() }
}

fn ended(name: &str, state: JobState, seconds: i64) -> JobInput {
    let result = JobResult { message: "3 of 4 checks passed".to_owned(), ..JobResult::default() };
    JobInput { ended: Some(JobEnd { state, result, at: at(seconds) }), ..job(name, true) }
}

fn verify(depends_on: &[&str]) -> ItemInput {
    ItemInput {
        kind: Kind::Job,
        category: Category::Testing,
        evidence: Evidence { desired: 1, ..Evidence::default() },
        job: Some(JobInput::default()),
        ..item("verify", depends_on)
    }
}

fn world() -> World {
    World::new(vec![verify(&[])])
}

impl World {
    fn job(&mut self, input: JobInput) {
        self.items.last_mut().unwrap().job = Some(input);
    }

    fn run(&self) -> JobRun {
        self.entry("verify").job.clone().unwrap()
    }
}

#[test]
fn a_run_is_recorded_under_its_number_before_it_is_made_and_counts_by_its_result() {
    let mut world = world();
    assert!(world.pass(0).released.contains("verify"));
    assert_eq!(world.run().name, "verify-1-d1");
    assert_eq!(world.state("verify"), (ItemState::Running, "ObjectsMissing"));
    world.job(job("verify-1-d1", true));
    world.pass(1);
    assert_eq!(world.state("verify"), (ItemState::Running, JOB_RUNNING));
    assert_eq!(world.entry("verify").message, "attempt 1 runs as Job verify-1-d1");
    world.job(ended("verify-1-d1", JobState::Succeeded, 2));
    assert!(!world.pass(3).released.contains("verify"));
    assert_eq!(world.state("verify"), (ItemState::Done, "JobSucceeded"));
    assert_eq!(world.entry("verify").message, "3 of 4 checks passed");
    assert_eq!(world.run().ended_at, Some(time::time(at(2))));
    // What is on record is not asked for again: the Job may be gone by now.
    world.job(JobInput::default());
    world.retry = Some("verify@again".to_owned());
    world.pass(4);
    assert_eq!(world.state("verify"), (ItemState::Done, "JobSucceeded"), "what is done is not done again");
    assert_eq!(world.run().attempt, 1);
}

#[test]
fn a_failed_run_is_tried_again_as_often_as_the_item_says() {
    let mut world = world();
    for attempt in 1..=3 {
        let start = i64::from(attempt) * 100;
        world.pass(start);
        let name = format!("verify-{attempt}-d1");
        assert_eq!((world.run().name, world.run().attempt), (name.clone(), attempt));
        world.job(ended(&name, JobState::Failed, start + 1));
        world.pass(start + 2);
        assert_eq!(world.entry("verify").attempts, attempt);
        assert!(
            world
                .entry("verify")
                .message
                .starts_with(&format!("attempt {attempt} failed: 3 of 4 checks passed"))
        );
        world.pass(start + 90);
        assert_eq!(world.run().attempt, attempt, "its pods are not let go yet");
        world.job(JobInput { let_go: true, ..ended(&name, JobState::Failed, start + 1) });
    }
    world.pass(1000);
    assert_eq!(world.state("verify"), (ItemState::Failed, JOB_FAILED));
    assert!(
        world.entry("verify").message.ends_with("kubectl tenantry retry acme verify"),
        "{}",
        world.entry("verify").message
    );
    world.retry = Some("verify@1".to_owned());
    world.pass(1001);
    assert_eq!((world.run().attempt, world.entry("verify").attempts), (4, 0));
}

#[test]
fn a_failed_run_waits_before_the_next() {
    let mut world = world();
    world.pass(0);
    world.job(JobInput { let_go: true, ..ended("verify-1-d1", JobState::Failed, 1) });
    let evaluation = world.pass(10);
    assert_eq!(world.state("verify"), (ItemState::Running, JOB_FAILED));
    assert_eq!((evaluation.deadline, world.run().attempt), (Some(at(15)), 1));
    world.pass(15);
    assert_eq!(world.run().attempt, 2);
}

#[test]
fn a_clock_that_is_put_back_makes_no_longer_wait() {
    let mut world = world();
    world.pass(10_000);
    world.job(JobInput { let_go: true, ..ended("verify-1-d1", JobState::Failed, 10_001) });
    assert_eq!(world.pass(10_010).deadline, Some(at(10_015)));
    assert_eq!(world.pass(100).deadline, Some(at(105)));
    assert_eq!(world.pass(102).deadline, Some(at(105)), "it is put off no further");
    world.pass(105);
    assert_eq!(world.run().attempt, 2);
}

#[test]
fn a_run_under_way_is_never_cut_off() {
    let mut world = world();
    world.pass(0);
    world.job(job("verify-1-d1", true));
    world.pass(1);
    world.retry = Some("verify@1".to_owned());
    world.pass(2);
    assert_eq!(world.run().name, "verify-1-d1", "a person asks for another");
    world.items[0].input_digest = "d2".to_owned();
    world.pass(3);
    assert_eq!(world.run().name, "verify-1-d1", "the order changed");
    assert_eq!(
        world.entry("verify").message,
        "attempt 1 of an earlier order runs as Job verify-1-d1 and is not cut off"
    );
    world.job(JobInput { let_go: true, ..ended("verify-1-d1", JobState::Succeeded, 4) });
    world.pass(5);
    assert_eq!(world.run().name, "verify-2-d2", "what it found was about the earlier order");
}

#[test]
fn a_changed_order_runs_what_was_done_once_more() {
    let mut world = world();
    world.pass(0);
    world.job(JobInput { let_go: true, ..ended("verify-1-d1", JobState::Succeeded, 1) });
    world.pass(2);
    assert_eq!(world.state("verify").0, ItemState::Done);
    world.items[0].input_digest = "d2".to_owned();
    world.pass(3);
    assert_eq!(world.run().name, "verify-2-d2");
}

#[test]
fn nothing_begins_out_of_turn_or_on_hold() {
    let mut world = World::new(vec![item("application", &[]), verify(&["application"])]);
    world.pass(0);
    assert_eq!(world.state("verify"), (ItemState::Pending, "DependenciesOpen"));
    assert_eq!(world.entry("verify").job, None);
    world.evidence("application", complete());
    world.items[1].hold = Some(Hold::Item("data is not here".to_owned()));
    world.pass(1);
    assert_eq!(world.state("verify"), (ItemState::Waiting, ON_HOLD));
    assert_eq!(world.entry("verify").job, None);
    world.items[1].hold = None;
    world.items[1].job.as_mut().unwrap().waits =
        Some(Waiting { reason: "NotDeclared".to_owned(), message: "state it".to_owned() });
    world.pass(2);
    assert_eq!(world.state("verify"), (ItemState::Waiting, "NotDeclared"));
    world.items[1].job.as_mut().unwrap().waits = None;
    world.pass(3);
    assert_eq!(world.run().attempt, 1);
    // Recorded, and held before it was made.
    world.items[1].hold = Some(Hold::Item("not today".to_owned()));
    assert!(!world.pass(4).released.contains("verify"));
    assert_eq!(world.state("verify"), (ItemState::Waiting, ON_HOLD));
    assert_eq!(world.run().attempt, 1);
}

#[test]
fn a_job_that_is_refused_uses_up_no_attempt_at_what_it_does() {
    let mut world = world();
    world.items[0].retry.attempts = 1;
    world.pass(0);
    let mut now = 1;
    for refused in 1..REFUSALS {
        world.items[0].evidence.failure = refusal(now).failure;
        world.pass(now);
        assert_eq!(world.state("verify"), (ItemState::Running, "QuotaExceeded"));
        assert!(world.entry("verify").message.contains(&format!("refused {refused} of 5 times")));
        assert_eq!(
            (world.entry("verify").attempts, world.run().attempt, world.run().refusals),
            (0, 1, refused)
        );
        // Told again it is the same refusal, also after a restart.
        assert!(!world.pass(now).released.contains("verify"));
        assert_eq!(world.run().refusals, refused);
        now += 100;
    }
    let mut refused = world.clone();
    // Once it is made nothing is left of them, and the one run that it has counts.
    world.items[0].evidence.failure = None;
    world.pass(now);
    world.job(job("verify-1-d1", true));
    world.pass(now);
    assert_eq!((world.entry("verify").attempts, world.run().refusals), (0, 0));
    world.job(ended("verify-1-d1", JobState::Failed, now));
    world.pass(now);
    assert_eq!((world.state("verify"), world.entry("verify").attempts), ((ItemState::Failed, JOB_FAILED), 1));
    // Who is refused too often has failed, until a person asks for more.
    refused.items[0].evidence.failure = refusal(now).failure;
    refused.pass(now);
    assert_eq!(refused.state("verify"), (ItemState::Failed, ATTEMPTS_EXHAUSTED));
    refused.pass(now + 5000);
    assert_eq!((refused.state("verify").0, refused.run().refusals), (ItemState::Failed, REFUSALS));
    refused.retry = Some("verify@again".to_owned());
    assert!(refused.pass(now + 5001).released.contains("verify"));
    assert_eq!((refused.state("verify").0, refused.run().refusals), (ItemState::Running, 0));
}

proptest! {
    /// Whatever happens to the jobs and to the order: numbers only grow, a run begins only when the one before ended and was
    /// let go, and what is done stays on record.
    #[test]
    fn one_run_at_a_time(steps in proptest::collection::vec(0_u8..8, 1..60)) {
        let mut world = world();
        let mut now = 0;
        for step in steps {
            let before = world.entries.first().and_then(|entry| entry.job.clone());
            let name = before.as_ref().map(|run| run.name.clone()).unwrap_or_default();
            let known = world.items[0].job.clone().filter(|input| input.name == name).unwrap_or_else(|| job(&name, false));
            match step {
                0 => world.job(JobInput { made: true, ..known }),
                1 if known.made && known.ended.is_none() => world.job(ended(&name, JobState::Succeeded, now)),
                2 if known.made && known.ended.is_none() => world.job(ended(&name, JobState::Failed, now)),
                3 if known.ended.is_some() => world.job(JobInput { let_go: true, ..known }),
                4 => world.retry = Some(format!("verify@{now}")),
                5 => world.items[0].input_digest = format!("d{}", now % 3),
                6 => world.items[0].hold = world.items[0].hold.take().xor(Some(Hold::Item("no".to_owned()))),
                _ => {}
            }
            now += 7;
            world.pass(now);
            let after = world.entries[0].job.clone();
            match (before, after) {
                (Some(before), Some(after)) if before.name != after.name => {
                    prop_assert!(after.attempt == before.attempt + 1);
                    prop_assert!(after.state == JobState::Running && after.digest == world.items[0].input_digest);
                    prop_assert!(world.items[0].hold.is_none());
                    let input = known_of(&world, &before.name);
                    prop_assert!(input.is_some_and(|input| input.ended.is_some() && input.let_go));
                }
                (Some(before), after) => {
                    let after = after.unwrap();
                    prop_assert!(before.state == JobState::Running || before.state == after.state);
                }
                (None, _) => {}
            }
        }
    }
}

/// What the world knows of a run, if it is the last one that it was told of.
fn known_of(world: &World, name: &str) -> Option<JobInput> {
    world.items[0].job.clone().filter(|input| input.name == name)
}
