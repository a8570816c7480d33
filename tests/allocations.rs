//! How often one admission asks for memory: a number that doesn't depend on the machine, and so can be a test.

#![allow(clippy::print_stdout, reason = "the counts are worth reading, not only their verdict")]

use allocation_counter::measure;

#[path = "support/review.rs"]
mod review;
#[path = "support/webhook.rs"]
mod webhook;

use review::{LARGE, SMALL, Size, USUAL};

/// Of one admission of the usual review.
const BUDGET: u64 = 100;

/// Allocations of one admission, once everything that is made once has been made.
fn of_one_admission(size: Size) -> u64 {
    let webhook = webhook::Webhook::new();
    let review = review::review(size);
    webhook.answer(review.as_bytes());
    let counted = measure(|| drop(webhook.answer(review.as_bytes()))).count_total;
    println!("{}: {} bytes, {counted} allocations", size.name, review.len());
    counted
}

#[test]
fn a_usual_admission_keeps_to_its_budget() {
    let length = review::review(USUAL).len();
    assert!((20_500..21_500).contains(&length), "the usual review has {length} bytes, not 21 kB");
    let answer = webhook::Webhook::new().answer(review::review(USUAL).as_bytes());
    assert!(String::from_utf8_lossy(&answer).contains("JSONPatch"), "an admission without a patch costs nothing");
    let allocations = of_one_admission(USUAL);
    assert!(allocations <= BUDGET, "{allocations} allocations, and the budget is {BUDGET}");
}

/// Reading is borrowing: variables that otelgate has nothing to do with cost nothing each.
#[test]
fn allocations_grow_with_containers_and_not_with_variables() {
    let more = Size { variables: 4 * USUAL.variables, ..USUAL };
    let (usual, more) = (of_one_admission(USUAL), of_one_admission(more));
    assert!(more <= usual + usual / 4, "{more} allocations for four times the variables, instead of {usual}");
    assert!(of_one_admission(SMALL) < usual && usual < of_one_admission(LARGE));
}
