//! The size that the controller is made for, with Collectors of its own on every node: 5,000 nodes and 100,000 pods as a
//! server lists them. `many_pods` has a tenth of that in a real API server, and `cargo bench --bench scale` the figures.

use crate::benches::daemon_sets;
use crate::benches::scale::{BUDGET, NODES, Run, everywhere, managed, metrics_of_a_collector, prepare};
use crate::control_plane::network::Network;

const MISSED: usize = 1_000;
/// Of the Collectors' metrics, where they can't be chosen.
const METRICS: u16 = 8888;

#[test]
#[expect(clippy::print_stdout, reason = "the figures are worth reading, not only their verdict")]
fn all_of_it_is_judged_in_the_memory_that_there_is_for_it() {
    let network = Network::new().unwrap_or_else(|error| panic!("{error}"));
    network.inside(|| {
        metrics_of_a_collector(METRICS);
        let run = Run::start(false, |cluster| {
            prepare(cluster, &managed(1));
            daemon_sets::keep(cluster, NODES);
        });
        run.wait(everywhere);
        let (before, _) = run.cluster.requests();
        run.cluster.miss(MISSED);
        run.wait(|_| run.missed() == MISSED);
        let calls = run.cluster.requests().0 - before;
        let (_, _, own) = run.controller.memory();
        println!("{own:.1} MiB beside its code, and {calls} calls until {MISSED} missed pods were found");
        assert!(own < f64::from(BUDGET), "{own:.1} MiB");
        // Of a few at a time, each is looked at by itself, and its owner.
        assert!(calls < 3 * MISSED, "{calls} calls");
    });
}
