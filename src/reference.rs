//! The reference pages in `docs/reference`, generated from what the code itself uses.

use std::fmt::Write as _;

use crate::api::condition::{self, ConditionType};
use crate::api::{OptIn, annotation, label, otel};
use crate::chart;
use crate::check::{CHECKS, Stage};
use crate::config;
use crate::controller::agent::reference as of_agent;
use crate::controller::metrics as measured_by_controller;
use crate::inject::{Reason, Scope, containers, logs, rules};
use crate::metrics as measured;
use crate::monitoring;

/// Every page: its file's name, and its text.
#[must_use]
pub fn pages() -> Vec<(&'static str, String)> {
    vec![
        ("configuration.md", config::reference()),
        ("labels-and-annotations.md", labels_and_annotations()),
        ("variables.md", variables()),
        ("reasons.md", reasons()),
        ("conditions.md", conditions()),
        ("metrics.md", metrics()),
        ("alerts.md", alerts()),
        ("values.md", chart::reference()),
        ("checks.md", checks()),
        ("agent.md", agent()),
    ]
}

/// A Markdown table.
fn table<const N: usize>(page: &mut String, head: [&str; N], rows: impl IntoIterator<Item = [String; N]>) {
    let mut line = |cells: &[String]| {
        let cells: Vec<String> = cells.iter().map(|cell| cell.replace('|', "\\|")).collect();
        writeln!(page, "| {} |", cells.join(" | ")).expect("writing to a String can't fail");
    };
    line(&head.map(ToOwned::to_owned));
    line(&head.map(|_| "---".to_owned()));
    for row in rows {
        line(&row);
    }
    page.push('\n');
}

/// About one code, with a heading that can be linked to.
fn section(page: &mut String, code: &str, means: &str, next_step: &str) {
    write!(page, "### {code}\n\n{means}.\n\nNext step: {next_step}.\n\n").expect("writing to a String can't fail");
}

fn labels_and_annotations() -> String {
    let mut page = String::from("# Labels and annotations\n\n## Opting in\n\n");
    let values = OptIn::ALL.map(|opt_in| format!("`{opt_in}`")).join(", ");
    writeln!(
        page,
        "The label `{}` on a Namespace or in a pod template: {values}. The pod beats its namespace, both ways.\n\
         `observe` decides and reports, and changes nothing. Never touched are pods in {}, and in\n\
         namespaces with the label {}.\n",
        label::INJECT,
        rules::SYSTEM_NAMESPACES.map(|name| format!("`{name}`")).join(", "),
        rules::LEFT_OUT.map(|(key, value)| format!("`{key}: {value}`")).join(" or ")
    )
    .expect("writing to a String can't fail");
    page.push_str(
        "## Options\n\nAnnotations on the pod template; on a Namespace they are the default for its pods.\n\n",
    );
    let options =
        annotation::OPTIONS.iter().map(|option| [code(option.key), option.summary.into(), option.default.into()]);
    let resource = [
        code(&format!("{}<attribute>", annotation::RESOURCE)),
        "Any resource attribute; `service.name` and `service.instance.id` on the pod template only.".into(),
        "computed".into(),
    ];
    table(&mut page, ["annotation", "meaning", "default"], options.chain([resource]));
    page.push_str("## Values\n\n");
    table(
        &mut page,
        ["option", "values"],
        [
            ["sampler".to_owned(), otel::SAMPLERS.map(code).join(", ")],
            ["propagators".to_owned(), otel::PROPAGATORS.map(code).join(", ")],
        ],
    );
    page.push_str(
        "## Labels that are read\n\nOn the pod template. What a container has itself and the pod's annotations go before \
         them; of those that say the same, the first counts.\n\n",
    );
    table(&mut page, ["label", "what it says"], label::READ.iter().map(|one| [code(one.key), one.summary.to_owned()]));
    page.push_str(
        "## Annotations of others that are read\n\nOn the pod template, where the Datadog Agent owns the logs. One that is true \
         keeps it from them, and otelgate from the keys that say that they are read (`LogsExcluded`).\n\n",
    );
    let excluding = annotation::DATADOG_EXCLUDE.iter().flat_map(|key| {
        [("", "Of every container."), ("<container>.", "Of one container.")]
            .map(|(of, whose)| [code(&format!("{}{of}{key}", annotation::DATADOG_AUTODISCOVERY)), whose.to_owned()])
    });
    table(&mut page, ["annotation", "whose logs"], excluding);
    page.push_str("## Written by otelgate\n\nEach only where it is absent, and legal.\n\n");
    let written =
        annotation::WRITTEN.iter().map(|one| ["annotation".to_owned(), code(one.key), one.summary.to_owned()]);
    let labels = label::WRITTEN.iter().map(|one| ["label".to_owned(), code(one.key), one.summary.to_owned()]);
    table(&mut page, ["", "key", "what it says"], written.chain(labels));
    page.push_str("## Known sidecars\n\nContainers of these names are selected only where `otelgate.dev/containers` names them:\n");
    page.push_str(&containers::SIDECARS.map(code).join(", "));
    for (group, kind, name) in containers::SIDECARS_OF {
        write!(page, "; and in pods of a {kind} of `{group}`, {}", code(name)).expect("writing to a String can't fail");
    }
    page.push_str(".\n\n## Log sources by image\n\n");
    table(&mut page, ["image", "source"], logs::SOURCES.iter().map(|(image, source)| [code(image), code(source)]));
    page.truncate(page.trim_end().len());
    page.push('\n');
    page
}

