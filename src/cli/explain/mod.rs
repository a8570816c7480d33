//! `otelgate explain`: why each pod is injected or not, rule by rule and key by key; of a cluster also whether the API
//! server calls the webhook at all, and what became of the pods that run.
//!
//! It shows the values that otelgate writes, because they go into the user's own objects, and never one that the user
//! wrote.

mod calls;
mod collector;
mod explanation;
mod live;
mod running;
mod target;
mod text;

use std::process::ExitCode;

use clap::ArgGroup;
use jiff::Timestamp;

use super::cluster::{self, Connection};
use super::input::{self, FileArgs, Parsed};
use super::offline::{self, Namespaces, Place, Setting};
use super::output::{self, Complaint};
use super::table::{self, Format};
use super::{UNREADABLE, explain::explanation::Explanation};
use crate::inject::decide;
use crate::inject::rules::Case;
use crate::manifest::Lines;
use crate::manifest::kind::{self, Object};
use explanation::Subject;
use target::Target;

/// Say why pods are injected or not, rule by rule and key by key.
///
/// Of objects of the cluster, such as pod/NAME or deploy/NAME, it says first whether the API server calls the webhook
/// for them at all, and last what became of the pods that run. With -f it reads manifests as `otelgate inject` does, and
/// asks no cluster. It changes nothing. It shows the values that otelgate would write, and none that are the user's.
#[derive(Debug, clap::Args)]
#[command(
    group(ArgGroup::new("subject").required(true).args(["objects", "filename"])),
    mut_arg("namespace", |arg| arg.help("The namespace of the objects; with -f, of documents that name none")),
    mut_arg("config", |arg| arg.help(
        "The configuration, or a ConfigMap that holds it; without it the cluster's, with -f the documented defaults"
    )),
    after_help = EXIT_CODES,
)]
pub struct Args {
    /// Objects of the cluster: pod/NAME, deploy/NAME, statefulset/NAME and so on.
    #[arg(value_name = "KIND/NAME", conflicts_with_all = ["recursive", "opt_in"])]
    objects: Vec<Target>,
    #[command(flatten)]
    files: FileArgs,
    #[command(flatten)]
    connection: Connection,
    /// For programs instead of people.
    #[arg(short, long, value_enum, value_name = "FORMAT")]
    output: Option<Format>,
}

const EXIT_CODES: &str = "\
Exit codes:
  0   done
  2   an object or the cluster can't be read, or an input isn't a valid manifest
  64  wrong usage
  74  standard output can't be written";

pub fn run(args: &Args) -> ExitCode {
    let Args { objects, files, connection, output: format } = args;
    if objects.is_empty() {
        return match of_manifests(files) {
            Ok(explanations) => conclude(&explanations, *format, &[]),
            Err(complaints) => conclude(&[], *format, &complaints),
        };
    }
    cluster::run(async {
        let cluster = connection.open().await?;
        let (explanations, complaints) = live::explain(&cluster, objects, files).await?;
        Ok(conclude(&explanations, *format, &complaints))
    })
}

/// Tells what could be explained, and what couldn't.
fn conclude(explanations: &[Explanation], format: Option<Format>, complaints: &[Complaint]) -> ExitCode {
    let code = if complaints.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(UNREADABLE) };
    output::complain(complaints);
    if explanations.is_empty() && !complaints.is_empty() {
        return code;
    }
    table::end(&explanations, format, code, |width| text::text(explanations, width))
}

fn of_manifests(files: &FileArgs) -> Result<Vec<Explanation>, Vec<Complaint>> {
    let configuration = input::configuration(files.config.as_deref()).map_err(|complaint| vec![complaint])?;
    let inputs = input::load(files)?;
    let parsed = input::parse_all(&inputs)?;
    let setting = Setting {
        configuration: &configuration,
        namespace: files.namespace.as_deref(),
        opt_in: files.opt_in,
        now: Timestamp::now(),
    };
    explain_all(&parsed, &setting)
}

fn explain_all(inputs: &[Parsed<'_>], setting: &Setting<'_>) -> Result<Vec<Explanation>, Vec<Complaint>> {
    let namespaces = Namespaces::of(inputs)?;
    let (mut explanations, mut complaints) = (Vec::new(), Vec::new());
    for Parsed { input, documents } in inputs {
        for document in documents {
            let lines = Lines::of(document);
            for templated in kind::templated(&document.value) {
                let place = Place::of(&input.name, &lines, &templated, setting);
                let Some(template) = document.value.pointer(&templated.template) else { continue };
                let json = template.to_string();
                match offline::pod(&json, &document.value, &templated, &place) {
                    Ok(pod) => {
                        let namespace = namespaces.view(place.namespace, setting.opt_in);
                        let case = Case { pod: &pod, namespace: &namespace, configuration: setting.configuration };
                        let now = setting.at(&templated, &document.value);
                        let decision = decide(&pod, &namespace, setting.configuration, now);
                        let known = namespaces.has(place.namespace);
                        let Object { kind, name, generate_name, .. } = place.object;
                        let subject = Subject { kind, namespace: place.namespace, name, generate_name };
                        let mut explanation = Explanation::new(subject, case, &decision, known);
                        (explanation.file, explanation.line) = (Some(place.file.to_owned()), Some(place.line));
                        explanations.push(explanation);
                    }
                    Err(complaint) => complaints.push(complaint),
                }
            }
        }
    }
    if complaints.is_empty() { Ok(explanations) } else { Err(complaints) }
}
