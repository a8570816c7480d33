//! What shells and manuals get, and the program as a plugin of kubectl's.

use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Output};

const OTELGATE: &str = env!("CARGO_BIN_EXE_otelgate");

fn run(program: &Path, arguments: &[&str]) -> Output {
    Command::new(program).args(arguments).output().unwrap()
}

fn otelgate(arguments: &[&str]) -> String {
    let output = run(Path::new(OTELGATE), arguments);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// The words of the help's list of commands.
fn commands() -> Vec<String> {
    let help = otelgate(&["--help"]);
    let list = help.split_once("Commands:\n").unwrap().1.split("\n\n").next().unwrap();
    // A description that goes on stands further right.
    let lines = list.lines().filter(|line| !line.starts_with("   "));
    lines.filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect()
}

#[test]
fn each_shell_gets_all_commands() {
    let commands = commands();
    assert!(commands.len() > 5, "{commands:?}");
    for shell in ["bash", "zsh", "fish", "powershell"] {
        let script = otelgate(&["completions", shell]);
        for command in &commands {
            assert!(script.contains(command), "{command} is missing for {shell}");
        }
    }
    assert_eq!(run(Path::new(OTELGATE), &["completions", "tcsh"]).status.code(), Some(64));
}

/// What bash offers for a line that ends with a word's beginning.
fn offered(line: &[&str]) -> Vec<String> {
    let folder = Path::new(OTELGATE).parent().unwrap();
    let words: Vec<_> = line.iter().map(|word| format!("'{word}'")).collect();
    let script = format!(
        "set -e; export PATH={}:$PATH; source <(otelgate completions bash); COMP_WORDS=({}); COMP_CWORD={}
         complete -p otelgate >/dev/null; function=$(complete -p otelgate | sed 's/.*-F \\([^ ]*\\).*/\\1/')
         $function otelgate '{}' '{}'; printf '%s\\n' \"${{COMPREPLY[@]}}\"",
        folder.display(),
        words.join(" "),
        line.len() - 1,
        line[line.len() - 1],
        line[line.len() - 2],
    );
    let output = run(Path::new("bash"), &["--norc", "-c", &script]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}

#[test]
fn bash_completes() {
    assert_eq!(offered(&["otelgate", "expl"]), ["explain"]);
    assert_eq!(offered(&["otelgate", "explain", "--outp"]), ["--output"]);
    assert_eq!(offered(&["otelgate", "completions", "po"]), ["powershell"]);
    let all = offered(&["otelgate", ""]);
    assert!(commands().iter().all(|command| all.contains(command)), "{all:?}");
}

#[test]
fn every_command_has_a_manual_page() {
    let folder = tempfile::tempdir().unwrap();
    let pages = folder.path().join("man");
    otelgate(&["man", pages.to_str().unwrap()]);
    let mut wanted: Vec<_> =
        commands().iter().filter(|name| *name != "help").map(|name| format!("otelgate-{name}.1")).collect();
    wanted.push("otelgate.1".to_owned());
    wanted.sort();
    let mut found: Vec<_> =
        pages.read_dir().unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    found.sort();
    assert_eq!(found, wanted);
    for page in &found {
        let text = std::fs::read_to_string(pages.join(page)).unwrap();
        for part in [".TH ", ".SH NAME", ".SH SYNOPSIS", ".SH DESCRIPTION"] {
            assert!(text.contains(part), "{page} has no {part}");
        }
    }
    assert_eq!(otelgate(&["man"]), std::fs::read_to_string(pages.join("otelgate.1")).unwrap());
}

#[test]
fn as_a_plugin_of_kubectls_it_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let plugin = folder.path().join("kubectl-otelgate");
    symlink(OTELGATE, &plugin).unwrap();
    let help = String::from_utf8(run(&plugin, &["explain", "--help"]).stdout).unwrap();
    assert!(help.contains("Usage: kubectl otelgate explain "), "{help}");
    let output = run(&plugin, &["explain"]);
    assert_eq!(output.status.code(), Some(64));
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(error.contains("Usage: kubectl otelgate explain "), "{error}");
    let help = otelgate(&["explain", "--help"]);
    assert!(help.contains("Usage: otelgate explain "), "{help}");
}
