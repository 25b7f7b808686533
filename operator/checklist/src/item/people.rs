//! What an item waits for from people: signatures, confirmations, holds and due times; pure.

use super::evaluate::{Finding, History, Pass};
use super::{
    CONFIRMATION_MISSING, Hold, JOURNAL_UNAVAILABLE, ON_HOLD, PAUSED, SIGN_OFF_LAPSED, SIGN_OFF_MISSING,
    SIGN_OFF_UNPROVEN, SUSPENDED, SignatureInput,
};
use crate::sign_off::Standing;
use crate::text::party;
use crate::time;
use jiff::Timestamp;
use tenantry_crds::blueprint::Party;
use tenantry_crds::subscription::{ItemState, SignOffRequest, Signature};

// === impl Pass ===

impl Pass<'_> {
    /// The finding for an item that is somebody's signature. One that was given counts once it is the item's turn, and
    /// goes on counting whatever becomes of the items before it.
    pub(super) fn sign_off(&self, history: History) -> Finding {
        let given = match self.item.signature.as_ref().map(|signature| &signature.standing) {
            Some(Standing::Given(signature)) => Some(signature),
            _ => None,
        };
        let in_turn = history.started.is_some() || self.open.is_empty();
        match given {
            Some(signature) if in_turn => {
                let kept = History { started: history.started.or(Some(self.now)), ..history };
                Finding::new(ItemState::Done, "SignedOff", self.noted(signed(signature)), kept)
            }
            _ => self.held(history).unwrap_or_else(|| {
                let history = History { started: history.started.or(Some(self.now)), ..history };
                let (reason, message) = self.asks(SIGN_OFF_MISSING, "sign-off");
                Finding::new(ItemState::Waiting, reason, message, history)
            }),
        }
    }

    /// The finding with the confirmation that the item asks for: what is done otherwise waits for it.
    pub(super) fn confirmed(&self, finding: Finding) -> Finding {
        let Some(signature) = &self.item.signature else { return finding };
        if finding.state != ItemState::Done || self.item.kind == super::Kind::SignOff {
            return finding;
        }
        match &signature.standing {
            Standing::Given(signature) => {
                let message = match finding.message.as_str() {
                    "" => signed(signature),
                    before => format!("{before}; {}", signed(signature)),
                };
                Finding { message, ..finding }
            }
            _ => {
                let (_, message) = self.asks(CONFIRMATION_MISSING, "confirmation");
                Finding {
                    state: ItemState::Waiting,
                    reason: CONFIRMATION_MISSING.to_owned(),
                    message,
                    ..finding
                }
            }
        }
    }

    /// Whom the item waits for, and the command that helps. `missing` is the reason while nobody signed.
    fn asks(&self, missing: &'static str, what: &str) -> (&'static str, String) {
        let Some(SignatureInput { wanted, standing }) = &self.item.signature else {
            return (missing, String::new());
        };
        let proof = if wanted.evidence_required { " --document FILE" } else { "" };
        let command = format!("kubectl tenantry sign-off {} {}{proof}", self.subscription, self.item.name);
        let party = party(wanted.party);
        let (reason, message) = match standing {
            Standing::Missing | Standing::Given(_) => {
                (missing, format!("the {party}'s {what} is missing: {command}"))
            }
            Standing::Lapsed(before) => {
                let message = format!(
                    "{}, and what was signed has changed since; the {party} signs again: {command}",
                    signed(before)
                );
                (SIGN_OFF_LAPSED, message)
            }
            Standing::Unproven(before) => {
                let message = format!("{} without proof, which is asked for: {command}", signed(before));
                (SIGN_OFF_UNPROVEN, message)
            }
        };
        (reason, self.noted(message))
    }

    /// A message after what the item found out.
    fn noted(&self, message: String) -> String {
        match &self.item.note {
            None => message,
            Some(note) => format!("{note}; {message}"),
        }
    }

    /// Who has to act: who signs, while a signature is what the item waits for.
    pub(super) fn waits_for(&self, reason: &str) -> Party {
        let is_signature =
            [SIGN_OFF_MISSING, SIGN_OFF_LAPSED, SIGN_OFF_UNPROVEN, CONFIRMATION_MISSING].contains(&reason);
        let signer = self.item.signature.as_ref().filter(|_| is_signature);
        signer.map_or(self.item.owner, |signature| signature.wanted.party)
    }

    /// When the item should be done, while it is not.
    pub(super) fn due(&self, state: ItemState) -> Option<Timestamp> {
        let open = !matches!(state, ItemState::Done | ItemState::Skipped);
        self.item.due.filter(|_| open).map(time::whole)
    }
}

// === impl SignatureInput ===

impl SignatureInput {
    /// What an entry says of it.
    pub(super) fn request(&self) -> SignOffRequest {
        let signature = match &self.standing {
            Standing::Given(signature) => Some(signature.clone()),
            Standing::Missing | Standing::Unproven(_) | Standing::Lapsed(_) => None,
        };
        SignOffRequest {
            party: self.wanted.party,
            order_digest: self.wanted.digest.clone(),
            evidence_required: self.wanted.evidence_required,
            signature,
        }
    }
}

// === impl Hold ===

impl Hold {
    /// Reason and message of an item that it holds.
    pub(super) fn told(&self, subscription: &str) -> (&'static str, String) {
        match self {
            Self::Item(why) => (ON_HOLD, format!("on hold: {why}; take it from spec.holds to go on")),
            Self::Subscription(why) => {
                (PAUSED, format!("paused: {why}; go on with kubectl tenantry unpause {subscription}"))
            }
            Self::Suspension(why) => (SUSPENDED, format!("opens when the suspension is lifted: {why}")),
            Self::Journal => {
                let message = "so much waits for the journal that nothing new begins; see to the controller's database, and \
                               it goes on by itself";
                (JOURNAL_UNAVAILABLE, message.to_owned())
            }
        }
    }
}

fn signed(signature: &Signature) -> String {
    let carried = signature.via.as_ref().map(|via| format!(", carried by {via},")).unwrap_or_default();
    format!("signed by {}{carried} on {}", signature.by, time::readable(time::instant(&signature.at)))
}
