//! The ledger as its users see it: what subscriptions come to, what documents say, and what is refused.

#[cfg(test)]
mod billing;
#[cfg(test)]
mod book;
#[cfg(test)]
mod documents;
#[cfg(test)]
mod dunning;
#[cfg(test)]
mod margin;
#[cfg(test)]
mod payments;
#[cfg(test)]
mod refusals;
#[cfg(test)]
mod runs;
#[cfg(test)]
mod shop;
