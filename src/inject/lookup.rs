//! Finding by name what a pod may have thousands of, in as many steps as their number has digits: whoever may create a pod
//! chooses how many, and everybody else's pods wait meanwhile. In tests the steps are counted.

use std::cmp::Ordering;

/// Names, to ask for many.
#[derive(Debug)]
pub struct Names<'n>(Vec<&'n str>);

impl<'n> Names<'n> {
    pub fn of(names: impl IntoIterator<Item = &'n str>) -> Self {
        let mut names: Vec<_> = names.into_iter().collect();
        names.sort_unstable_by(|one, other| {
            step();
            one.cmp(other)
        });
        Self(names)
    }

    #[must_use]
    pub fn contains(&self, name: &str) -> bool {
        first(self.0.len(), |at| self.0[at], name).is_some()
    }
}

/// The first place that has that name, of `count` places in the order of their names.
pub fn first<'n>(count: usize, at: impl Fn(usize) -> &'n str, name: &str) -> Option<usize> {
    first_by(count, |place| at(place).cmp(name))
}

/// The same, for a name that stands nowhere as a whole: `order` says how each place compares with it.
pub fn first_by(count: usize, order: impl Fn(usize) -> Ordering) -> Option<usize> {
    let (mut from, mut to) = (0, count);
    while from < to {
        step();
        let middle = from.midpoint(to);
        if order(middle).is_lt() {
            from = middle + 1;
        } else {
            to = middle;
        }
    }
    (from < count && order(from).is_eq()).then_some(from)
}

/// One thing of many was looked at.
#[cfg(not(test))]
pub const fn step() {}

#[cfg(test)]
pub use counted::{step, steps};

#[cfg(test)]
mod counted {
    use std::cell::Cell;

    thread_local! {
        static STEPS: Cell<u64> = const { Cell::new(0) };
    }

    pub fn step() {
        STEPS.set(STEPS.get() + 1);
    }

    /// How many it takes.
    pub fn steps(work: impl FnOnce()) -> u64 {
        let before = STEPS.get();
        work();
        STEPS.get() - before
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_a_name_is_found() {
        let names = ["a", "b", "b", "b", "c"];
        let find = |name: &str| first(names.len(), |at| names[at], name);
        assert_eq!(["", "a", "b", "c", "d"].map(find), [None, Some(0), Some(1), Some(4), None]);
        assert_eq!(first(0, |_| unreachable!(), "a"), None);
        let names = Names::of(["c", "a", "b"]);
        assert_eq!(["a", "b", "c", "d"].map(|name| names.contains(name)), [true, true, true, false]);
    }
}
