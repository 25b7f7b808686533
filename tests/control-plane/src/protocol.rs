//! What a test process and its supervisor say to each other: one JSON document per line, requests on the supervisor's
//! standard input, one answer to each on its standard output. The end of the input ends the control plane. Pure data.

use serde::{Deserialize, Serialize};

use crate::home::Paths;
use crate::profile::Profile;
use crate::tools::Toolset;

/// Digest of the sources this build was made from: a supervisor of another build refuses the order.
pub(crate) const SOURCE: &str = env!("TENANTRY_CONTROL_PLANE_SOURCE");

/// The first line a supervisor reads.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Order {
    pub(crate) source: String,
    pub(crate) profile: Profile,
    pub(crate) tools: Toolset,
    /// Play the gateway from the start.
    pub(crate) gateway: bool,
    /// Write the audit log.
    pub(crate) audit: bool,
    /// Make way for other processes.
    pub(crate) makes_way: bool,
}

/// The lines after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Request {
    /// Freeze the API server: connections stay open and nothing answers.
    PauseApiServer,
    /// Let a frozen API server go on.
    ResumeApiServer,
    /// End the API server: connections are refused.
    StopApiServer,
    /// Start an ended API server again, on the same port; answered when it is ready. The controllers start anew with it.
    StartApiServer,
    /// Copy the store, between two of its writes.
    CopyStore,
    /// Put the copy in the place of the store and start everything anew; answered when the API server is ready.
    RestoreStore,
    /// Begin to write the status that a gateway controller would write.
    PlayGateway,
}

/// The answer to the order and to each request.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Answer {
    /// The control plane runs in this directory.
    Ready(Paths),
    /// The request was carried out.
    Done,
    /// It was not, for this reason.
    Failed(String),
    /// The supervisor was built from other sources than the one who gave the order.
    OtherBuild,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_and_answers_are_single_lines_that_read_back() {
        let line = serde_json::to_string(&Request::PauseApiServer).unwrap();
        assert_eq!(line, r#""pause-api-server""#);
        assert_eq!(serde_json::from_str::<Request>(&line).unwrap(), Request::PauseApiServer);
        let answer = serde_json::to_string(&Answer::Failed("first\nsecond".into())).unwrap();
        assert!(!answer.contains('\n'));
        assert!(
            matches!(serde_json::from_str(&answer).unwrap(), Answer::Failed(text) if text == "first\nsecond")
        );
    }
}
