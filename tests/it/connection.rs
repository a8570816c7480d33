//! What commands say when there is no way to a cluster.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

fn otelgate(home: &Path, kubeconfig: Option<&Path>, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_otelgate"));
    command.args(arguments).env("HOME", home).env_remove("KUBECONFIG").env_remove("KUBERNETES_SERVICE_HOST");
    if let Some(path) = kubeconfig {
        command.env("KUBECONFIG", path);
    }
    command.output().expect("the program runs")
}

/// Exit code 2, one error with a next step, and none of the words that only programmers know.
#[track_caller]
fn says(output: &Output, words: &[&str]) {
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{told}");
    assert!(output.stdout.is_empty(), "{output:?}");
    assert!(told.starts_with("error: ") && told.contains("next: "), "{told}");
    for word in words {
        assert!(told.contains(word), "{word:?} is missing in {told}");
    }
    assert!(!told.contains("os error") && !told.contains("Error("), "{told}");
}

fn kubeconfig(server: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: c\nclusters: [{{name: c, cluster: {{server: \"{server}\"}}}}]\n\
         contexts: [{{name: c, context: {{cluster: c, user: u}}}}]\nusers: [{{name: u, user: {{token: hunter2}}}}]\n"
    )
}

#[test]
fn without_a_way_to_a_cluster_commands_say_where_they_looked() {
    let home = tempfile::tempdir().expect("a folder");
    let file = home.path().join("config");
    let missing = home.path().join("missing");
    for command in ["check", "status"] {
        says(&otelgate(home.path(), None, &[command]), &["neither $KUBECONFIG nor ~/.kube/config is there"]);
        says(&otelgate(home.path(), Some(&missing), &[command]), &["missing", "no such file or directory"]);
        let named = ["--kubeconfig", missing.to_str().expect("UTF-8")];
        says(&otelgate(home.path(), None, &[command, named[0], named[1]]), &["missing", "no such file or directory"]);
        // Nothing listens on the port of nobody.
        fs::write(&file, kubeconfig("https://127.0.0.1:1")).expect("a file");
        says(&otelgate(home.path(), Some(&file), &[command]), &["https://127.0.0.1:1", "nothing listens there"]);
        says(&otelgate(home.path(), Some(&file), &[command, "--context", "x"]), &["it has no context x"]);
    }
}

/// Parsers show the lines around a fault, and in a kubeconfig a token is likely to stand in one of them.
#[test]
fn a_malformed_kubeconfig_is_named_and_not_shown() {
    let home = tempfile::tempdir().expect("a folder");
    let file = home.path().join("config");
    let path = file.to_str().expect("UTF-8");
    for (text, place) in [
        ("users:\n- name: a\n  user:\n    token: hunter2\n   x: [\n", "line 5, column 4"),
        ("users:\n- name: a\n  user: hunter2\n", "line 3, column 9"),
        ("clusters: {", "line 1, column"),
    ] {
        fs::write(&file, text).expect("a file");
        let output = otelgate(home.path(), Some(&file), &["status"]);
        says(&output, &[path, place]);
        assert!(!String::from_utf8_lossy(&output.stderr).contains("hunter2"), "{output:?}");
        let servers: [&[&str]; 2] = [&["controller", "--identity", "a"], &["webhook", "--tls-secret", "a"]];
        for server in servers {
            let output = otelgate(home.path(), None, &[server, &["--kubeconfig", path]].concat());
            assert_eq!(output.status.code(), Some(64), "{output:?}");
            let told =
                format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
            assert!(told.contains(path) && told.contains(place) && !told.contains("hunter2"), "{told}");
        }
    }
}
