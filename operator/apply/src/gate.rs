//! May this process write? Asked before every request and every try; no client, the clock is the implementor's.

use std::time::Duration;

/// Permission to write, as long as it lasts.
pub trait WriteGate: Send + Sync {
    /// How long writing is surely allowed from now; zero when it is not. A request gets no more time than this.
    fn remaining(&self) -> Duration;

    /// Whether writing is allowed now.
    fn may_write(&self) -> bool {
        !self.remaining().is_zero()
    }

    /// Whether the API server confirmed it a moment ago. While it did not, it may just have started and refuse what it will
    /// allow once it has read its roles.
    fn is_fresh(&self) -> bool {
        true
    }
}

/// A gate that is always open: for tools that run alone.
#[derive(Clone, Copy, Debug, Default)]
pub struct Open;

impl WriteGate for Open {
    fn remaining(&self) -> Duration {
        Duration::MAX
    }
}
