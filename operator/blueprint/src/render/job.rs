//! The job of an item: one Job from the version's template, made such that its result is not lost and it never runs twice; pure.

use super::compile::{Compiled, CompiledJob, compiled_job};
use super::{RenderError, tenants_own};
use crate::baseline::JOB_DISK;
use crate::context::Context;
use crate::decorate;
use crate::kinds::GroupKind;
use crate::object::{Author, Fault};
use serde_json::{Map, Value, json};
use tenantry_checklist::duration;
use tenantry_crds::blueprint::Item;
use tenantry_crds::quantity::Quantity;
use tenantry_crds::version::JobRole;

/// Priority class of the pods of jobs, by which the tenant's own quota leaves them out.
pub const JOB_PRIORITY: &str = "tenantry-job";
/// Label of a Job and its pods with the name of the run.
pub const RUN_LABEL: &str = "tenantry.io/run";
/// Finalizer that keeps a pod until its result is on record.
pub const RESULT_FINALIZER: &str = "tenantry.io/job-result";
/// Environment variable with the name of the run: whoever starts twice under one name does nothing twice.
pub const ATTEMPT_VARIABLE: &str = "TENANTRY_ATTEMPT";

/// A Job without what belongs to one run.
#[derive(Clone, Debug, PartialEq)]
pub struct RenderedJob {
    body: Value,
}

// === impl RenderedJob ===

impl RenderedJob {
    /// Names of the claims whose volumes it mounts.
    pub fn claims(&self) -> impl Iterator<Item = &str> {
        decorate::claims(&self.body, &GroupKind::new("batch/v1", "Job"))
    }

    /// The Job of one run.
    #[must_use]
    pub fn of_run(&self, name: &str) -> Value {
        let mut body = self.body.clone();
        set(&mut body, "/metadata", "name", json!(name));
        for metadata in ["/metadata", "/spec/template/metadata"] {
            if let Some(metadata) = body.pointer_mut(metadata).and_then(Value::as_object_mut) {
                let labels = metadata.entry("labels").or_insert_with(|| json!({}));
                set(labels, "", RUN_LABEL, json!(name));
            }
        }
        let variable = json!({"name": ATTEMPT_VARIABLE, "value": name});
        if let Some(container) =
            body.pointer_mut("/spec/template/spec/containers/0").and_then(Value::as_object_mut)
        {
            let environment = container.entry("env").or_insert_with(|| json!([]));
            environment.as_array_mut().into_iter().for_each(|all| all.insert(0, variable.clone()));
        }
        body
    }
}

fn set(object: &mut Value, pointer: &str, key: &str, value: Value) {
    if let Some(map) = object.pointer_mut(pointer).and_then(Value::as_object_mut) {
        map.insert(key.to_owned(), value);
    }
}

// === impl Compiled ===

impl Compiled {
    /// The job of an item that is none of the blueprint's, such as the export at the end, or why there is none.
    ///
    /// # Errors
    /// When it cannot be rendered.
    pub fn job_of(
        &self,
        item: &Item,
        context: &Context,
    ) -> Result<Result<RenderedJob, &'static str>, RenderError> {
        let Some(action) = &item.job else { return Ok(Err("the item runs no job")) };
        self.render_job(&compiled_job(item, action, &self.specs().version.jobs), context)
    }

    /// The job of an item under an order, or why there is none.
    pub(super) fn render_job(
        &self,
        job: &CompiledJob,
        context: &Context,
    ) -> Result<Result<RenderedJob, &'static str>, RenderError> {
        let Some(origin) = &job.origin else { return Ok(Err("the application version has no such job")) };
        if job.action.role == JobRole::Convert && !context.brings_data() {
            return Ok(Err("the order brings no data along"));
        }
        let failed = |fault: &Fault| self.object_error(origin, fault);
        let mut objects = self.templates().render(origin, &context.for_job(&job.action))?;
        let (Some(mut body), None) = (objects.pop(), objects.pop()) else {
            return Err(failed(&Fault {
                field: "",
                message: "the template of a job gives exactly one object".to_owned(),
                hint: "leave one Job in it; what it needs besides belongs to manifests",
            }));
        };
        let made = tenants_own(&mut body, Author::Application, context);
        let identity = made.map_err(|fault| failed(&fault))?;
        settle(&mut body, &identity.kind, &job.timeout).map_err(|fault| failed(&fault))?;
        Ok(Ok(RenderedJob { body }))
    }
}

