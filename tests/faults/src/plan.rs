//! What is to be disturbed, where and how: one JSON document that can be repeated; pure.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::site::{Place, Verb};

/// How far a watch lags behind. More than everything takes that waits for an event.
const LAG: Duration = Duration::from_millis(1500);
/// How far a clock jumps: further than everything that is timed. Seconds.
pub(crate) const HOUR: i64 = 3600;
/// How often the start of a watch is refused: once less and it would never be built anew from a list.
const REFUSED_STARTS: u32 = 3;

/// One run with at most one fault.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// What the customer does.
    pub workload: Workload,
    /// The request that is disturbed; none for a run without a fault.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<Place>,
    /// What happens to it.
    #[serde(default)]
    pub fault: Fault,
}

/// What the customer does while the fault strikes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Workload {
    /// Orders a tenant.
    Provision,
    /// Deletes a subscription whose policy is Delete.
    OffboardDelete,
    /// Deletes a subscription whose policy is Retain.
    OffboardRetain,
    /// Deletes a subscription whose policy is `ExportThenDelete`: its data is exported and kept, until a person ends that.
    OffboardExport,
    /// Deletes a subscription whose policy is Archive: it is stopped and its data kept, until a person ends that.
    OffboardArchive,
    /// Moves a tenant to a version that drops a field and an object, changes others and brings a new one.
    Upgrade,
    /// Moves a tenant to a plan that gives more of most things and less of one.
    PlanUp,
    /// Moves it back.
    PlanDown,
    /// Hands a tenant over that is ready: its data is converted on trial, which fails its count once, and for good, its
    /// acceptance test fails once, its people are trained, and it is opened.
    HandOver,
    /// Suspends a live tenant whose web servers somebody else has scaled: nobody gets in, and nothing runs.
    Suspend,
    /// Lifts the suspension of such a tenant, which gets back what it had.
    Resume,
    /// Orders a tenant with a server of its own.
    ServersOrder,
    /// Moves a tenant that shares servers to one of its own.
    ServersMove,
    /// Moves it back; its server is cleaned by a person and is nobody's again.
    ServersBack,
    /// Deletes the subscription of a tenant with a server of its own, which is cleaned and nobody's again.
    ServersLeave,
}

/// What happens to a request.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Fault {
    /// Nothing.
    #[default]
    None,
    /// The controller is killed while the request is under way; it never arrives.
    CrashBefore,
    /// The request takes effect and the controller is killed before it hears of it.
    CrashAfter,
    /// The request takes effect and the connection breaks instead of an answer.
    ReplyLost,
    /// The connection breaks before the request arrives.
    RequestLost,
    /// The request takes effect and no answer ever comes.
    BlackHole,
    /// Somebody else changes the object at the same moment, so that its resource version is another.
    Rival,
    /// The server refuses without doing anything.
    Refused {
        /// HTTP status.
        code: u16,
        /// Reason of the Status object.
        reason: String,
        /// What the server says.
        message: String,
        /// How long the server asks to wait.
        #[serde(default)]
        retry_after_seconds: u32,
    },
    /// The request takes effect and the answer is an error.
    Denied {
        /// HTTP status.
        code: u16,
        /// Reason of the Status object.
        reason: String,
    },
    /// The request arrives twice; the client hears the second answer.
    Redelivered,
    /// The wall clock of the controller, and nobody else's, jumps while the request is under way; without a request,
    /// while there is nothing to do.
    ClockJump {
        /// Seconds, negative for the past.
        seconds: i64,
    },
    /// From this event on a watch is delayed for a while.
    WatchDelayed,
    /// This event and what follows for a while is missed; then the server says that the watch is too old.
    WatchMissed,
    /// The connection breaks in the middle of this event.
    WatchTorn,
    /// The watch ends at this event, and is refused when it is started again, several times.
    WatchRefused {
        /// HTTP status.
        code: u16,
        /// Reason of the Status object.
        reason: String,
    },
    /// From this event on nothing comes any more, and the connection stays open.
    WatchSilent,
    /// The event is followed by one that tells of the same object as if it were new.
    WatchRepeated,
    /// The controller is restarted at the beginning, and the second page of this list has expired.
    PagesExpired,
    /// The API server is away for so long, from before the request.
    Outage {
        /// Seconds.
        seconds: u64,
    },
    /// The controller is killed while the request is under way; a successor finishes the work, and then the request
    /// arrives.
    Late,
    /// The store is copied just before this request; when everything is done the copy takes its place, so that its
    /// revision goes back, and nobody tells the controller.
    StoreRestored,
    /// After everything is over and the customer has ordered anew under the same name, the controller is restarted and
    /// its lists and watches show the world as it was just before this request.
    TimeTravel,
}

