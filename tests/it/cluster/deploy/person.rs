//! Somebody at a shell, with the program, a Helm in the search path, and perhaps a key.

use std::fs;
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::Value;
use snapbox::{Data, assert_data_eq};

use super::OTELGATE;
use crate::control_plane::ControlPlane;
use crate::control_plane::programs::Helm;

pub struct Person<'p> {
    pub plane: &'p ControlPlane,
    /// The first folder of the search path.
    path: PathBuf,
    kubeconfig: PathBuf,
    key: Option<String>,
}

/// Values for a release without what can't run here.
pub const ALONE: [&str; 2] = ["--set=collector.mode=disabled", "--set=agent.mode=disabled"];

/// What the program said, and how it ended.
#[derive(Debug)]
pub struct Told {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl<'p> Person<'p> {
    /// Helm stands behind a script that keeps every call's arguments and environment.
    #[track_caller]
    pub fn new(plane: &'p ControlPlane, helm: Option<Helm>) -> Self {
        let path = plane.network().folder().join(helm.map_or("no-helm", Helm::number));
        fs::create_dir_all(&path).expect("a folder");
        if let Some(helm) = helm {
            let real = helm.path().unwrap_or_else(|error| panic!("{error}"));
            let (calls, script) = (path.join("calls"), path.join("helm"));
            let text = format!(
                "#!/bin/sh\n{{ printf '%s\\n' \"$@\"; env; }} >>'{}'\nexec '{}' \"$@\"\n",
                calls.display(),
                real.display()
            );
            fs::write(&script, text).expect("a script");
            fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).expect("a script that runs");
        }
        let (_, kubeconfig) = plane.kubectl_environment();
        Self { plane, path, kubeconfig: kubeconfig.to_owned(), key: None }
    }

    pub fn with_key(&self, key: &str) -> Self {
        Self {
            key: Some(key.to_owned()),
            path: self.path.clone(),
            kubeconfig: self.kubeconfig.clone(),
            plane: self.plane,
        }
    }

    pub fn with_kubeconfig(&self, kubeconfig: &Path) -> Self {
        Self { kubeconfig: kubeconfig.to_owned(), path: self.path.clone(), key: self.key.clone(), plane: self.plane }
    }

    /// The program, in a pipe. What is deployed is so without Collector and Agent, whose images can't be had on these
    /// nodes.
    #[track_caller]
    pub fn run(&self, arguments: &[&str]) -> Told {
        let mut command = Command::new(OTELGATE);
        command.args(arguments).stdin(Stdio::null());
        if arguments[0] == "deploy" && !arguments.contains(&"--dry-run") {
            command.args(ALONE);
        }
        self.ended(command)
    }

    /// The program on a terminal of `script`'s, with what somebody types.
    #[track_caller]
    pub fn on_a_terminal(&self, arguments: &str, types: &str) -> Told {
        let input = self.plane.network().folder().join("typed");
        fs::write(&input, types).expect("a file");
        let mut command = Command::new("script");
        command.args(["--quiet", "--return", "--command", &format!("{OTELGATE} {arguments}"), "/dev/null"]);
        command.stdin(fs::File::open(&input).expect("a file"));
        self.ended(command)
    }

    #[track_caller]
    fn ended(&self, mut command: Command) -> Told {
        let home = self.plane.network().folder().join("home");
        command.env_clear();
        command.env("KUBECONFIG", &self.kubeconfig).env("HOME", &home);
        command.env("PATH", format!("{}:/usr/bin:/bin", self.path.display()));
        if let Some(key) = &self.key {
            command.env("DD_API_KEY", key);
        }
        let output = self.plane.network().inside(|| command.output()).expect("the program runs");
        let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
        Told { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
    }

    /// Compares what is for people with a file.
    #[track_caller]
    pub fn golden(&self, arguments: &[&str], file: &str) {
        let told = self.run(arguments);
        assert_eq!(told.code, Some(0), "{}{}", told.stdout, told.stderr);
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/deploy").join(file);
        assert_data_eq!(told.stdout, Data::read_from(&path, None).raw());
    }

    /// All files of what `diagnose` collects, unpacked.
    #[track_caller]
    pub fn bundle(&self) -> String {
        let path = self.plane.network().folder().join("bundle.tar.gz");
        let told = self.run(&["diagnose", "-o", path.to_str().expect("UTF-8")]);
        assert_eq!(told.code, Some(0), "{}{}", told.stdout, told.stderr);
        let mut text = String::new();
        flate2::read::GzDecoder::new(fs::File::open(path).expect("an archive"))
            .read_to_string(&mut text)
            .expect("text");
        assert!(text.contains("datadog-secret"), "{text}");
        text
    }

    pub fn calls_of_helm(&self) -> String {
        fs::read_to_string(self.path.join("calls")).unwrap_or_default()
    }

    /// What Helm has written of a release, unpacked.
    #[track_caller]
    pub fn release_records(&self, namespace: &str) -> String {
        let list = self.plane.kubectl(&["get", "secrets", "-n", namespace, "-l", "owner=helm", "-o", "json"]);
        let list = list.json("Helm's records");
        let records = list["items"].as_array().expect("a list");
        assert!(!records.is_empty());
        records.iter().map(unpacked).collect()
    }
}

/// Twice in Base64, once by the API and once by Helm, and compressed.
fn unpacked(secret: &Value) -> String {
    let text = secret["data"]["release"].as_str().expect("a record");
    let once = BASE64_STANDARD.decode(text).expect("Base64");
    let twice = BASE64_STANDARD.decode(once).expect("Base64");
    let mut text = String::new();
    flate2::read::GzDecoder::new(twice.as_slice()).read_to_string(&mut text).expect("a compressed text");
    text
}

impl Told {
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {}{}", self.stdout, self.stderr))
    }

