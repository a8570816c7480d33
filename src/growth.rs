//! How long something takes, by how much there is of it.

use std::time::Duration;

/// Fails where a text sixteen times as large takes much more than sixteen times as long: 256 times, where it grows by the
/// square. A busy machine makes it try more often, and fails nothing.
pub fn assert_linear([small, large]: [String; 2], took: impl Fn(&str) -> Duration) {
    const ROUNDS: usize = 200;
    /// The first of all is slow, and a slow small one looks like little growth.
    const LEAST: usize = 5;
    const LIMIT: f64 = 64.0;
    let (mut fastest, mut growth) = ((Duration::MAX, Duration::MAX), f64::MAX);
    for round in 1..=ROUNDS {
        fastest = (fastest.0.min(took(&small)), fastest.1.min(took(&large)));
        growth = fastest.1.as_secs_f64() / fastest.0.as_secs_f64();
        if round >= LEAST && growth < LIMIT {
            return;
        }
    }
    assert!(growth < LIMIT, "{growth:.0} times");
}
