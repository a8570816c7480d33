//! One function over many values, by as many threads as there are processors. What it makes of them is in the order of
//! the values, so that nobody can tell how many threads there were.

use std::iter;
use std::num::NonZero;
use std::panic;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

/// What the main thread usually has, so that no value is too deep for one thread and not for another.
const STACK: usize = 8 * 1024 * 1024;

/// As many threads as there are processors, the one that asks included, or as many as the work is worth.
#[must_use]
pub fn threads(worth: usize) -> usize {
    if worth <= 1 { 1 } else { thread::available_parallelism().map_or(1, NonZero::get).min(worth) }
}

/// What the function makes of each value, by so many threads, or as many of them as the system starts.
pub fn map<'a, T: Sync, R: Send>(threads: usize, values: &'a [T], function: impl Fn(&'a T) -> R + Sync) -> Vec<R> {
    if threads <= 1 {
        return values.iter().map(function).collect();
    }
    let next = AtomicUsize::new(0);
    let work = || -> Vec<(usize, R)> {
        let claimed = iter::from_fn(|| {
            let index = next.fetch_add(1, Ordering::Relaxed);
            Some((index, values.get(index)?))
        });
        claimed.map(|(index, value)| (index, function(value))).collect()
    };
    let mut done = thread::scope(|scope| {
        let start = |_| thread::Builder::new().stack_size(STACK).spawn_scoped(scope, work).ok();
        let others: Vec<_> = (1..threads).map_while(start).collect();
        let mut done = work();
        for other in others {
            done.extend(other.join().unwrap_or_else(|panic| panic::resume_unwind(panic)));
        }
        done
    });
    done.sort_unstable_by_key(|(index, _)| *index);
    done.into_iter().map(|(_, result)| result).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;

    use super::*;

    #[test]
    fn results_are_in_the_order_of_the_values() {
        let values: Vec<usize> = (0..1000).collect();
        let doubled: Vec<usize> = values.iter().map(|value| value * 2).collect();
        for threads in [0, 1, 2, 7] {
            assert_eq!(map(threads, &values, |value| value * 2), doubled);
            assert_eq!(map(threads, &values[..1], |value| value * 2), [0]);
            assert_eq!(map(threads, &[], |value: &usize| value * 2), [0; 0]);
        }
    }

    #[test]
    fn so_many_threads_work_at_once() {
        // Nobody passes it alone.
        let all = Barrier::new(3);
        let ids = map(3, &[(); 3], |()| {
            all.wait();
            thread::current().id()
        });
        assert!(ids[0] != ids[1] && ids[1] != ids[2] && ids[0] != ids[2], "{ids:?}");
    }

    #[test]
    fn a_panic_of_one_is_a_panic_of_all() {
        let caught = panic::catch_unwind(|| map(2, &[1, 2, 3], |value| assert!(*value < 3, "three")));
        assert!(caught.is_err());
    }

    #[test]
    fn there_are_no_more_threads_than_the_work_is_worth() {
        assert_eq!([0, 1].map(threads), [1; 2]);
        assert!((1..=2).contains(&threads(2)));
    }
}
