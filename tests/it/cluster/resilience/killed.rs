//! A controller that is killed at any of its calls is followed by one that ends in the same state; and the stack deleted
//! while none is there takes everything with it.

use std::time::{Duration, Instant};

use serde_json::Value;

use super::state::{Objects, difference};
use super::{Controller, LEASE, World, stage, tell};
use crate::control_plane::api_proxy::{ApiProxy, Hold};
use crate::control_plane::wait_for;

/// Kills it at each call, and not only at some: `OTELGATE_EVERY_CALL=1 cargo test --test it -- killed_at`.
const EVERY: &str = "OTELGATE_EVERY_CALL";
/// Of which no two have the same parity when they follow each other.
const SOME: usize = 24;
/// Longer than the controller waits for anything before it writes the status.
const QUIET: Duration = Duration::from_secs(18);

#[test]
fn one_that_is_killed_at_any_call_is_followed_by_one_that_ends_the_same() {
    stage(|world| {
        world.ask_for_everything();
        let calm = world.start("calm", ApiProxy::start(world.plane, "calm"));
        let expected = world.wait_for_quiet(&calm, QUIET);
        let calls = calm.proxy.changes(0).len();
        drop(calm);
        world.take_it_all_away();
        let at = chosen(calls, std::env::var_os(EVERY).is_some());
        tell(&format!("{calls} calls change something; killed at {at:?}, and with {EVERY} in the environment at each"));
        let mut never = Vec::new();
        for at in &at {
            let started = Instant::now();
            if !world.killed_at(*at, &expected) {
                never.push(*at);
            }
            tell(&format!("killed at {at}: {} ms", started.elapsed().as_millis()));
        }
        // How often the status is written is another number each time; all else isn't.
        assert!(never.len() * 4 < at.len(), "of {at:?}, {never:?} were never called");
    });
}

/// Every call, or some with the same distance, which is odd: one before the API server has it, the next after.
fn chosen(calls: usize, every: bool) -> Vec<usize> {
    let step = if every { 1 } else { calls.div_ceil(SOME) | 1 };
    (1..=calls).step_by(step).collect()
}

impl World<'_> {
    /// From an empty cluster to an empty cluster. False, when there never was such a call.
    #[track_caller]
    fn killed_at(&self, at: usize, expected: &Objects) -> bool {
        let hold = if at.is_multiple_of(2) { Hold::After(at) } else { Hold::Before(at) };
        let proxy = ApiProxy::start(self.plane, "killed");
        proxy.hold(hold);
        self.ask_for_everything();
        let first = self.start("killed", proxy);
        let came = self.wait_until_held(&first, expected);
        drop(first);
        // As if its time were over.
        self.delete(LEASE);
        let second = self.start("second", ApiProxy::start(self.plane, "second"));
        self.wait_for_state(expected, &second).unwrap_or_else(|error| panic!("{error}"));
        self.stays(expected, &second);
        drop(second);
        self.take_it_all_away();
        came
    }

    /// Until it is held; or until it has nothing more to do, and never was.
    #[track_caller]
    fn wait_until_held(&self, first: &Controller, expected: &Objects) -> bool {
        wait_for("the call", || {
            if first.proxy.wait_until_held(Duration::from_secs(2)) {
                return Some(true);
            }
            difference(expected, &self.objects()).is_empty().then_some(false)
        })
        .unwrap_or_else(|error| panic!("{error}; {}", first.process.log()))
    }

    /// Nothing of it was on its way to something else.
    #[track_caller]
    fn stays(&self, expected: &Objects, second: &Controller) {
        let (mut before, mut since) = (second.proxy.changes(0).len(), Instant::now());
        wait_for("the second one to have nothing to do", || {
            let now = second.proxy.changes(0).len();
            if now != before {
                (before, since) = (now, Instant::now());
            }
            (since.elapsed() > Duration::from_millis(500)).then_some(())
        })
        .unwrap_or_else(|error| panic!("{error}; {}", second.process.log()));
        let differs = difference(expected, &self.objects());
        assert!(differs.is_empty(), "{differs}\n{}", second.process.log());
        let (status, lease) = self.door.call("GET", LEASE, &Value::Null);
        assert_eq!((status, &lease["spec"]["holderIdentity"]), (200, &Value::from("second")));
    }
}