fn variables() -> String {
    let mut page = String::from(
        "# Variables and resource attributes\n\nPer selected container, in front of its own variables, which never change.\n\n## Variables\n\n",
    );
    table(
        &mut page,
        ["variable", "what it carries"],
        otel::VARIABLES.iter().map(|one| [code(one.name), one.summary.into()]),
    );
    page.push_str("## Resource attributes\n\nIn `OTEL_RESOURCE_ATTRIBUTES`, besides those that annotations name.\n\n");
    table(
        &mut page,
        ["attribute", "what it carries"],
        otel::ATTRIBUTES.iter().map(|one| [code(one.name), one.summary.into()]),
    );
    page.truncate(page.trim_end().len());
    page.push('\n');
    page
}

fn reasons() -> String {
    let mut page = String::from(
        "# Reasons\n\nThe same codes stand in logs, metrics, the status annotation and the output of `otelgate explain`.\n\n",
    );
    for (scope, title) in [
        (Scope::Skip, "The pod is left as it is"),
        (Scope::Key, "One key is not as one might expect"),
        (Scope::Notice, "Worth knowing"),
        (Scope::Failure, "The webhook could not decide, and let the pod pass"),
    ] {
        writeln!(page, "## {title}\n").expect("writing to a String can't fail");
        for reason in Reason::ALL.iter().filter(|reason| reason.scope() == scope) {
            section(&mut page, reason.code(), &format!("It means: {}", reason.summary()), reason.next_step());
        }
    }
    page.truncate(page.trim_end().len());
    page.push('\n');
    page
}

fn conditions() -> String {
    let mut page = String::from(
        "# Conditions of the TelemetryStack\n\nIn its status. A message names what was seen and, unless all is well, the next step.\n\n",
    );
    let types = ConditionType::ALL.into_iter().map(|one| [code(one.as_str()), one.summary().to_owned()]);
    table(&mut page, ["condition", "true means"], types);
    page.push_str("## Reasons\n\n");
    for reason in condition::Reason::ALL {
        let means = format!("The condition is {}: {}", reason.holds().as_str(), reason.summary());
        section(&mut page, reason.code(), &means, reason.next_step());
    }
    page.truncate(page.trim_end().len());
    page.push('\n');
    page
}

