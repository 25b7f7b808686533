//! Compiled definitions, one for each combination of revisions that tenants run; no client or clock.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use tenantry_blueprint::render::Compiled;
use tenantry_checklist::Problem;
use tenantry_checklist::select::Definitions;

/// Combinations kept that nobody holds; more of them only cost memory.
const KEEP_IDLE: usize = 16;

/// Revisions of blueprint, application and version.
type Combination = [String; 3];

/// Compiles definitions once for all tenants that run them.
#[derive(Debug, Default)]
pub(crate) struct Compiler {
    compiled: Mutex<HashMap<Combination, Arc<Compiled>>>,
}

// === impl Compiler ===

impl Compiler {
    /// The compiled form of the selected definitions.
    ///
    /// # Errors
    /// When they do not fit together, although each was accepted on its own.
    pub(crate) fn compile(&self, definitions: &Definitions) -> Result<Arc<Compiled>, Vec<Problem>> {
        let combination = [
            definitions.blueprint.revision.to_string(),
            definitions.application.revision.to_string(),
            definitions.version.revision.to_string(),
        ];
        let mut compiled = self.compiled.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = compiled.get(&combination) {
            return Ok(Arc::clone(found));
        }
        let sources = tenantry_blueprint::context::Specs {
            blueprint: &definitions.blueprint.spec,
            application: &definitions.application.spec,
            version: &definitions.version.spec,
        };
        let new = Arc::new(Compiled::new(sources).map_err(|errors| {
            let problem = |error: tenantry_blueprint::render::CompileError| {
                let [blueprint, _, version] = &combination;
                let message =
                    format!("version {version} and blueprint {blueprint} do not fit together: {error}");
                Problem::new("spec.applicationRef.version", "DefinitionsDoNotFit", message)
            };
            errors.into_iter().map(problem).collect::<Vec<_>>()
        })?);
        if compiled.len() >= KEEP_IDLE {
            compiled.retain(|_, held| Arc::strong_count(held) > 1);
        }
        compiled.insert(combination, Arc::clone(&new));
        Ok(new)
    }
}
