//! The size that the controller is made for: 5,000 nodes, a Collector and an Agent on each, and 100,000 pods, as a server
//! lists them. `many_pods` has a tenth of that in a real API server, and `cargo bench --bench scale` the figures.

use std::thread;
use std::time::Duration;

use crate::benches::free_port;
use crate::benches::scale::{BUDGET, Run, adopted, everywhere_with_agents, metrics_of_a_collector, prepare};

const MISSED: usize = 1_000;
const LOOK: Duration = Duration::from_secs(30);
/// In so long; they are some 55, most of them watches that begin anew.
const CALLS_AT_REST: usize = 100;

#[test]
#[expect(clippy::print_stdout, reason = "the figures are worth reading, not only their verdict")]
fn all_of_it_is_judged_in_the_memory_that_there_is_for_it() {
    let port = free_port();
    metrics_of_a_collector(port);
    let run = Run::start(true, |cluster| prepare(cluster, &adopted(port)));
    run.wait(everywhere_with_agents);
    let (before, _) = run.cluster.requests();
    println!("all judged after {:.0} s, with {before} calls", run.started.elapsed().as_secs_f64());
    // As an adopted Agent's pods become known, they are left out, and all pods are listed once more.
    let mut looks = Vec::new();
    while looks.last().is_none_or(|calls| *calls >= CALLS_AT_REST) {
        assert!(looks.len() < 10, "no rest; calls in each {LOOK:?}: {looks:?}");
        looks.push(calls_in(&run, LOOK));
    }
    let (before, _) = run.cluster.requests();
    run.cluster.miss(MISSED);
    run.wait(|_| run.missed() == MISSED);
    let calls = run.cluster.requests().0 - before;
    let (_, most, own) = run.controller.memory();
    println!(
        "{own:.1} MiB beside its code, {most:.1} MiB with it at most, and {calls} calls until {MISSED} missed pods were found"
    );
    assert!(own < f64::from(BUDGET), "{own:.1} MiB");
    // Of a few at a time, each is looked at by itself, and its owner.
    assert!(calls < 3 * MISSED, "{calls} calls");
}

fn calls_in(run: &Run, time: Duration) -> usize {
    let before = run.cluster.requests().0;
    thread::sleep(time);
    run.cluster.requests().0 - before
}
