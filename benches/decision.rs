//! One admission without a network: read, decide, patch, answer. Time and allocations, for three sizes of review.
//!
//! `cargo bench --bench decision`

use divan::counter::BytesCount;
use divan::{AllocProfiler, Bencher, black_box};
use otelgate::inject::Pod;

#[path = "../tests/support/review.rs"]
mod review;
#[path = "../tests/support/webhook.rs"]
mod webhook;

use review::{LARGE, SMALL, Size, USUAL};
use webhook::Webhook;

#[global_allocator]
static ALLOCATOR: AllocProfiler = AllocProfiler::system();

const SIZES: [Size; 3] = [SMALL, USUAL, LARGE];

fn main() {
    divan::main();
}

/// What the webhook does between the request's last byte and the answer's first.
#[divan::bench(args = SIZES)]
fn admission(bencher: Bencher<'_, '_>, size: Size) {
    let (webhook, review) = (Webhook::new(), review::review(size));
    bencher.counter(BytesCount::of_str(&review)).bench_local(|| webhook.answer(black_box(review.as_bytes())));
}

/// Of that, reading the pod.
#[divan::bench(args = SIZES)]
fn reading(bencher: Bencher<'_, '_>, size: Size) {
    let pod = review::pod(size).to_string();
    bencher.counter(BytesCount::of_str(&pod)).bench_local(|| Pod::from_json(black_box(&pod)).map(|pod| pod.size));
}

/// The webhook called again, with what it wrote already there.
#[divan::bench(args = SIZES)]
fn second_call(bencher: Bencher<'_, '_>, size: Size) {
    let webhook = Webhook::new();
    let review = review::patched(&review::review(size), &webhook.answer(review::review(size).as_bytes()));
    bencher.counter(BytesCount::of_str(&review)).bench_local(|| webhook.answer(black_box(review.as_bytes())));
}
