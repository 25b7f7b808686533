//! What must be true of every run, as functions over its record; pure.
//!
//! An oracle says what it found wrong. Those in [`history`] look at every revision, those in [`requests`] at what was
//! asked for, those in [`outcome`] compare with runs without a fault, those in [`fencing`] ask who led,
//! [`jobs`] how often work was done, [`suspension`] what is taken away and given back, [`servers`] who has which servers, and
//! [`journal`] what is on record.

pub mod exit;
pub mod fencing;
pub mod history;
pub mod jobs;
pub mod journal;
pub mod outcome;
pub mod plan_change;
pub mod requests;
pub mod servers;
pub mod suspension;
#[cfg(test)]
pub(crate) mod testing;

use std::fmt;

use serde::Serialize;

use crate::history::Record;
use crate::plan::{Fault, Plan, Workload};
use outcome::Reference;

/// Something that is not as it must be.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Finding {
    /// Which oracle, by its number in docs/reliability.md.
    pub oracle: &'static str,
    /// What is wrong.
    pub what: String,
}

// === impl Finding ===

impl Finding {
    pub(crate) fn new(oracle: &'static str, what: impl Into<String>) -> Self {
        Self { oracle, what: what.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.oracle, self.what)
    }
}

/// Asks every oracle.
#[must_use]
pub fn judge(plan: &Plan, record: &Record, reference: Option<&Reference>) -> Vec<Finding> {
    let mut findings = outcome::convergence(record);
    findings.extend(history::isolation_before_access(record));
    findings.extend(history::one_tenant_a_namespace(record));
    findings.extend(history::recorded_before_created(record));
    findings.extend(history::items_wait_for_items(record));
    findings.extend(history::forgotten_after_gone(record));
    findings.extend(history::ready_is_honest(record));
    findings.extend(history::secrets_stay_secret(record));
    findings.extend(jobs::once_and_recorded(record));
    findings.extend(suspension::recorded_before_stopped(record));
    findings.extend(suspension::forgotten_after_given_back(record));
    findings.extend(suspension::suspended_is_honest(record));
    findings.extend(servers::one_tenant_a_server(record));
    findings.extend(journal::recorded_once(record));
    findings.extend(requests::uid_is_named(record));
    findings.extend(requests::deletions_are_of_the_tenant(record));
    findings.extend(requests::others_are_left_alone(record));
    if plan.fault == Fault::TimeTravel {
        findings.extend(outcome::nothing_changed(record));
    } else if let Some(reference) = reference {
        findings.extend(outcome::end_state(record, reference));
        // What was made before the copy of a store was taken is not made after its return.
        if plan.fault != Fault::StoreRestored {
            findings.extend(outcome::made_and_deleted(record, reference));
        }
        findings.extend(outcome::done_is_done(record, plan.workload, reference));
        findings.extend(outcome::late_is_harmless(record));
        findings.extend(outcome::budget(record, reference));
    }
    if plan.fault != Fault::TimeTravel {
        findings.extend(match plan.workload {
            Workload::OffboardDelete => outcome::nothing_is_left(record),
            Workload::ServersLeave => {
                let mut findings = outcome::nothing_is_left(record);
                findings.extend(servers::nothing_leaks(record));
                findings
            }
            Workload::ServersOrder | Workload::ServersMove | Workload::ServersBack => {
                servers::nothing_leaks(record)
            }
            Workload::OffboardExport | Workload::OffboardArchive => {
                let mut findings = outcome::nothing_is_left(record);
                findings.extend(exit::kept_until_a_person_says(record));
                findings.extend(exit::exported_first(record, plan.workload));
                findings
            }
            Workload::PlanUp | Workload::PlanDown => plan_change::room_for_what_stands(record),
            Workload::Suspend => suspension::taken_away(record),
            Workload::Resume => suspension::given_back(record),
            Workload::Provision | Workload::OffboardRetain | Workload::Upgrade | Workload::HandOver => {
                Vec::new()
            }
        });
    }
    findings
}
