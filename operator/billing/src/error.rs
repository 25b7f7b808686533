//! What can go wrong with the books; pure.

use tenantry_journal::DatabaseError;
use tenantry_ledger::refusal::Refusal;

/// Why something was not done. Nothing was written then.
#[derive(Debug, thiserror::Error)]
pub enum BooksError {
    /// The database did not do it.
    #[error(transparent)]
    Database(#[from] DatabaseError),
    /// It cannot be charged.
    #[error("{0}")]
    Refused(Box<Refusal>),
    /// There is no such thing.
    #[error("there is no {what}; list what there is first")]
    Unknown {
        /// What was asked for.
        what: String,
    },
    /// Others wrote to the same account again and again.
    #[error("account {account} was written by others each time it was tried; try again")]
    Contended {
        /// The account.
        account: String,
    },
    /// What is kept cannot be what was written.
    #[error("the books of account {account} are damaged: {reason}; restore the database from a copy")]
    Damaged {
        /// The account.
        account: String,
        /// What is the matter.
        reason: String,
    },
}

impl BooksError {
    /// Whether the same may work later.
    #[must_use]
    pub fn is_outage(&self) -> bool {
        match self {
            Self::Database(error) => error.is_outage(),
            Self::Contended { .. } => true,
            Self::Refused(_) | Self::Unknown { .. } | Self::Damaged { .. } => false,
        }
    }

    /// Whether somebody else writes now.
    #[must_use]
    pub fn is_superseded(&self) -> bool {
        matches!(self, Self::Database(error) if error.is_superseded())
    }
}

impl From<Refusal> for BooksError {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(Box::new(refusal))
    }
}

impl From<sqlx::Error> for BooksError {
    fn from(error: sqlx::Error) -> Self {
        Self::Database(error.into())
    }
}
