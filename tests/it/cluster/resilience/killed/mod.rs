//! A controller that is killed at any of its calls is followed by one that ends in the same state, whatever it was at.
//!
//! A `TelemetryStack` lives from nothing to nothing through every one of the [`stages`]. In a first life nobody is killed:
//! it shows where each stage ends, and how many calls it takes. In each of the others the controller is killed once in
//! every stage, at one call after the other.

mod deleted;
mod hands;
mod stages;

use std::time::{Duration, Instant};

use self::stages::{STAGES, Stage};
use super::state::{Objects, difference};
use super::{Controller, LEASE, STACK_DEFAULT, World, stage, tell};
use crate::control_plane::api_proxy::{ApiProxy, Hold};
use crate::control_plane::{datadog_operator, wait_for};

/// Kills it at each call, and not only at some: `OTELGATE_EVERY_CALL=1 cargo test --test it -- killed_at`.
const EVERY: &str = "OTELGATE_EVERY_CALL";
/// So many clusters at once, then: most of the time is waited for trials.
const WORLDS: usize = 4;
/// In which it is killed, else.
const LIVES: usize = 2;
/// How seldom the status is compared, which a new leader leaves as it was until it has looked.
const STATUS_EVERY: usize = 3;
/// Longer than the controller waits for anything before it writes the status.
const QUIET: Duration = Duration::from_secs(18);
/// Longer than it takes from one step to the next, where it's known what the last one is.
const STILL: Duration = Duration::from_secs(4);

#[test]
fn one_that_is_killed_at_any_call_is_followed_by_one_that_ends_the_same() {
    let every = std::env::var_os(EVERY).is_some();
    let worlds = if every { WORLDS } else { 1 };
    std::thread::scope(|scope| {
        for number in 0..worlds {
            scope.spawn(move || stage(|world| world.lives(every, |life| life % worlds == number)));
        }
    });
}

/// What a stage came to.
struct Shown {
    objects: Objects,
    calls: usize,
}

/// One in which it is killed.
struct Life<'l> {
    number: usize,
    /// With one for the deletion, at last.
    calm: &'l [Shown],
    /// Of each stage: at which call.
    at: &'l [Option<usize>],
}

/// Every call; or one in each part of them, so that neighbouring stages and lives differ in whether the API server has it.
fn chosen(stage: usize, calls: usize, every: bool) -> Vec<usize> {
    if every {
        return (1..=calls).collect();
    }
    let middle = |life: usize| calls * (2 * life + 1) / (2 * LIVES);
    (0..LIVES).map(|life| (middle(life) & !1) + (stage + life) % 2).map(|at| at.clamp(1, calls)).collect()
}

fn hold(at: usize) -> Hold {
    if at.is_multiple_of(2) { Hold::After(at) } else { Hold::Before(at) }
}

