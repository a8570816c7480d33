//! What the controller costs in a cluster of 5,000 nodes, each with a Collector and an Agent, and 100,000 opted-in pods:
//! memory, processor time and calls at rest, while kubelets write and in a rollout, and how soon it has found 1,000 pods
//! that were missed. First with Collectors of somebody else's, then with its own, from the trial of the first to the
//! rollout of the second revision.
//!
//! The cluster is a server that lists and watches as an API server does.
//!
//! `cargo bench --bench scale`

#![allow(clippy::print_stdout, clippy::panic, reason = "a bench prints its table, and has nobody to tell but its user")]

use std::thread;
use std::time::{Duration, Instant};

mod support;

use support::scale::{
    BUDGET, NAMESPACES, NODES, PODS, Run, STACKS, everywhere, everywhere_with_agents, managed, metrics_of_a_collector,
    prepare, runs_one, stack,
};
use support::{daemon_sets, free_port, scale};

const MISSED: usize = 1_000;
/// As kubelets of that many pods write in a second, on a day without a rollout.
const CHANGES_A_SECOND: usize = 100;
/// Collectors that a rollout replaces in a second.
const ROLLED_A_SECOND: usize = 50;
const WHILE: Duration = Duration::from_mins(1);

fn main() {
    if !support::is_asked_for() {
        return;
    }
    adopted();
    own();
}

fn memory(run: &Run, when: &str) {
    let (now, most, own) = run.controller.memory();
    println!("{when}: {now:.1} MiB resident, {own:.1} of them no code, {most:.1} at most; the budget is {BUDGET}");
}

fn over_a_while(run: &Run, what: &str, during: impl FnOnce()) {
    let (cpu, calls, begun) = (run.controller.cpu(), run.cluster.requests(), Instant::now());
    during();
    let seconds = begun.elapsed().as_secs_f64();
    let now = run.cluster.requests();
    let a_minute = |before: usize, now: usize| f64::from(u32::try_from(now - before).expect("few")) * 60.0 / seconds;
    println!(
        "{what}: {:.2}% of a processor, {:.0} calls a minute, {:.0} of them watches",
        100.0 * run.controller.cpu().saturating_sub(cpu).as_secs_f64() / seconds,
        a_minute(calls.0, now.0),
        a_minute(calls.1, now.1),
    );
    memory(run, "then");
}

fn adopted() {
    let port = free_port();
    metrics_of_a_collector(port);
    let run = Run::start(true, |cluster| prepare(cluster, &scale::adopted(port)));
    let cluster = &run.cluster;
    run.wait(everywhere_with_agents);
    println!("{NODES} nodes with a Collector and an Agent each, {PODS} opted-in pods in {NAMESPACES} namespaces");
    println!("all judged after {:.1} s", run.started.elapsed().as_secs_f64());
    memory(&run, "then");

    over_a_while(&run, "at rest", || thread::sleep(WHILE));
    over_a_while(&run, &format!("{CHANGES_A_SECOND} changes of pods a second"), || {
        paced(CHANGES_A_SECOND, |change| cluster.touch(change * 7_919));
    });
    over_a_while(&run, &format!("a rollout, {ROLLED_A_SECOND} Collectors a second"), || {
        paced(ROLLED_A_SECOND, |change| cluster.roll(change));
    });

    let (before, begun) = (cluster.requests().0, Instant::now());
    cluster.miss(MISSED);
    run.wait(|_| run.missed() == MISSED);
    println!(
        "{MISSED} missed pods found after {:.1} s, with {} calls",
        begun.elapsed().as_secs_f64(),
        cluster.requests().0 - before
    );
    memory(&run, "then");
}

fn own() {
    metrics_of_a_collector(otelgate::collector::port::METRICS.number);
    let run = Run::start(false, |cluster| {
        prepare(cluster, &managed(1));
        daemon_sets::keep(cluster, ROLLED_A_SECOND * 10);
    });
    println!("the same with Collectors of the controller's own");
    over_a_while(&run, "until each node has one, the first trial included", || run.wait(everywhere));
    println!("that took {:.0} s", run.started.elapsed().as_secs_f64());
    over_a_while(&run, "at rest", || thread::sleep(WHILE));
    let before = run.status()["collector"]["revision"].clone();
    over_a_while(&run, "a rollout, its trial included", || {
        run.cluster.put(STACKS, "", "default", stack(&managed(2), 2, &run.status()));
        run.wait(|status| status["collector"]["revision"] != before && everywhere(status) && runs_one(&run.cluster));
    });
}

/// Does something so many times a second, for a while.
fn paced(a_second: usize, each: impl Fn(usize)) {
    let begun = Instant::now();
    for change in 0.. {
        let due = Duration::from_secs(1) * u32::try_from(change).expect("few") / u32::try_from(a_second).expect("few");
        if due > WHILE {
            break;
        }
        thread::sleep(due.saturating_sub(begun.elapsed()));
        each(change);
    }
}
