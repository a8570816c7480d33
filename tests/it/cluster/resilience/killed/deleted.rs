//! The stack is deleted while the controller is at work for it: nothing is left and nothing hangs, with the controller
//! there, with another one, and with none.

use std::time::{Duration, Instant};

use super::super::state::Objects;
use super::super::{Controller, LEASE, REGISTRATION, REGISTRATIONS, STACK, World, tell};
use crate::control_plane::api_proxy::Hold;
use crate::control_plane::wait_for;

/// Of what is there without it.
const KEPT: &str = "mutatingwebhookconfigurations/otelgate";

impl World<'_> {
    /// Nobody is killed. Tells of how many calls it would have been.
    #[track_caller]
    pub fn deleted_at_work(&self, controller: Controller) -> usize {
        let from = controller.proxy.count();
        self.undo_all_but_owners(0);
        wait_for("its first call", || (!controller.proxy.changes(from).is_empty()).then_some(()))
            .unwrap_or_else(|error| panic!("{error}; {}", controller.process.log()));
        self.delete(&format!("{STACK}/default"));
        self.wait_until_nothing_is_left(Some(&controller));
        let calls = controller.proxy.changes(from).len();
        drop(controller);
        self.leave_as_it_was();
        calls
    }

    /// With one of its calls on its way: that one comes through after the stack has gone, or never.
    #[track_caller]
    pub fn deleted_at(&self, life: usize, at: usize, controller: Controller) {
        let started = Instant::now();
        controller.proxy.hold(Hold::Before(at));
        self.undo_all_but_owners(life);
        let held = controller.proxy.wait_until_held(Duration::from_secs(5));
        self.delete(&format!("{STACK}/default"));
        let comes_through = held && at.is_multiple_of(2);
        if comes_through {
            controller.proxy.let_in();
            wait_for("it to come through", || controller.proxy.wait_until_held(Duration::from_secs(2)).then_some(()))
                .unwrap_or_else(|error| panic!("{error}; {}", controller.process.log()));
        }
        drop(controller);
        let another = ((life / 2 + life) % 2 == 1).then(|| self.next());
        self.wait_until_nothing_is_left(another.as_ref());
        tell(&format!(
            "the stack is deleted with call {at} on its way{}{}, and followed by {}: {} ms",
            if held { "" } else { ", which was never made" },
            if comes_through { ", which comes through" } else { "" },
            if another.is_some() { "another controller" } else { "none" },
            started.elapsed().as_millis()
        ));
        drop(another);
        self.leave_as_it_was();
    }

    /// Of the set; and what is there of it then isn't made again by anybody.
    #[track_caller]
    fn wait_until_nothing_is_left(&self, controller: Option<&Controller>) {
        let log = || controller.map(|controller| controller.process.log()).unwrap_or_default();
        let (mut left, mut since) = (Objects::new(), Instant::now());
        wait_for("nothing to be left", || {
            left = self.objects();
            left.remove(KEPT);
            if !left.is_empty() {
                since = Instant::now();
            }
            (left.is_empty() && since.elapsed() > Duration::from_millis(500)).then_some(())
        })
        .unwrap_or_else(|error| panic!("{error}: {left:#?}; {}", log()));
    }

    fn leave_as_it_was(&self) {
        self.delete(LEASE);
        self.delete(&format!("{REGISTRATIONS}/{REGISTRATION}"));
    }
}
