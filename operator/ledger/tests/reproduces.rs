//! The engine under each profile gives what the other system is known to give.

mod facts;

const FACTS: &str = include_str!("data/billing_vectors.json");

#[test]
fn every_fact_comes_out() {
    let tally = facts::run(FACTS).unwrap();
    assert_eq!(tally.misses, Vec::<String>::new());
    assert_eq!((tally.met, tally.all), (254, 254));
}
