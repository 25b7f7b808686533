//! The order: what a tenant shall be, validated; pure, needs neither client nor clock.
//!
//! [`resolve`] is the only way to get an [`Order`], so whatever takes one may rely on every rule checked here.

mod check;

use crate::access::{Namespace, SubscriptionName, TenantId};
use crate::cidr::Cidr;
use crate::due::Dates;
use crate::hosts::{self, Claims, Host};
use crate::select::Definitions;
use crate::{Problem, time};
use jiff::Timestamp;
use serde_json::{Value, json};
use tenantry_crds::TenantSubscriptionSpec;
use tenantry_crds::billing::OrderBilling;
use tenantry_crds::blueprint::Runs;
use tenantry_crds::canonical;
use tenantry_crds::common::Reference;
use tenantry_crds::subscription::{
    ApplicationReference, BusinessInputs, Contact, DataConversion, DeletionPolicy, EndpointStatus, GoLive,
    Hold, MaintenanceWindow, NetworkWishes, Organization, Training, User,
};

/// Hexadecimal digits of an order's digest.
const DIGITS: usize = 32;
/// Letters of a day such as `2026-12-01`.
const DAY: usize = 10;
/// Longest spec that a status can hold beside the record of objects (the CRD's bound, in bytes of JSON). An object of
/// Kubernetes may have 1.5 MiB.
const SPEC_LIMIT: usize = 384 * 1024;

/// What an order is resolved from.
#[derive(Clone, Copy, Debug)]
pub struct OrderInput<'a> {
    /// Name of the subscription.
    pub name: &'a str,
    /// UID of the subscription.
    pub uid: &'a str,
    /// What was ordered.
    pub spec: &'a TenantSubscriptionSpec,
    /// The definitions that apply.
    pub definitions: &'a Definitions,
    /// Identity of the tenant.
    pub tenant_id: &'a TenantId,
    /// Who holds which host names, this subscription included.
    pub claims: &'a Claims,
    /// Host names recorded for this subscription in its status.
    pub recorded_hosts: &'a [String],
}

/// A valid order.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Order {
    /// Name of the subscription.
    pub name: SubscriptionName,
    /// UID of the subscription.
    pub uid: String,
    /// Identity of the tenant.
    pub tenant_id: TenantId,
    /// Namespace of everything the tenant has.
    pub namespace: Namespace,
    /// Company that ordered.
    pub organization: Organization,
    /// People to speak to.
    pub contacts: Vec<Contact>,
    /// People who use the application.
    pub users: Vec<User>,
    /// Host names, the main one first, each once.
    pub hosts: Vec<Host>,
    /// Host names to record in the status: those of the order and all that were recorded before.
    pub recorded_hosts: Vec<String>,
    /// Address ranges that may reach the application, each once; none means everybody may.
    pub allow_from: Vec<Cidr>,
    /// The customer's choices with the schema's defaults filled in.
    pub parameters: Value,
    /// The customer's business, by which the application is sized.
    pub inputs: Option<BusinessInputs>,
    /// Who is trained.
    pub training: Training,
    /// Data that is brought along from the system before.
    pub data_conversion: Option<DataConversion>,
    /// When what interrupts the service may begin.
    pub maintenance_windows: Vec<MaintenanceWindow>,
    /// Who pays, and from when on.
    pub billing: Option<OrderBilling>,
    /// Beginning of the day for which going live is planned.
    pub target: Option<Timestamp>,
    /// Time before which the route stays closed.
    pub not_before: Option<Timestamp>,
    /// Items that wait for a person's word.
    pub holds: Vec<Hold>,
    /// What happens to the tenant's objects when the subscription is deleted.
    pub deletion_policy: DeletionPolicy,
    /// Whether deleting the subscription is refused.
    pub deletion_protection: bool,
    /// The definitions that apply.
    pub definitions: Definitions,
    /// The spec as it was ordered, as JSON.
    pub spec: String,
    /// Digest of everything that objects are rendered from; equal digests give equal objects.
    pub digest: String,
}

/// Validates an order against the definitions it refers to.
///
/// # Errors
/// Every problem found, in the order of the fields, each with its field, its reason and the remedy.
pub fn resolve(input: &OrderInput<'_>) -> Result<Order, Vec<Problem>> {
    let checked = check::check(input)?;
    let check::Checked { name, hosts, allow_from, parameters, target } = checked;
    let text = text(input.spec)?;
    let OrderInput { name: _, uid, spec, definitions, tenant_id, claims: _, recorded_hosts } = *input;
    let mut order = Order {
        namespace: name.namespace(),
        name,
        uid: uid.to_owned(),
        tenant_id: tenant_id.clone(),
        organization: spec.organization.clone(),
        contacts: spec.contacts.clone(),
        users: spec.users.clone(),
        recorded_hosts: hosts::recorded(recorded_hosts, &hosts),
        hosts,
        allow_from,
        parameters,
        inputs: spec.inputs.clone(),
        training: spec.training.clone(),
        data_conversion: spec.data_conversion.clone(),
        maintenance_windows: spec.maintenance_windows.clone(),
        billing: spec.billing.clone(),
        target,
        not_before: spec.go_live.not_before.as_ref().map(time::instant),
        holds: spec.holds.clone(),
        deletion_policy: spec.deletion_policy,
        deletion_protection: spec.deletion_protection,
        definitions: definitions.clone(),
        spec: text,
        digest: String::new(),
    };
    order.digest = order.compute_digest();
    Ok(order)
}

