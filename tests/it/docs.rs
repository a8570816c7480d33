//! What the README shows is what the program does.

use std::path::Path;
use std::process::{Command, Output};

use otelgate::api::stack::{Agent, Collector, Datadog, Egress};
use otelgate::config::Document;

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

/// Every page of the repository, by its path.
fn pages() -> Vec<String> {
    fn walk(folder: &Path, root: &Path, found: &mut Vec<String>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap();
            if path.is_dir() && !name.starts_with('.') && name != "target" {
                walk(&path, root, found);
            } else if path.extension().is_some_and(|extension| extension == "md") {
                found.push(path.strip_prefix(root).unwrap().to_str().unwrap().to_owned());
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    walk(root, root, &mut found);
    found.sort_unstable();
    assert!(found.len() > 20, "{found:?}");
    found
}

/// The anchors of a page's headings, as code hosts make them.
fn anchors(page: &str) -> Vec<String> {
    let headings = page.lines().filter(|line| line.starts_with('#'));
    let anchor = |line: &str| {
        let text = line.trim_start_matches('#').trim().to_lowercase();
        let kept = text.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
        kept.map(|c| if c == ' ' { '-' } else { c }).collect()
    };
    headings.map(anchor).collect()
}

#[test]
fn links_lead_somewhere() {
    for name in pages() {
        let text = page(&name);
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(&name).parent().unwrap().to_owned();
        let links = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
        for link in links.filter(|link| !link.starts_with("http")) {
            let (file, anchor) = link.split_once('#').map_or((link, None), |(file, anchor)| (file, Some(anchor)));
            let file = if file.is_empty() { Path::new(&name).file_name().unwrap().to_str().unwrap() } else { file };
            assert!(folder.join(file).exists(), "{name} links to {link}");
            if let Some(anchor) = anchor {
                let anchors = anchors(&std::fs::read_to_string(folder.join(file)).unwrap());
                assert!(anchors.iter().any(|known| known == anchor), "{name} links to {link}: known are {anchors:?}");
            }
        }
    }
}

#[test]
fn every_reason_has_a_section_that_is_linked_to() {
    let sections = |name: &str| anchors(&page(name));
    let of_conditions = sections("docs/reference/conditions.md");
    for reason in otelgate::api::condition::Reason::ALL {
        let link = reason.page();
        let (path, anchor) = link.split_once('#').expect("an anchor");
        assert!(path.ends_with("/blob/main/docs/reference/conditions.md"), "{path}");
        assert_eq!(of_conditions.iter().filter(|known| *known == anchor).count(), 1, "{reason}");
    }
    let of_decisions = sections("docs/reference/reasons.md");
    for reason in otelgate::inject::Reason::ALL {
        let anchor = reason.code().to_lowercase();
        assert_eq!(of_decisions.iter().filter(|known| **known == anchor).count(), 1, "{}", reason.code());
    }
}

/// Pages with commands, and the test that runs each of them.
const RUN_BY: [(&str, &str); 14] = [
    ("README.md", "tests/it/docs.rs"),
    ("certs/README.md", "tests/it/cluster/by_hand.rs"),
    ("certs/cert-manager/README.md", "tests/it/cluster/certificates/pages.rs"),
    ("docs/certificates.md", "tests/it/cluster/certificates/pages.rs"),
    ("docs/collector.md", "tests/it/cluster/troubleshooting.rs"),
    ("docs/controller.md", "tests/it/cluster/troubleshooting.rs"),
    ("docs/deploy.md", "tests/it/cluster/deploy/documented.rs"),
    ("docs/install.md", "tests/it/cluster/chart/installed.rs"),
    ("docs/missed-pods.md", "tests/it/cluster/troubleshooting.rs"),
    ("docs/monitoring.md", "tests/it/cluster/troubleshooting.rs"),
    ("docs/troubleshooting.md", "tests/it/cluster/troubleshooting.rs"),
    ("docs/upgrade-and-remove.md", "tests/it/cluster/chart/installed.rs"),
    ("docs/webhook.md", "tests/it/cluster/by_hand.rs"),
    ("webhook-config/README.md", "tests/it/cluster/by_hand.rs"),
];

#[test]
fn every_pages_commands_are_run() {
    let with_commands: Vec<String> = pages().into_iter().filter(|name| page(name).contains("```sh")).collect();
    assert_eq!(with_commands, RUN_BY.map(|(page, _)| page));
    for (name, test) in RUN_BY {
        assert!(page(test).contains(&format!("\"{name}\"")), "{test} doesn't read {name}");
    }
}

/// What the README says to type in a cluster is what a page says whose commands are run in one.
#[test]
fn the_readmes_commands_are_those_of_the_pages() {
    let commands = page("docs/install.md");
    let readme = page("README.md");
    let blocks = readme.split("```sh\n").skip(1).filter_map(|rest| rest.split("\n```").next());
    let in_a_cluster = |line: &&str| line.starts_with("kubectl ") || line.starts_with("helm ");
    let lines: Vec<&str> = blocks.flat_map(str::lines).filter(in_a_cluster).collect();
    assert!(lines.len() >= 3, "{lines:?}");
    for line in lines {
        assert!(commands.lines().any(|known| known == line), "docs/install.md doesn't have {line}");
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
fn the_collectors_page_shows_additions_that_are_taken_and_a_fault_that_is_told() {
    let page = page("docs/collector.md");
    let render = |additions: &str| {
        let collector = Collector {
            config: serde_saphyr::from_str(additions).unwrap(),
            env: [("TEAM".to_owned(), "checkout".to_owned())].into(),
            ..Collector::default()
        };
        otelgate::collector::render(&otelgate::collector::Input {
            collector: &collector,
            datadog: &Datadog::default(),
            egress: &Egress::default(),
            agent: &Agent::default(),
            injection: &Document::default(),
        })
    };
    let additions = block(&page, "## Additions");
    let text = render(&additions).unwrap_or_else(|fault| panic!("{fault}")).text;
    assert!(text.contains("probabilistic_sampler") && text.contains("${env:TEAM}"));
    let fault = render("service: {pipelines: {logs: {processors: [resource]}}}").unwrap_err().to_string();
    assert_eq!(block(&page, "with the field, such as:"), fault);
}

#[test]
fn the_troubleshooting_page_has_every_state_of_a_pod() {
    let page = page("docs/troubleshooting.md");
    for coverage in otelgate::coverage::Coverage::ALL {
        assert!(page.contains(&format!("| `{}` |", coverage.code())), "{} is missing", coverage.code());
    }
}