/// What a Job must be so that each attempt runs once and its result stays until it is read.
fn settle(body: &mut Value, kind: &GroupKind, timeout: &str) -> Result<(), Fault> {
    let fault = |field, message: &str, hint| Fault { field, message: message.to_owned(), hint };
    if !kind.is("batch", "Job") {
        return Err(fault("kind", &format!("{kind} is no Job"), "write a Job of batch/v1"));
    }
    let seconds = duration::parse(timeout).map_or(1, |timeout| timeout.as_secs().max(1));
    let Some(spec) = body.get_mut("spec").and_then(Value::as_object_mut) else {
        return Err(fault("spec", "the Job has no spec", "describe its pod"));
    };
    // One pod, once: whether there is another attempt is for the checklist to say. Nothing goes by itself.
    for (field, value) in [("backoffLimit", json!(0)), ("parallelism", json!(1)), ("completions", json!(1))] {
        spec.insert(field.to_owned(), value);
    }
    spec.insert("activeDeadlineSeconds".to_owned(), json!(seconds));
    spec.remove("ttlSecondsAfterFinished");
    spec.remove("suspend");
    let Some(template) = spec.get_mut("template").and_then(Value::as_object_mut) else {
        return Err(fault("template", "the Job has no pod template", "describe its pod"));
    };
    let metadata = template.entry("metadata").or_insert_with(|| json!({}));
    if let Some(metadata) = metadata.as_object_mut() {
        metadata.insert("finalizers".to_owned(), json!([RESULT_FINALIZER]));
    }
    let pod = template.get_mut("spec").and_then(Value::as_object_mut);
    let Some(pod) = pod else { return Err(fault("template", "the Job has no pod", "describe its pod")) };
    let volumes = pod.get("volumes").and_then(Value::as_array);
    if volumes.into_iter().flatten().any(|volume| volume.get("ephemeral").is_some()) {
        return Err(fault(
            "ephemeral",
            "the job makes a volume for itself, which the tenant's quota could refuse",
            "mount a claim that a manifest brings, or an emptyDir",
        ));
    }
    pod.insert("restartPolicy".to_owned(), json!("Never"));
    pod.insert("priorityClassName".to_owned(), json!(JOB_PRIORITY));
    match pod.get_mut("containers").and_then(Value::as_array_mut).map(Vec::as_mut_slice) {
        Some([Value::Object(container)]) if too_much_disk(container) => {
            return Err(fault(
                "ephemeral-storage",
                "the job asks for more than 1Gi of ephemeral storage",
                "ask for less, and let it write to a volume",
            ));
        }
        Some([Value::Object(container)]) => message_from_file(container),
        _ => {
            return Err(fault(
                "containers",
                "the pod of a job has exactly one container, whose result counts",
                "move what comes before it to initContainers",
            ));
        }
    }
    Ok(())
}

/// The quota has room for so much and no more, and must never block a job. What is no quantity the API server refuses.
fn too_much_disk(container: &Map<String, Value>) -> bool {
    let asked = |part: &str| {
        let amount = container.get("resources")?.get(part)?.get("ephemeral-storage")?.as_str()?;
        amount.parse::<Quantity>().ok()
    };
    // Whoever sets only a limit asks for as much.
    asked("requests").or_else(|| asked("limits")).is_some_and(|asked| asked > JOB_DISK)
}

/// What a container printed last is no result.
fn message_from_file(container: &mut Map<String, Value>) {
    container.insert("terminationMessagePolicy".to_owned(), json!("File"));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(spec: Value) -> Value {
        json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "verify"}, "spec": spec})
    }

    fn settled(spec: Value) -> Result<Value, String> {
        let mut body = job(spec);
        let kind = GroupKind::new("batch/v1", "Job");
        settle(&mut body, &kind, "15m").map(|()| body).map_err(|fault| fault.message)
    }

    #[test]
    fn a_job_runs_one_pod_once_and_keeps_it() {
        let body = settled(json!({
            "backoffLimit": 6, "ttlSecondsAfterFinished": 5, "suspend": true,
            "template": {"spec": {"restartPolicy": "OnFailure", "containers": [{"name": "a", "env": [{"name": "B"}]}]}},
        }))
        .unwrap();
        assert_eq!(
            body["spec"],
            json!({
                "backoffLimit": 0, "parallelism": 1, "completions": 1, "activeDeadlineSeconds": 900,
                "template": {
                    "metadata": {"finalizers": ["tenantry.io/job-result"]},
                    "spec": {
                        "restartPolicy": "Never", "priorityClassName": "tenantry-job",
                        "containers": [{"name": "a", "env": [{"name": "B"}], "terminationMessagePolicy": "File"}],
                    },
                },
            })
        );
        let mounts = json!([{"name": "a", "persistentVolumeClaim": {"claimName": "archive"}}, {"name": "b", "emptyDir": {}}]);
        let mut with_claim = body.clone();
        with_claim["spec"]["template"]["spec"]["volumes"] = mounts;
        assert_eq!(RenderedJob { body: with_claim }.claims().collect::<Vec<_>>(), ["archive"]);
        let run = RenderedJob { body }.of_run("testing-2-0123456789");
        assert_eq!(run["metadata"]["name"], "testing-2-0123456789");
        assert_eq!(run["metadata"]["labels"], json!({"tenantry.io/run": "testing-2-0123456789"}));
        assert_eq!(run["spec"]["template"]["metadata"]["labels"], run["metadata"]["labels"]);
        assert_eq!(
            run["spec"]["template"]["spec"]["containers"][0]["env"],
            json!([{"name": "TENANTRY_ATTEMPT", "value": "testing-2-0123456789"}, {"name": "B"}])
        );
    }

    #[test]
    fn what_cannot_be_a_job_is_refused() {
        let two = json!({"template": {"spec": {"containers": [{"name": "a"}, {"name": "b"}]}}});
        assert_eq!(
            settled(two).unwrap_err(),
            "the pod of a job has exactly one container, whose result counts"
        );
        let hungry = json!({"name": "a", "resources": {"limits": {"ephemeral-storage": "2Gi"}}});
        let hungry = settled(json!({"template": {"spec": {"containers": [hungry]}}}));
        assert_eq!(hungry.unwrap_err(), "the job asks for more than 1Gi of ephemeral storage");
        let own = json!({"name": "own", "ephemeral": {"volumeClaimTemplate": {"spec": {}}}});
        let own = json!({"template": {"spec": {"containers": [{"name": "a"}], "volumes": [own]}}});
        assert_eq!(
            settled(own).unwrap_err(),
            "the job makes a volume for itself, which the tenant's quota could refuse"
        );
        assert_eq!(settled(json!({})).unwrap_err(), "the Job has no pod template");
        let mut other = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}});
        let fault = settle(&mut other, &GroupKind::new("v1", "Pod"), "15m").unwrap_err();
        assert_eq!(fault.field, "kind");
    }
}