/// The spec as JSON, when a status can hold it.
fn text(spec: &TenantSubscriptionSpec) -> Result<String, Vec<Problem>> {
    let problem = |message: String| vec![Problem::new("spec", "OrderTooLarge", message)];
    let text = serde_json::to_string(spec).map_err(|error| problem(error.to_string()))?;
    if text.len() > SPEC_LIMIT {
        return Err(problem(format!(
            "has {} bytes of JSON and may have {SPEC_LIMIT}; shorten the parameters or the list of users",
            text.len()
        )));
    }
    Ok(text)
}

// === impl Order ===

impl Order {
    /// The spec with every value in the form that was validated: defaults of parameters filled in, host names as they are
    /// claimed, address ranges as they are enforced. Templates and expressions read this one.
    #[must_use]
    pub fn effective_spec(&self) -> TenantSubscriptionSpec {
        let Definitions { plan, application, version, .. } = &self.definitions;
        TenantSubscriptionSpec {
            organization: self.organization.clone(),
            contacts: self.contacts.clone(),
            plan_ref: Reference { name: plan.revision.name().to_owned() },
            application_ref: ApplicationReference {
                name: application.revision.name().to_owned(),
                version: version.spec.version.clone(),
            },
            parameters: self.parameters.clone(),
            inputs: self.inputs.clone(),
            users: self.users.clone(),
            network: NetworkWishes {
                hosts: self.hosts.iter().map(ToString::to_string).collect(),
                allow_from: self.allow_from.iter().map(ToString::to_string).collect(),
            },
            training: self.training.clone(),
            data_conversion: self.data_conversion.clone(),
            maintenance_windows: self.maintenance_windows.clone(),
            go_live: GoLive {
                target_date: self.target.map(|target| target.to_string().chars().take(DAY).collect()),
                not_before: self.not_before.map(time::time),
            },
            billing: self.billing.clone(),
            holds: self.holds.clone(),
            deletion_policy: self.deletion_policy,
            deletion_protection: self.deletion_protection,
        }
    }

    /// Where the application answers once the tenant is live: the first host that is no wildcard, for each endpoint.
    #[must_use]
    pub fn endpoints(&self) -> Vec<EndpointStatus> {
        let Some(host) = self.hosts.iter().find(|host| !host.is_wildcard()) else { return Vec::new() };
        let endpoints = &self.definitions.version.spec.endpoints;
        let url = format!("https://{host}");
        endpoints.iter().map(|e| EndpointStatus { name: e.name.clone(), url: url.clone() }).collect()
    }

    /// The times that its items refer to, when the subscription was made at `ordered`. An order without a planned day is
    /// planned for the time at which it opens at the earliest.
    #[must_use]
    pub fn dates(&self, ordered: Timestamp) -> Dates {
        Dates { ordered, target: self.target.or(self.not_before), not_before: self.not_before }
    }

    /// As much of the order as a signature or the result of a job is about. People and dates change often and are no part of
    /// it.
    #[must_use]
    pub fn subject(&self, runs: Runs) -> Value {
        let spec = self.effective_spec();
        match runs {
            Runs::Once => json!({}),
            Runs::EveryUpgrade => json!({"application": spec.application_ref}),
            Runs::OnChange => {
                let mut whole = json!({
                    "organization": spec.organization,
                    "plan": spec.plan_ref,
                    "application": spec.application_ref,
                    "parameters": spec.parameters,
                    "inputs": spec.inputs,
                    "network": spec.network,
                    "training": spec.training,
                });
                // Left out where there is none, so that what was signed before there was such a field stays signed.
                if let (Some(whole), Some(data)) = (whole.as_object_mut(), spec.data_conversion) {
                    whole.insert("dataConversion".to_owned(), json!(data));
                }
                whole
            }
        }
    }

    /// Whether everything is the same, also what no object is rendered from.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        self.digest == other.digest && self.holds == other.holds && self.spec == other.spec
    }

    /// What becomes of the tenant at its end, which items wait and who pays renders nothing and is left out.
    fn compute_digest(&self) -> String {
        let accepted = self.definitions.accepted();
        let spec = TenantSubscriptionSpec {
            deletion_policy: DeletionPolicy::default(),
            deletion_protection: true,
            holds: Vec::new(),
            billing: None,
            ..self.effective_spec()
        };
        let whole = json!({
            "tenant": [self.uid, self.tenant_id.as_str(), self.namespace.as_str()],
            "spec": spec,
            "definitions": [accepted.plan, accepted.application, accepted.version, accepted.blueprint],
        });
        canonical::digest(&whole, DIGITS)
    }
}

#[cfg(test)]
mod tests;
