//! Who may write. Needs a connection.

use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row};

use super::{Database, in_time};
use crate::DatabaseError;
use crate::dialect::Dialect;

/// Who takes over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leader {
    /// Identity of the process.
    pub holder: String,
    /// UID of the lease it holds.
    pub lease_uid: String,
    /// How often that lease has changed hands.
    pub transitions: i64,
}

/// The takeover that a process writes under.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Epoch(i64);

/// The row that is locked by everybody who writes.
struct Fence {
    epoch: i64,
    last: Leader,
}

impl Database {
    /// Takes over as the one who writes: nothing of an earlier epoch lands from here on. The same process may do so again
    /// and gets a new epoch.
    ///
    /// # Errors
    /// `Superseded` if somebody who held the same lease later than `leader` has been here. The transitions of a lease that
    /// was made anew start from zero, so it is accepted whatever they are.
    pub async fn take_over(&self, leader: &Leader) -> Result<Epoch, DatabaseError> {
        let mut connection = self.writer().await?;
        let epoch = in_time(async {
            let mut transaction = connection.begin().await?;
            let fence = Fence::lock(self.dialect, &mut transaction).await?;
            if fence.last.lease_uid == leader.lease_uid && fence.last.transitions > leader.transitions {
                return Err(DatabaseError::Superseded { by: fence.last.holder });
            }
            let epoch = fence.epoch.saturating_add(1);
            sqlx::query("UPDATE fence SET epoch = $1, holder = $2, lease_uid = $3, transitions = $4")
                .bind(epoch)
                .bind(leader.holder.clone())
                .bind(leader.lease_uid.clone())
                .bind(leader.transitions)
                .execute(&mut *transaction)
                .await?;
            transaction.commit().await?;
            Ok(Epoch(epoch))
        })
        .await?;
        connection.give_back();
        Ok(epoch)
    }
}

/// Asks, in a transaction that writes, whether `epoch` is still the one that may. It stays so until the transaction ends.
pub(crate) async fn hold(
    dialect: Dialect,
    transaction: &mut AnyConnection,
    epoch: Epoch,
) -> Result<(), DatabaseError> {
    let fence = Fence::lock(dialect, transaction).await?;
    if fence.epoch == epoch.0 { Ok(()) } else { Err(DatabaseError::Superseded { by: fence.last.holder }) }
}

impl Fence {
    async fn lock(dialect: Dialect, transaction: &mut AnyConnection) -> Result<Self, sqlx::Error> {
        let row: AnyRow = sqlx::query(dialect.fence()).fetch_one(transaction).await?;
        Ok(Self {
            epoch: row.try_get("epoch")?,
            last: Leader {
                holder: row.try_get("holder")?,
                lease_uid: row.try_get("lease_uid")?,
                transitions: row.try_get("transitions")?,
            },
        })
    }
}