fn metrics() -> String {
    let mut page = String::from(
        "# Metrics\n\nServed at `/metrics` of the second port. Every label has a closed set of values: no user can make a series.\n\n",
    );
    for (title, metrics) in
        [("The webhook", measured::reference()), ("The controller", measured_by_controller::reference())]
    {
        writeln!(page, "## {title}\n").expect("writing to a String can't fail");
        let rows = metrics.iter().map(|metric| {
            let labels: Vec<String> = metric.labels.iter().map(|label| code(label)).collect();
            [code(metric.name), metric.kind.to_owned(), labels.join(", "), metric.help.to_owned()]
        });
        table(&mut page, ["metric", "kind", "labels", "what it says"], rows);
    }
    page.push_str("It has the webhook's `otelgate_log_lines_dropped_total` and `otelgate_build_info`, too.\n");
    page.truncate(page.trim_end().len());
    page.push('\n');
    page
}

fn alerts() -> String {
    let mut page = String::from(
        "# Alerts and monitors\n\nThose of the chart; [monitoring](../monitoring.md) says what to do about each, and how to have them.\n\n## In Prometheus\n\n",
    );
    let rows = monitoring::alerts().into_iter().map(|alert| {
        let link = format!("[{}](../monitoring.md#{})", alert.name, alert.name.to_lowercase());
        [link, alert.severity.as_str().to_owned(), alert.after, alert.summary]
    });
    table(&mut page, ["alert", "severity", "after", "says"], rows);
    page.push_str("## In Datadog\n\n");
    let rows = monitoring::monitors()
        .into_iter()
        .map(|(name, monitor)| [code(&format!("otelgate-{name}")), monitor.priority.to_string(), code(&monitor.query)]);
    table(&mut page, ["monitor", "priority", "query"], rows);
    page.push_str(
        "## Metrics of others\n\nAs Datadog has them; in Prometheus those of the Collector may end in a unit and in `_total`. \
         Those of otelgate's own programs are on a [page](metrics.md) of theirs.\n\n",
    );
    let rows = monitoring::FOREIGN.iter().chain([&monitoring::SECURITY_SIGNALS]);
    let rows = rows.map(|one| {
        let releases = match (one.since, one.before) {
            (0, u32::MAX) => String::new(),
            (0, before) => format!(", before 0.{before}"),
            (since, _) => format!(", from 0.{since} on"),
        };
        [code(one.name), format!("<{}>{releases}", one.source)]
    });
    table(&mut page, ["metric", "source"], rows);
    page.truncate(page.trim_end().len());
    page.push('\n');
    page
}

fn checks() -> String {
    let mut page = String::from(
        "# Checks\n\nWhat `otelgate check --pre` looks at before the installation, and `otelgate check` after it.\n\n\
         A check whose failure follows from another's says so, and doesn't fail as well. What can't be told, because a \
         right is missing, is unknown: it never passes.\n\n",
    );
    let rows = CHECKS.iter().map(|check| {
        let at = |stage, word: &str| if check.stages.contains(&stage) { word.to_owned() } else { String::new() };
        [code(check.name), check.summary.to_owned(), at(Stage::Before, "before"), at(Stage::After, "after")]
    });
    table(&mut page, ["check", "what is true when it passes", "`--pre`", "installed"], rows);
    page.truncate(page.trim_end().len());
    page.push('\n');
    page
}

fn code(text: &str) -> String {
    format!("`{text}`")
}

fn agent() -> String {
    let mut page = String::from(
        "# Datadog Agent\n\nWhat otelgate writes, and the page where each name was read. The Agent itself runs in no test of \
         otelgate's: its images come from a registry.\n\n",
    );
    for (title, entries) in [
        ("Fields of the DatadogAgent", &of_agent::FIELDS[..]),
        ("Variables, with mode daemonset", &of_agent::VARIABLES[..]),
        ("Capabilities, with mode daemonset", &of_agent::CAPABILITIES[..]),
        ("Paths of the node, with mode daemonset", &of_agent::HOST_PATHS[..]),
        ("ConfigMaps that the Cluster Agent writes, with mode daemonset", &of_agent::NOTES[..]),
    ] {
        writeln!(page, "## {title}\n").expect("writing to a String can't fail");
        let rows =
            entries.iter().map(|one| [code(one.name), one.meaning.to_owned(), format!("<{}>", one.source.page())]);
        table(&mut page, ["name", "what for", "read at"], rows);
    }
    page
}
