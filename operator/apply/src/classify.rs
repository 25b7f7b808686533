//! What the API server's refusals mean: one pure function, table-tested; reads kube's error type, makes no request.

use std::time::Duration;

use kube::core::Status;

/// Longest message, as events and conditions bound it.
pub const MAX_MESSAGE: usize = 1024;

/// What a failed request means for the object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// Another manager owns a field and we did not force.
    FieldConflict,
    /// Somebody wrote at the same moment: try again soon.
    Contention,
    /// The object is not the one that was meant, by uid or resource version: plan again.
    Precondition,
    /// An object of that name exists.
    AlreadyExists,
    /// An object of that name exists and it is not ours: a person has to decide.
    NameConflict,
    /// A field that cannot be changed would have to be.
    Immutable,
    /// The object is not valid: nothing changes until its intent does.
    Invalid,
    /// The namespace's quota has no room.
    QuotaExceeded,
    /// The namespace is ending: wait for its end.
    NamespaceTerminating,
    /// A role or an admission policy refuses it.
    Forbidden,
    /// The API server refuses it without having read every role that we are bound to, as it does in the first moments after
    /// its start: that says nothing about our rights.
    RolesUnread,
    /// The cluster does not serve the kind.
    KindMissing,
    /// The object is not there.
    NotFound,
    /// The namespace is not there.
    NamespaceMissing,
    /// The server asks for patience.
    Throttled,
    /// No answer, or none that tells whether it happened: look, then plan again.
    Unknown,
    /// The credentials were not accepted.
    Unauthorized,
    /// We may not write: another leader does, or this one is stopping.
    NotLeader,
    /// Not attempted because something it depends on failed, or the record does not hold it.
    Skipped,
}

/// A failed request, in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// What it means.
    pub verdict: Verdict,
    /// What happened and what to do about it, at most [`MAX_MESSAGE`] bytes.
    pub message: String,
    /// How long the server asked to wait.
    pub retry_after: Option<Duration>,
}

// === impl Verdict ===

impl Verdict {
    /// Whether it counts as an attempt: the server understood and refused. A busy or absent server, a lost connection
    /// and a race with another writer say nothing about the effect.
    #[must_use]
    pub fn is_definitive(self) -> bool {
        match self {
            Self::FieldConflict
            | Self::NameConflict
            | Self::Immutable
            | Self::Invalid
            | Self::QuotaExceeded
            | Self::Forbidden
            | Self::KindMissing => true,
            Self::Contention
            | Self::Precondition
            | Self::AlreadyExists
            | Self::NamespaceTerminating
            | Self::NotFound
            | Self::NamespaceMissing
            | Self::Throttled
            | Self::Unknown
            | Self::Unauthorized
            | Self::RolesUnread
            | Self::NotLeader
            | Self::Skipped => false,
        }
    }

    /// CamelCase name, for a condition's reason and a metric label.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::FieldConflict => "FieldConflict",
            Self::Contention => "Contention",
            Self::Precondition => "Precondition",
            Self::AlreadyExists => "AlreadyExists",
            Self::NameConflict => "NameConflict",
            Self::Immutable => "Immutable",
            Self::Invalid => "Invalid",
            Self::QuotaExceeded => "QuotaExceeded",
            Self::NamespaceTerminating => "NamespaceTerminating",
            Self::Forbidden => "Forbidden",
            Self::RolesUnread => "RolesUnread",
            Self::KindMissing => "KindMissing",
            Self::NotFound => "NotFound",
            Self::NamespaceMissing => "NamespaceMissing",
            Self::Throttled => "Throttled",
            Self::Unknown => "Unknown",
            Self::Unauthorized => "Unauthorized",
            Self::NotLeader => "NotLeader",
            Self::Skipped => "Skipped",
        }
    }

    /// What a person can do about it; empty where nobody has to.
    #[must_use]
    pub fn remedy(self) -> &'static str {
        match self {
            Self::FieldConflict => "remove the field from the other manager or from the manifest",
            Self::NameConflict => "rename or remove the object of that name, which Tenantry did not create",
            Self::Immutable => "give the object a new name in the manifest, or delete the old one yourself",
            Self::Invalid => "correct the manifest of this object",
            Self::QuotaExceeded => "raise the plan's quota or lower what the application asks for",
            Self::Forbidden => "grant Tenantry the right named here, or change the policy that refuses it",
            Self::RolesUnread => "if it lasts, apply what `tenantry manifests rbac` prints",
            Self::KindMissing => "install the definition of this kind, or mark the manifest optional",
            Self::Unauthorized => "check the credentials Tenantry runs with",
            Self::Contention
            | Self::Precondition
            | Self::AlreadyExists
            | Self::NamespaceTerminating
            | Self::NotFound
            | Self::NamespaceMissing
            | Self::Throttled
            | Self::Unknown
            | Self::NotLeader
            | Self::Skipped => "",
        }
    }
}

// === impl Failure ===