/// What the proxy does with one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Act {
    /// Passes it on and passes the answer back.
    Forward,
    /// Breaks the connection.
    Drop,
    /// Kills the controller, passes nothing on.
    Kill,
    /// Passes it on; when it took effect, does this instead of passing the answer back.
    ForwardThen(After),
    /// Answers itself.
    Answer(Refusal),
    /// Lets a rival change the object first, then passes it on.
    RivalThenForward,
    /// Passes it on twice and passes the second answer back.
    Twice,
    /// Lets the controller's clock jump by so many seconds, then passes it on.
    JumpThenForward(i64),
    /// Passes it on when the plan's run says so.
    WaitThenForward,
    /// Notes the present revision, then passes it on.
    NoteThenForward,
    /// Kills the controller, and passes it on when the plan's run says so.
    KillThenForwardLate,
}

/// What the proxy does when a request took effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum After {
    /// Kills the controller.
    Kill,
    /// Breaks the connection.
    Drop,
    /// Keeps the connection open and silent.
    Hang,
    /// Answers with an error.
    Answer(Refusal),
}

/// What the proxy does with a watch at one of its events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WatchAct {
    /// Holds it and what follows back for so long.
    Delay(Duration),
    /// Swallows it and what follows for so long, then says that the watch is too old.
    Miss(Duration),
    /// Breaks the connection inside of it.
    Tear,
    /// Ends the watch.
    End,
    /// Sends nothing any more.
    Silence,
    /// Repeats it as if the object were new.
    Repeat,
}

/// An error that the proxy answers with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// HTTP status.
    pub code: u16,
    /// Reason of the Status object.
    pub reason: String,
    /// What the server says.
    pub message: String,
    /// How long the server asks to wait.
    pub retry_after_seconds: u32,
}

// === impl Fault ===

