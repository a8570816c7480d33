//! What `otelgate inject` does in a second, from the program's start to its end, on all processors and on one of them,
//! against the parser of YAML alone, which reads the same text on one and makes nothing of it. They alternate within one
//! run.
//!
//! `cargo bench --bench inject`

#![allow(clippy::print_stdout, clippy::panic, reason = "a bench prints its table, and has nobody to tell but its user")]

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use granit_parser::Parser;
use otelgate::manifest;
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use serde_json::{Value, json};

#[path = "../tests/support/review.rs"]
mod review;
mod support;

use review::{SMALL, Size, USUAL};
use support::median;

const MANIFESTS: u32 = 2000;
const ROUNDS: usize = 11;

fn main() {
    if !support::is_asked_for() {
        return;
    }
    let all = sched_getaffinity(None).expect("the processors");
    println!("{MANIFESTS} Deployments in one file, {ROUNDS} rounds, medians, {} processors", all.count());
    let columns = ["inject", "on one", "parser", "all to one", "share of one"];
    println!("{:<28} {}", "a second", columns.map(|column| format!("{column:>12}")).join(" "));
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("manifests.yaml");
    for (size, whole) in [(SMALL, Whole::Documents), (SMALL, Whole::List), (USUAL, Whole::Documents)] {
        let text = manifests(size, whole);
        fs::write(&path, &text).expect("the manifests' file");
        let (mut inject, mut on_one, mut parser) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            inject.push(timed(|| run(&path)));
            sched_setaffinity(None, &first(&all)).expect("a processor of these");
            on_one.push(timed(|| run(&path)));
            sched_setaffinity(None, &all).expect("these processors again");
            parser.push(timed(|| parse(&text)));
        }
        let [inject, on_one, parser] = [inject, on_one, parser].map(|mut seconds| median(&mut seconds));
        let rate = |seconds: f64| f64::from(MANIFESTS) / seconds;
        let name = format!("{} of {:.1} kB", whole.name(), 1e-3 * bytes(&text) / f64::from(MANIFESTS));
        let rates = [inject, on_one, parser].map(|seconds| format!("{:>12.0}", rate(seconds))).join(" ");
        println!("{name:<28} {rates} {:>12.2} {:>11.0}%", on_one / inject, 100.0 * parser / on_one);
    }
}

/// One of the processors. A program that may run on one alone starts no threads.
fn first(all: &CpuSet) -> CpuSet {
    let mut one = CpuSet::new();
    one.set((0..CpuSet::MAX_CPU).find(|index| all.is_set(*index)).expect("this runs on one"));
    one
}

/// How they stand in one file.
#[derive(Clone, Copy)]
enum Whole {
    Documents,
    List,
}

impl Whole {
    fn name(self) -> &'static str {
        match self {
            Self::Documents => "manifests",
            Self::List => "items of a List",
        }
    }
}

/// Deployments of different names, each with a pod of that size.
fn manifests(size: Size, whole: Whole) -> String {
    let mut pod = review::pod(size);
    let metadata = pod["metadata"].as_object_mut().expect("an object");
    metadata.retain(|key, _| ["labels", "annotations"].contains(&key.as_str()));
    let labels = metadata.get_mut("labels").and_then(Value::as_object_mut).expect("a pod with labels");
    labels.remove("pod-template-hash");
    let labels = labels.clone();
    let deployment = |index| {
        json!({
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": { "name": format!("checkout-{index}"), "namespace": review::NAMESPACE, "labels": labels },
            "spec": {
                "replicas": 3,
                "selector": { "matchLabels": labels },
                "template": { "metadata": pod["metadata"], "spec": pod["spec"] },
            },
        })
    };
    let deployments = (0..MANIFESTS).map(deployment);
    match whole {
        Whole::Documents => {
            let mut all = String::new();
            for one in deployments {
                write!(all, "---\n{}", manifest::document(&one)).expect("memory takes everything");
            }
            all
        }
        Whole::List => {
            let items: Vec<_> = deployments.collect();
            manifest::document(&json!({ "apiVersion": "v1", "kind": "List", "items": items }))
        }
    }
}

fn run(path: &Path) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_otelgate"));
    command.args(["inject", "--opt-in", "--quiet", "-f"]).arg(path).stdout(Stdio::null());
    let status = command.status().unwrap_or_else(|error| panic!("otelgate doesn't start: {error}"));
    assert!(status.success(), "otelgate inject ended with {status}");
}

fn parse(text: &str) {
    let events = Parser::new_from_str(text).inspect(|event| assert!(event.is_ok(), "otelgate reads it")).count();
    assert!(events > MANIFESTS as usize, "a document is many events");
}

fn timed(act: impl FnOnce()) -> f64 {
    let started = Instant::now();
    act();
    started.elapsed().as_secs_f64()
}

#[expect(clippy::cast_precision_loss, reason = "megabytes")]
fn bytes(text: &str) -> f64 {
    text.len() as f64
}
