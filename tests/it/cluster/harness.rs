//! The harness itself.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use crate::control_plane::kubectl::Outcome;
use crate::control_plane::plane::Parts;
use crate::control_plane::programs::Programs;
use crate::control_plane::{ControlPlane, PATIENCE, Version, Webhook, wait_for};

super::on_every_version!(the_control_plane_is_of_the_version_asked_for);

fn the_control_plane_is_of_the_version_asked_for(webhook: &Webhook<'_>) {
    let version = webhook.plane.kubectl(&["get", "--raw=/version"]).json("version");
    let program = Programs::of(webhook.plane.version).path("kube-apiserver").expect("it runs");
    let says = Outcome::of(Command::new(program).arg("--version"), "").expect("kube-apiserver --version");
    assert_eq!(format!("Kubernetes {}", version["gitVersion"].as_str().expect("text")), says.trim());
    if std::env::var_os("KUBEBUILDER_ASSETS").is_none() {
        assert_eq!(version["gitVersion"], format!("v{}", webhook.plane.version));
    }
}

/// As other projects' tests have it: whoever sets it says which programs the newest ones are.
#[test]
fn what_kubebuilder_assets_names_is_run() {
    let folder = tempfile::tempdir().expect("a folder");
    let there = Programs::of(Version::Oldest).path("kube-apiserver").unwrap_or_else(|error| panic!("{error}"));
    std::os::unix::fs::symlink(there, folder.path().join("kube-apiserver")).expect("a link");
    let mut run = Command::new(std::env::current_exe().expect("this program"));
    run.args(["--ignored", "--exact", "--nocapture", "cluster::harness::a_run_that_tells_its_programs"]);
    let told = Outcome::of(run.env("KUBEBUILDER_ASSETS", folder.path()), "").expect("this program can be started");
    let link = format!("newest kube-apiserver: Ok({:?})", folder.path().join("kube-apiserver"));
    for says in [&*link, &format!("Kubernetes v{}", Version::Oldest.number()), "newest etcd: Err(\"etcd 1."] {
        assert!(told.contains(says), "{says} isn't in {told}");
    }
    let elsewhere = told.lines().find(|line| line.starts_with("oldest kube-apiserver: Ok")).expect("told as well");
    assert!(!elsewhere.contains(&folder.path().display().to_string()), "{elsewhere}");
}

#[test]
#[ignore = "a part of another test, which starts it with another environment"]
#[allow(clippy::print_stdout, reason = "the other test reads it")]
fn a_run_that_tells_its_programs() {
    let [newest, oldest] = [Version::Newest, Version::Oldest].map(Programs::of);
    println!("\nnewest kube-apiserver: {:?}", newest.path("kube-apiserver"));
    println!("newest etcd: {:?}", newest.path("etcd"));
    println!("oldest kube-apiserver: {:?}", oldest.path("kube-apiserver"));
    if let Ok(program) = newest.path("kube-apiserver") {
        let says = Outcome::of(Command::new(program).arg("--version"), "").expect("kube-apiserver --version");
        println!("{says}");
    }
}

/// A run that is killed can't tidy up after itself.
#[test]
fn nothing_is_left_of_a_run_that_is_killed() {
    let mut run = Command::new(std::env::current_exe().expect("this program"))
        .args(["--ignored", "--exact", "--nocapture", "cluster::harness::a_run_that_waits_to_be_killed"])
        .stdout(Stdio::piped())
        .spawn()
        .expect("this program can be started");
    let output = BufReader::new(run.stdout.take().expect("it is piped"));
    let mut lines = output.lines().map_while(Result::ok);
    let started = lines.find_map(|line| line.split_once("started: ").map(|(_, rest)| rest.to_owned()));
    run.kill().expect("it still runs");
    run.wait().expect("it was started here");
    let started = started.expect("a control plane that is started");
    let (folder, processes) = started.split_once(' ').expect("a folder and processes");
    wait_for("everything to be gone", || {
        let gone = |process: &str| {
            let state = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
            // Whoever adopts it may leave it a zombie.
            state.is_empty() || state.contains(") Z ")
        };
        (processes.split(' ').all(gone) && !Path::new(folder).exists()).then_some(())
    })
    .unwrap_or_else(|error| panic!("{error}: {started}"));
}

#[test]
#[ignore = "a part of another test, which starts it and kills it"]
#[allow(clippy::print_stdout, reason = "the other test reads it")]
fn a_run_that_waits_to_be_killed() {
    let plane = ControlPlane::start(Version::Oldest, Parts::ApiServer).unwrap_or_else(|error| panic!("{error}"));
    let processes: Vec<String> = plane.processes().map(|id| id.to_string()).collect();
    println!("started: {} {}", plane.network().folder().display(), processes.join(" "));
    std::thread::park_timeout(PATIENCE);
}