impl World<'_> {
    /// Those of all lives that are this world's.
    #[track_caller]
    fn lives(&self, every: bool, is_ours: impl Fn(usize) -> bool) {
        datadog_operator::define_kinds(self.plane, &["datadogagents"]).unwrap_or_else(|error| panic!("{error}"));
        self.nodes.play_operator();
        let calm = self.calm_life();
        let kills: Vec<_> = calm.iter().enumerate().map(|(stage, shown)| chosen(stage, shown.calls, every)).collect();
        let lives = kills.iter().map(Vec::len).max().unwrap_or_default();
        tell(&format!("{lives} lives, each with a kill in every stage; with {EVERY} in the environment at each call"));
        let (mut all, mut never) = (0, Vec::new());
        for number in (0..lives).filter(|life| is_ours(*life)) {
            let at: Vec<_> = kills.iter().map(|kills| kills.get(number).copied()).collect();
            all += at.iter().flatten().count();
            never.extend(self.life(&Life { number, calm: &calm, at: &at }));
        }
        // How often the status is written is another number each time; all else isn't.
        assert!(never.len() * 4 < all, "of {all} calls, {never:?} were never made");
    }

    /// Of the deletion, nothing but its calls is told.
    #[track_caller]
    fn calm_life(&self) -> Vec<Shown> {
        let controller = self.next();
        let mut shown = Vec::<Shown>::new();
        for stage in STAGES {
            let from = controller.proxy.count();
            (stage.act)(self, 0);
            let made = shown.first().map(|made| &made.objects);
            let objects = self.wait_until_over(stage, made, &controller);
            let calls = controller.proxy.changes(from).len();
            tell(&format!("{}: {calls} calls that change something", stage.name));
            shown.push(Shown { objects, calls });
        }
        let calls = self.deleted_at_work(controller);
        tell(&format!("the stack is deleted at work: of {calls} calls that change something"));
        shown.push(Shown { objects: Objects::new(), calls });
        shown
    }

    #[track_caller]
    fn wait_until_over(&self, stage: &Stage, made: Option<&Objects>, controller: &Controller) -> Objects {
        let Some(made) = made else { return self.wait_for_quiet(controller, QUIET) };
        let (mut now, mut since) = (Objects::new(), Instant::now());
        wait_for(stage.name, || {
            let before = std::mem::replace(&mut now, self.objects());
            if before != now {
                since = Instant::now();
            }
            ((stage.is_over)(&now, made) && since.elapsed() > STILL).then_some(())
        })
        .unwrap_or_else(|error| panic!("{error}: {}{}", difference(made, &now), controller.process.log()));
        now
    }

    /// From an empty cluster to an empty cluster. Tells of which stages there never was such a call.
    #[track_caller]
    fn life(&self, life: &Life<'_>) -> Vec<(&'static str, usize)> {
        let mut never = Vec::new();
        let mut controller = self.next();
        for (number, ((stage, shown), at)) in STAGES.iter().zip(life.calm).zip(life.at).enumerate() {
            let started = Instant::now();
            if let Some(at) = *at {
                controller.proxy.hold(hold(at));
            }
            (stage.act)(self, life.number);
            if let Some(at) = *at {
                if !self.wait_until_held(&controller, &shown.objects) {
                    never.push((stage.name, at));
                }
                drop(controller);
                controller = self.next();
            }
            let with_status = (number + life.number).is_multiple_of(STATUS_EVERY);
            self.ends_as(&shown.objects, with_status, &controller).unwrap_or_else(|error| {
                panic!("{}, killed at {at:?}: {error}\n{}", stage.name, controller.process.log())
            });
            tell(&format!("{}, killed at {at:?}: {} ms", stage.name, started.elapsed().as_millis()));
        }
        if let Some(Some(at)) = life.at.last() {
            self.deleted_at(life.number, *at, controller);
        } else {
            self.deleted_at_work(controller);
        }
        never
    }

    /// As if the time of the one before were over.
    #[track_caller]
    fn next(&self) -> Controller {
        self.delete(LEASE);
        let controller = self.start("next", ApiProxy::start(self.plane, "next"));
        self.wait_until_it_leads("next", &controller);
        controller
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

    /// Everything is as it should be, and nothing of it is on its way to something else. What the leader before wrote into
    /// the status stands for ten seconds; it needn't be waited for each time.
    fn ends_as(&self, expected: &Objects, with_status: bool, controller: &Controller) -> Result<(), String> {
        let differs = || {
            let mut now = self.objects();
            if let (false, Some(expected), Some(stack)) =
                (with_status, expected.get(STACK_DEFAULT), now.get_mut(STACK_DEFAULT))
            {
                stack["status"] = expected["status"].clone();
            }
            difference(expected, &now)
        };
        let mut told = String::new();
        wait_for("everything to be as it should be", || {
            // Twice: the pods are read before it is known whether the controllers of their owners have acted.
            told = Some(differs()).filter(|told| !told.is_empty()).unwrap_or_else(differs);
            told.is_empty().then_some(())
        })
        .map_err(|error| format!("{error}: {told}"))?;
        let (mut before, mut since) = (controller.proxy.changes(0).len(), Instant::now());
        wait_for("the controller to have nothing to do", || {
            let now = controller.proxy.changes(0).len();
            if now != before {
                (before, since) = (now, Instant::now());
            }
            (since.elapsed() > Duration::from_millis(500)).then_some(())
        })?;
        told = differs();
        let lease = self.get(LEASE);
        if told.is_empty() && lease["spec"]["holderIdentity"] == "next" {
            Ok(())
        } else {
            Err(format!("it doesn't stay so: {told}{lease:#}"))
        }
    }
}
