//! What a hostile load makes the process hold, against the limit that it is deployed with.

use tempfile::tempdir;

use super::authority::Authority;
use super::client::wait_ready;
use super::process::Process;
use crate::flood::{Flood, limit};

/// What it may hold before any load, with 10,000 namespaces: the budget of `benches/memory.rs`.
const IDLE: f64 = 16.0;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hostile_load_stays_within_the_limit() {
    let folder = tempdir().expect("a folder");
    let authority = Authority::new("one");
    authority.issue().write(folder.path());
    let process = Process::start(folder.path(), &["--no-namespaces"]).await;
    wait_ready(process.admin, "ok").await;
    // An unoptimised program is larger than the one that is deployed.
    let idle = process.peak();
    let flood = Flood::together();
    flood.send(process.address, &authority.client(None)).await;
    let (added, limit) = (process.peak() - idle, limit());
    #[expect(clippy::print_stdout, reason = "a figure for who runs it")]
    {
        println!("{}: {added:.1} MiB more than idle, of {:.0} MiB", flood.name, limit - IDLE);
    }
    assert!(added < limit - IDLE, "{added:.1} MiB more than idle, with a limit of {limit:.0} MiB");
}
