//! What the README shows is what the program does.

use std::path::Path;
use std::process::{Command, Output};

/// The text of the first fenced block behind `mark`.
fn block(page: &str, mark: &str) -> String {
    let behind = &page[page.find(mark).unwrap_or_else(|| panic!("the page has no {mark:?}"))..];
    let (_, fenced) = behind.split_once("```").expect("a fence opens");
    let (block, _) = fenced.split_once("\n```").expect("a fence closes");
    block.split_once('\n').expect("a language, then lines").1.to_owned()
}

fn page(name: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).unwrap()
}

/// Runs a command line of the README's with the program that was built for this test.
fn run(line: &str) -> Output {
    let words = line.strip_prefix("cargo run -- ").unwrap_or_else(|| panic!("{line:?} doesn't run the program"));
    Command::new(env!("CARGO_BIN_EXE_otelgate"))
        .args(words.split_whitespace())
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap()
}

#[test]
fn the_readmes_main_job_says_what_the_readme_says() {
    let readme = page("README.md");
    let output = run(&block(&readme, "## Try it"));
    assert!(output.status.success());
    let report = String::from_utf8(output.stderr).unwrap();
    let mut lines = report.lines();
    for shown in block(&readme, "It prints the").lines().filter(|line| *line != "…") {
        assert!(
            lines.any(|line| line == shown),
            "the README shows a line that isn't in the report, or not there: {shown}"
        );
    }
    let manifests = String::from_utf8(output.stdout).unwrap();
    assert!(manifests.contains("otelgate.dev/status"));
}

#[test]
fn the_readmes_test_command_is_there_and_is_what_ci_runs() {
    let command = block(&page("README.md"), "## Test it");
    assert!(Path::new(env!("CARGO_MANIFEST_DIR")).join(&command).is_file(), "{command}");
    assert!(page(".ci/run").contains(&format!("exec {command}")));
}

#[test]
fn links_lead_somewhere() {
    for name in [
        "README.md",
        "CONTRIBUTING.md",
        "docs/opting-in.md",
        "docs/webhook.md",
        "docs/certificates.md",
        "certs/README.md",
        "certs/cert-manager/README.md",
        "docs/controller.md",
        "docs/monitoring.md",
        "docs/deploy.md",
        "docs/offline.md",
        "webhook-config/README.md",
        "docs/troubleshooting.md",
        "docs/security.md",
        "docs/install.md",
        "docs/upgrade-and-remove.md",
    ] {
        let text = page(name);
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(name).parent().unwrap().to_owned();
        let links = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
        for link in links.filter(|link| !link.starts_with("http")) {
            let file = link.split('#').next().unwrap();
            assert!(folder.join(file).exists(), "{name} links to {link}");
        }
    }
}

#[test]
fn the_servers_pages_have_every_flag_with_its_default() {
    for server in ["webhook", "controller"] {
        has_every_flag(&page(&format!("docs/{server}.md")), server);
    }
}

fn has_every_flag(page: &str, command: &str) {
    let output = run(&format!("cargo run -- {command} --help"));
    let help = String::from_utf8(output.stdout).unwrap();
    let mut flags = 0;
    for entry in help.split("\n      --").flat_map(|entry| entry.split("\n  -c, --")).skip(1) {
        let flag = entry.split_whitespace().next().unwrap();
        let row = page.lines().find(|line| {
            line.starts_with('|') && (line.contains(&format!("`--{flag} ")) || line.contains(&format!("`--{flag}`")))
        });
        let row = row.unwrap_or_else(|| panic!("--{flag} is missing"));
        if let Some((_, default)) = entry.split_once("[default: ") {
            let default = default.split(']').next().unwrap();
            assert!(row.contains(&format!("| `{default}` |")), "--{flag} has the default {default}");
        }
        flags += 1;
    }
    let rows = page.lines().filter(|line| line.starts_with('|') && line.contains("`--")).count();
    assert_eq!(flags, rows, "the page has flags that don't exist");
}

#[test]
fn the_troubleshooting_page_has_every_state_of_a_pod() {
    let page = page("docs/troubleshooting.md");
    for coverage in otelgate::coverage::Coverage::ALL {
        assert!(page.contains(&format!("| `{}` |", coverage.code())), "{} is missing", coverage.code());
    }
}
