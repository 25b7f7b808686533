//! The formulas by which an application is sized; pure.
//!
//! A formula is CEL over `inputs` (the customer's business, as doubles), `plan` and `parameters`.

use crate::expression::{Expression, ExpressionError, Variables};
use serde_json::{Value, json};
use tenantry_checklist::sizing::Need;
use tenantry_crds::application::SizingFormulas;
use tenantry_crds::subscription::{BusinessInputs, SizedResource};

/// Formulas of one application.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sizing(pub(crate) Vec<(SizedResource, &'static str, Expression)>);

/// Why a formula has no result.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("sizing.{field}: {error}")]
pub struct SizingError {
    /// Name of the formula, such as `memoryGiB`.
    pub field: &'static str,
    /// What went wrong.
    pub error: ExpressionError,
}

/// The formulas with the names of their fields.
pub(crate) fn formulas(sizing: &SizingFormulas) -> Vec<(SizedResource, &'static str, &str)> {
    [
        (SizedResource::Cpu, "cpu", &sizing.cpu),
        (SizedResource::Memory, "memoryGiB", &sizing.memory_gib),
        (SizedResource::Storage, "storageGiB", &sizing.storage_gib),
        (SizedResource::Bandwidth, "bandwidthMbit", &sizing.bandwidth_mbit),
        (SizedResource::Instances, "instances", &sizing.instances),
    ]
    .into_iter()
    .filter_map(|(resource, field, formula)| Some((resource, field, formula.as_deref()?)))
    .collect()
}

/// The business as expressions read it: every number a double, whether it is stated or not.
pub(crate) fn inputs(inputs: Option<&BusinessInputs>, months: u32) -> Value {
    let none = BusinessInputs::default();
    let inputs = inputs.unwrap_or(&none);
    #[allow(clippy::cast_precision_loss, reason = "the schema bounds inputs far below 2^53")]
    let double = |whole: i64| whole as f64;
    let grown = (1.0 + double(inputs.yearly_growth_percent) / 100.0).powf(f64::from(months) / 12.0);
    json!({
        "namedUsers": double(inputs.named_users),
        "concurrentUsers": double(inputs.concurrent_users),
        "transactionsPerHour": double(inputs.transactions_per_hour),
        "dataGiB": double(inputs.data_gib) * grown,
        "attachmentsGiB": double(inputs.attachments_gib) * grown,
        "yearlyGrowthPercent": double(inputs.yearly_growth_percent),
    })
}

// === impl Sizing ===

impl Sizing {
    /// Whether there is nothing to compute.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What the formulas give for an order, so many months from now, when data and attachments have grown as stated.
    ///
    /// # Errors
    /// The first formula that has no result.
    pub(crate) fn needs(
        &self,
        variables: &Variables,
        business: &BusinessInputs,
        months: u32,
    ) -> Result<Vec<Need>, SizingError> {
        let variables = variables.with("inputs", &inputs(Some(business), months));
        let need = |(resource, field, expression): &(SizedResource, &'static str, Expression)| {
            let amount = expression.number(&variables).map_err(|error| SizingError { field, error })?;
            Ok(Need { resource: *resource, formula: expression.source().to_owned(), amount })
        };
        self.0.iter().map(need).collect()
    }
}