impl Failure {
    /// From a verdict and what happened; adds the remedy and cuts to length.
    #[must_use]
    pub fn new(verdict: Verdict, what: &str) -> Self {
        let remedy = verdict.remedy();
        if remedy.is_empty() {
            return Self { verdict, message: cut(what, MAX_MESSAGE).to_owned(), retry_after: None };
        }
        let room = MAX_MESSAGE - remedy.len() - 2;
        let message = format!("{}: {remedy}", cut(what, room));
        Self { verdict, message, retry_after: None }
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

/// Judges an error of a request for one object. `is_fresh` says whether the API server was known to work for us a moment
/// before, see [`crate::gate::WriteGate::is_fresh`].
#[must_use]
pub fn classify(error: &kube::Error, is_fresh: bool) -> Failure {
    let kube::Error::Api(status) = error else {
        return Failure::new(Verdict::Unknown, &format!("no usable answer from the API server: {error}"));
    };
    let verdict = match verdict(status) {
        Verdict::Forbidden if !is_fresh => Verdict::RolesUnread,
        verdict => verdict,
    };
    let mut failure = Failure::new(verdict, &describe(status));
    failure.retry_after = status
        .details
        .as_ref()
        .map(|details| u64::from(details.retry_after_seconds))
        .filter(|seconds| *seconds > 0)
        .map(Duration::from_secs);
    failure
}

fn verdict(status: &Status) -> Verdict {
    // By reason where there is one; a proxy on the way may answer with a code and a page of text.
    match (status.reason.as_str(), status.code) {
        ("AlreadyExists", _) => Verdict::AlreadyExists,
        ("Conflict", _) => conflict(status),
        ("Invalid", _) => invalid(status),
        ("BadRequest" | "RequestEntityTooLarge" | "UnsupportedMediaType" | "MethodNotAllowed", _) => {
            Verdict::Invalid
        }
        ("Forbidden", _) => forbidden(status),
        ("NotFound", _) => not_found(status),
        ("TooManyRequests", _) => Verdict::Throttled,
        ("Unauthorized", _) => Verdict::Unauthorized,
        ("InternalError" | "ServerTimeout" | "Timeout" | "ServiceUnavailable", _) => Verdict::Unknown,
        (_, 401) => Verdict::Unauthorized,
        (_, 403) => forbidden(status),
        (_, 404) => not_found(status),
        (_, 409) => conflict(status),
        (_, 422) => invalid(status),
        (_, 429) => Verdict::Throttled,
        (_, 400 | 405 | 406 | 413 | 415) => Verdict::Invalid,
        _ => Verdict::Unknown,
    }
}

fn conflict(status: &Status) -> Verdict {
    if has_cause(status, "FieldManagerConflict") {
        Verdict::FieldConflict
    } else if has_cause(status, "NamespaceTerminating") {
        Verdict::NamespaceTerminating
    } else if status.message.contains("recondition") || status.message.contains("uid mismatch") {
        Verdict::Precondition
    } else {
        Verdict::Contention
    }
}

fn invalid(status: &Status) -> Verdict {
    let says = |text: &str| status.message.contains(text);
    let causes = status.details.as_ref().map(|details| details.causes.as_slice()).unwrap_or_default();
    // An apply that names another object's uid: the object of that name is not the one that was meant.
    let about_uid = causes.iter().any(|cause| cause.field == "metadata.uid") || says("metadata.uid:");
    if about_uid {
        Verdict::Precondition
    } else if [
        "field is immutable",
        "is immutable after creation",
        "updates to",
        "may not be changed",
        "cannot change",
    ]
    .iter()
    .any(|text| says(text))
    {
        Verdict::Immutable
    } else {
        Verdict::Invalid
    }
}

fn forbidden(status: &Status) -> Verdict {
    if has_cause(status, "NamespaceTerminating") || status.message.contains("because it is being terminated")
    {
        Verdict::NamespaceTerminating
    } else if status.message.contains("exceeded quota") || status.message.contains("status unknown for quota")
    {
        Verdict::QuotaExceeded
    } else if lacks_roles(&status.message) {
        Verdict::RolesUnread
    } else {
        Verdict::Forbidden
    }
}

/// Whether the authorizer says that it did not find a role that somebody is bound to, when it judged a request or what a role
/// binding would give away.
fn lacks_roles(message: &str) -> bool {
    ["RBAC: ", "resolution errors: "]
        .iter()
        .any(|before| message.split_once(before).is_some_and(|(_, errors)| errors.contains("not found")))
}

fn not_found(status: &Status) -> Verdict {
    let about = status.details.as_ref().map(|details| details.kind.as_str()).unwrap_or_default();
    if about == "namespaces" || status.message.starts_with("namespaces ") {
        Verdict::NamespaceMissing
    } else if status.details.as_ref().is_none_or(|details| details.name.is_empty()) {
        // The path itself is unknown: "the server could not find the requested resource".
        Verdict::KindMissing
    } else {
        Verdict::NotFound
    }
}

fn has_cause(status: &Status, reason: &str) -> bool {
    status.details.as_ref().is_some_and(|details| details.causes.iter().any(|cause| cause.reason == reason))
}

fn describe(status: &Status) -> String {
    if status.message.is_empty() {
        return format!("the API server answered {} without a reason", status.code);
    }
    status.message.clone()
}

fn cut(text: &str, length: usize) -> &str {
    text.get(..text.floor_char_boundary(length)).unwrap_or(text)
}

#[cfg(test)]
mod tests;