    #[track_caller]
    pub fn assert_fails(&self, code: i32, says: &[&str]) {
        assert_eq!(self.code, Some(code), "{}{}", self.stdout, self.stderr);
        for part in says {
            assert!(self.stderr.contains(part), "{part:?} isn't in {}", self.stderr);
        }
    }
}

/// Everything that a cluster has.
pub mod listing {
    use std::collections::BTreeSet;

    use crate::control_plane::{ControlPlane, wait_for};

    pub type Listing = BTreeSet<String>;

    const TEMPLATE: &str =
        "{{range .items}}{{.apiVersion}} {{.kind}} {{.metadata.namespace}}/{{.metadata.name}}\n{{end}}";

    fn kinds(plane: &ControlPlane) -> String {
        let kinds = plane.kubectl(&["api-resources", "--verbs=list", "-o", "name"]).expect("kubectl api-resources");
        // Events come and go; component statuses are no objects.
        let kept = kinds.lines().filter(|kind| !kind.starts_with("events") && *kind != "componentstatuses");
        kept.collect::<Vec<_>>().join(",")
    }

    /// Every object of every kind, but for events and the leases of the control plane.
    #[track_caller]
    pub fn now(plane: &ControlPlane) -> Listing {
        let template = format!("go-template={TEMPLATE}");
        let arguments = ["get", &kinds(plane), "--all-namespaces", "--ignore-not-found", "-o", &template];
        // A kind can go between the two questions.
        let text = plane.kubectl(&arguments);
        let of_control_plane = |line: &&str| line.contains(" Lease kube-");
        let listing: Listing =
            text.stdout.lines().filter(|line| !of_control_plane(line)).map(ToOwned::to_owned).collect();
        // Two listings of nothing are equal, too.
        assert!(listing.iter().any(|line| line.ends_with("/kube-system")), "{}", text.stderr);
        listing
    }

    /// Once nothing comes any more: controllers make their own accounts after they have started.
    #[track_caller]
    pub fn settled(plane: &ControlPlane) -> Listing {
        let mut last = Listing::new();
        let mut same = 0;
        wait_for("the control plane to be quiet", || {
            let now = now(plane);
            same = if now == last { same + 1 } else { 0 };
            last = now;
            (same == 4).then(|| last.clone())
        })
        .unwrap_or_else(|error| panic!("{error}"))
    }

    #[track_caller]
    pub fn assert_same(before: &Listing, now: &Listing, why: &str) {
        let gone: Vec<_> = before.difference(now).collect();
        let new: Vec<_> = now.difference(before).collect();
        assert!(gone.is_empty() && new.is_empty(), "{why}: gone: {gone:#?}, new: {new:#?}");
    }

    /// The API server takes a moment to forget a kind.
    #[track_caller]
    pub fn wait_for_same(before: &Listing, plane: &ControlPlane, why: &str) {
        let same = wait_for("the same listing as before", || (now(plane) == *before).then_some(()));
        if same.is_err() {
            assert_same(before, &now(plane), why);
        }
    }

    /// Every object of every kind in full, events included.
    #[track_caller]
    pub fn everything(plane: &ControlPlane) -> String {
        let kinds = format!("{},events", kinds(plane));
        plane.kubectl(&["get", &kinds, "--all-namespaces", "--ignore-not-found", "-o", "json"]).stdout
    }
}