impl Fault {
    /// Its number in the catalogue of docs/reliability.md.
    #[must_use]
    pub fn id(&self) -> &'static str {
        match self {
            Self::None => "none",
            Self::CrashBefore => "F1",
            Self::CrashAfter => "F2",
            Self::ReplyLost => "F3",
            Self::RequestLost => "F4",
            Self::BlackHole => "F5",
            Self::Rival => "F6",
            Self::Refused { code: 429, .. } => "F7",
            Self::Refused { code: 403, .. } => "F10",
            Self::Refused { message, .. } if message.contains("webhook") => "F21",
            Self::Refused { .. } => "F8",
            Self::Denied { .. } => "F9",
            Self::Redelivered => "F23",
            Self::ClockJump { .. } => "F22",
            Self::WatchMissed => "F11",
            Self::WatchDelayed => "F12",
            Self::WatchTorn => "F13",
            Self::WatchRefused { .. } => "F14",
            Self::WatchSilent => "F15",
            Self::PagesExpired => "F16",
            Self::TimeTravel => "F17",
            Self::WatchRepeated => "F18",
            Self::StoreRestored => "F19",
            Self::Outage { .. } => "F20",
            Self::Late => "F24",
        }
    }

    /// Whether it ends the controller, which then has to be started again.
    #[must_use]
    pub fn is_crash(&self) -> bool {
        matches!(self, Self::CrashBefore | Self::CrashAfter | Self::Late)
    }

    /// Whether it strikes a watch.
    #[must_use]
    pub fn is_of_a_watch(&self) -> bool {
        Self::of_watches().contains(self)
    }

    /// Those of the gate, for every write.
    pub const GATE: [Self; 4] = [Self::CrashBefore, Self::CrashAfter, Self::ReplyLost, Self::Late];

    /// All that can strike a write.
    #[must_use]
    pub fn of_writes() -> Vec<Self> {
        let refused = |code, reason: &str, message: &str, retry_after_seconds| Self::Refused {
            code,
            reason: reason.to_owned(),
            message: message.to_owned(),
            retry_after_seconds,
        };
        let denied = |code, reason: &str| Self::Denied { code, reason: reason.to_owned() };
        let webhook = "failed calling webhook \"policy.example\": connection refused";
        let mut faults = Self::GATE.to_vec();
        faults.extend([
            Self::RequestLost,
            Self::BlackHole,
            Self::Rival,
            refused(429, "TooManyRequests", "too many requests", 1),
            refused(429, "TooManyRequests", "too many requests", 3600),
            refused(500, "InternalError", "the store does not answer", 0),
            denied(503, "ServiceUnavailable"),
            denied(504, "Timeout"),
            refused(403, "Forbidden", "the rights were taken away for a moment", 0),
            refused(500, "InternalError", webhook, 0),
            Self::Redelivered,
            Self::ClockJump { seconds: HOUR },
            Self::ClockJump { seconds: -HOUR },
            Self::Outage { seconds: 3 },
        ]);
        faults
    }

    /// All that can strike a read of one object.
    #[must_use]
    pub fn of_reads() -> Vec<Self> {
        let message = "the store does not answer".to_owned();
        let refused =
            Self::Refused { code: 500, reason: "InternalError".to_owned(), message, retry_after_seconds: 0 };
        vec![Self::RequestLost, refused, Self::BlackHole]
    }

    /// All that can strike a list.
    #[must_use]
    pub fn of_lists() -> Vec<Self> {
        let mut faults = Self::of_reads();
        faults.push(Self::PagesExpired);
        faults
    }

    /// All that can strike a watch.
    #[must_use]
    pub fn of_watches() -> Vec<Self> {
        let refused = |code, reason: &str| Self::WatchRefused { code, reason: reason.to_owned() };
        vec![
            Self::WatchMissed,
            Self::WatchDelayed,
            Self::WatchTorn,
            refused(410, "Expired"),
            refused(500, "InternalError"),
            refused(403, "Forbidden"),
            Self::WatchRepeated,
        ]
    }

    /// What the proxy does with the request that is meant.
    #[must_use]
    pub fn act(&self) -> Act {
        match self {
            Self::None => Act::Forward,
            Self::CrashBefore => Act::Kill,
            Self::CrashAfter => Act::ForwardThen(After::Kill),
            Self::ReplyLost => Act::ForwardThen(After::Drop),
            Self::RequestLost => Act::Drop,
            Self::BlackHole => Act::ForwardThen(After::Hang),
            Self::Rival => Act::RivalThenForward,
            Self::Refused { code, reason, message, retry_after_seconds } => Act::Answer(Refusal {
                code: *code,
                reason: reason.clone(),
                message: message.clone(),
                retry_after_seconds: *retry_after_seconds,
            }),
            Self::Denied { code, reason } => Act::ForwardThen(After::Answer(Refusal {
                code: *code,
                reason: reason.clone(),
                message: "the answer was lost inside the API server".to_owned(),
                retry_after_seconds: 0,
            })),
            Self::Redelivered => Act::Twice,
            Self::ClockJump { seconds } => Act::JumpThenForward(*seconds),
            Self::TimeTravel => Act::NoteThenForward,
            Self::Late => Act::KillThenForwardLate,
            Self::StoreRestored => Act::WaitThenForward,
            Self::Outage { .. } => Act::Drop,
            Self::WatchDelayed
            | Self::WatchMissed
            | Self::WatchTorn
            | Self::WatchRefused { .. }
            | Self::WatchSilent
            | Self::WatchRepeated
            | Self::PagesExpired => Act::Forward,
        }
    }

    /// What the proxy does with the watch that is meant, at the event that is meant.
    #[must_use]
    pub fn watch_act(&self) -> Option<WatchAct> {
        Some(match self {
            Self::WatchDelayed => WatchAct::Delay(LAG),
            Self::WatchMissed => WatchAct::Miss(LAG),
            Self::WatchTorn => WatchAct::Tear,
            Self::WatchRefused { .. } => WatchAct::End,
            Self::WatchSilent => WatchAct::Silence,
            Self::WatchRepeated => WatchAct::Repeat,
            _ => return None,
        })
    }

    /// How often and how a watch is refused that is started again.
    #[must_use]
    pub fn refused_starts(&self) -> Option<(u32, Refusal)> {
        let Self::WatchRefused { code, reason } = self else { return None };
        let message = "the watch cannot be started".to_owned();
        let refusal = Refusal { code: *code, reason: reason.clone(), message, retry_after_seconds: 0 };
        Some((REFUSED_STARTS, refusal))
    }
}

