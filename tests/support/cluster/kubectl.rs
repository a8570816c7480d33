//! kubectl as the way to the API server, because it is the users' way.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use super::network::Network;

/// kubectl with a kubeconfig, in a network.
pub struct Kubectl {
    pub program: PathBuf,
    pub kubeconfig: PathBuf,
}

/// What a program said.
#[derive(Debug)]
pub struct Outcome {
    pub success: bool,
    pub stdout: String,
    pub stderr: String,
}

impl Kubectl {
    pub fn run(&self, network: &Network, arguments: &[&str], input: &str) -> Outcome {
        let mut command = Command::new(&self.program);
        // What a cluster serves is kept by the server's address, and that's the same in every network.
        let served = network.folder().join("home/kube");
        command.env("KUBECONFIG", &self.kubeconfig).env("KUBECACHEDIR", served).args(arguments);
        network.inside(|| Outcome::of(&mut command, input))
    }
}

impl Outcome {
    /// Runs a program to its end, with `input` as its standard input.
    pub fn of(command: &mut Command, input: &str) -> Self {
        let name = Path::new(command.get_program()).display().to_string();
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        let mut stdin = child.stdin.take().expect("it is piped");
        let output = std::thread::scope(|scope| {
            // A program that doesn't read its input closes the pipe.
            scope.spawn(move || stdin.write_all(input.as_bytes()));
            child.wait_with_output().unwrap_or_else(|error| panic!("{name}: {error}"))
        });
        Self {
            success: output.status.success(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// Standard output of a program that has to succeed.
    #[track_caller]
    pub fn expect(self, what: &str) -> String {
        assert!(self.success, "{what}: {}", self.stderr);
        self.stdout
    }

    /// Standard output, read as JSON, of a program that has to succeed.
    #[track_caller]
    pub fn json(self, what: &str) -> Value {
        let stdout = self.expect(what);
        serde_json::from_str(&stdout).unwrap_or_else(|error| panic!("{what}: {error} in {stdout}"))
    }

    /// What `-o name` printed, of kubectl that has to succeed: `kind/name`, without the kind's group.
    #[track_caller]
    pub fn names(self, what: &str) -> BTreeSet<String> {
        let short = |line: &str| {
            let (kind, name) = line.split_once('/').unwrap_or((line, ""));
            format!("{}/{name}", kind.split('.').next().unwrap_or(kind))
        };
        self.expect(what).lines().map(short).collect()
    }

    /// The warnings that the API server sent.
    pub fn warnings(&self) -> Vec<&str> {
        self.stderr.lines().filter_map(|line| line.strip_prefix("Warning: ")).collect()
    }
}