// === impl Refusal ===

impl Refusal {
    /// What a server says of a page, or of a watch, that is too old.
    #[must_use]
    pub fn expired() -> Self {
        let message = "the provided continue parameter is too old".to_owned();
        Self { code: 410, reason: "Expired".to_owned(), message, retry_after_seconds: 0 }
    }
}

// === impl Plan ===

impl Plan {
    /// A run without a fault.
    #[must_use]
    pub fn reference(workload: Workload) -> Self {
        Self { workload, at: None, fault: Fault::None }
    }

    /// Whether the controller is restarted at the beginning: it lists only then, and only then is given another clock.
    #[must_use]
    pub fn needs_restart(&self) -> bool {
        let watches = |at: &Place| at.site.verb == Verb::Watch || at.site.is_of_a_watch();
        self.jump().is_some() || self.at.as_ref().is_some_and(watches)
    }

    /// How long the API server is away, where the plan says so.
    #[must_use]
    pub fn outage(&self) -> Option<std::time::Duration> {
        match self.fault {
            Fault::Outage { seconds } => Some(std::time::Duration::from_secs(seconds)),
            _ => None,
        }
    }

    /// How far the controller's clock jumps.
    #[must_use]
    pub fn jump(&self) -> Option<i64> {
        match self.fault {
            Fault::ClockJump { seconds } => Some(seconds),
            _ => None,
        }
    }

    /// Whether the fault can strike this verb at all: a rival needs an object that exists, a second delivery a write.
    #[must_use]
    pub fn is_possible(&self) -> bool {
        let Some(at) = &self.at else {
            return matches!(self.fault, Fault::None | Fault::ClockJump { .. });
        };
        match self.fault {
            Fault::Rival => matches!(at.site.verb, Verb::Apply | Verb::Patch | Verb::Update | Verb::Delete),
            Fault::Redelivered => at.site.verb.is_write(),
            // A list of nothing has no second page.
            Fault::PagesExpired => {
                at.site.verb == Verb::List && !self.workload.is_watched_late(&at.site.resource)
            }
            _ if self.fault.watch_act().is_some() => at.site.verb == Verb::Watch,
            _ => true,
        }
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.workload, self.fault.id())?;
        match &self.at {
            Some(at) => write!(f, " at {at}"),
            None if self.fault == Fault::None => Ok(()),
            None => f.write_str(" at rest"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_reads_back() {
        let text = r#"{"workload":"offboard-delete","at":"delete namespaces tenant-{name} #1","fault":{"kind":"crash-after"}}"#;
        let plan: Plan = serde_json::from_str(text).unwrap();
        assert_eq!(serde_json::to_string(&plan).unwrap(), text);
        assert_eq!(plan.to_string(), "offboard-delete F2 at delete namespaces tenant-{name} #1");
        assert!(
            serde_json::from_str::<Plan>(r#"{"workload":"provision","fault":{"kind":"nonsense"}}"#).is_err()
        );
    }

    #[test]
    fn faults_that_make_no_sense_are_not_possible() {
        let plan =
            |at: &str, fault| Plan { workload: Workload::Provision, at: Some(at.parse().unwrap()), fault };
        assert!(!plan("create configmaps a/b #1", Fault::Rival).is_possible());
        assert!(plan("apply configmaps a/b #1", Fault::Rival).is_possible());
        assert!(!plan("get configmaps a/b #1", Fault::Redelivered).is_possible());
        assert!(Plan::reference(Workload::Upgrade).is_possible());
        let at_rest = |fault| Plan { workload: Workload::Provision, at: None, fault };
        assert!(at_rest(Fault::ClockJump { seconds: HOUR }).is_possible());
        assert!(!at_rest(Fault::ReplyLost).is_possible(), "no request, no reply");
    }
}
