//! What must hold of what a container's process sees: its environment expanded, its resource attributes read.

use otelgate::api::otel::{attr, var};
use otelgate::api::{annotation, otel};
use serde_json::Value;

use super::attributes::{self, Attributes};
use super::checks::{Check, Verdict, added, containers, env};
use super::edits::{align, own_text};
use super::kubelet::{self, Environment};
use super::run::Run;

pub const CHECKS: [Check; 6] = [
    ("users_effective_environment_is_unchanged", keeps_environment),
    ("users_attributes_win", keeps_attributes),
    ("own_attributes_mean_what_they_say", attributes_mean_what_they_say),
    ("own_literals_mean_what_they_say", literals_mean_what_they_say),
    ("endpoint_and_protocol_fit", endpoint_and_protocol_fit),
    ("service_name_is_one", service_name_is_one),
];

/// Their annotation on the Namespace is refused, or comes after a label on the pod.
const LABELLED: [&str; 4] = [attr::SERVICE_NAME, attr::SERVICE_INSTANCE_ID, attr::SERVICE_VERSION, attr::ENVIRONMENT];

fn require(holds: bool, otherwise: impl FnOnce() -> String) -> Verdict {
    if holds { Ok(()) } else { Err(otherwise()) }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A container as its user wrote it and patched, both as their processes see them.
struct Seen<'r> {
    path: String,
    users: &'r Value,
    now: &'r Value,
    /// Names of what otelgate added, and where each stands.
    added: Vec<(usize, &'r str)>,
    before: Environment,
    after: Environment,
}

/// Those that otelgate changed.
fn seen<'r>(run: &'r Run, after: &'r Value) -> impl Iterator<Item = Seen<'r>> {
    containers(run, after).into_iter().filter(|(_, users, now)| env(users) != env(now)).filter_map(
        |(path, users, now)| {
            let added = added(users, now)?.into_iter().filter_map(|at| Some((at, env(now)[at]["name"].as_str()?)));
            let added = added.collect();
            let (before, after) = (kubelet::environment(users, &[]), kubelet::environment(now, &[]));
            Some(Seen { path, users, now, added, before, after })
        },
    )
}

impl Seen<'_> {
    /// The last literal of a name in the user's list.
    fn users_literal(&self, name: &str) -> Option<&str> {
        env(self.users).iter().rfind(|variable| variable["name"] == name)?["value"].as_str()
    }

    fn has_users(&self, name: &str) -> bool {
        env(self.users).iter().any(|variable| variable["name"] == name)
    }

    fn attributes_before(&self) -> Attributes {
        self.before.get(var::RESOURCE_ATTRIBUTES).map_or_else(Attributes::new, |value| attributes::read(value))
    }

    fn attributes_after(&self) -> Attributes {
        self.after.get(var::RESOURCE_ATTRIBUTES).map_or_else(Attributes::new, |value| attributes::read(value))
    }

    /// The user's environment where references to variables of ours find them.
    fn resolved(&self) -> Environment {
        self.resolved_at(usize::MAX)
    }

    /// Those of them that stand before a place.
    fn resolved_at(&self, place: usize) -> Environment {
        let ours = self.added.iter().filter(|(at, _)| *at < place);
        let ours = ours.filter_map(|(_, name)| Some(((*name).to_owned(), self.after.get(*name)?.clone())));
        kubelet::environment(self.users, &ours.collect::<Vec<_>>())
    }

    fn adds(&self, name: &str) -> bool {
        self.added.iter().any(|(_, added)| *added == name)
    }

    /// Where the user's last variable of a name stands.
    fn place(&self, name: &str) -> Option<usize> {
        let at = env(self.users).iter().rposition(|variable| variable["name"] == name)?;
        align(env(self.users), env(self.now))?.get(at).copied()
    }

    /// Attributes that otelgate added, as an SDK reads them. A pair whose key is a reference to a variable of ours is the
    /// user's all the same.
    fn own_attributes(&self) -> Attributes {
        let before = self.attributes_before();
        let literal = self.has_users(var::RESOURCE_ATTRIBUTES).then(|| self.resolved());
        let resolved =
            literal.map(|resolved| attributes::read(&resolved[var::RESOURCE_ATTRIBUTES])).unwrap_or_default();
        let is_users = |key: &String| before.contains_key(key) || resolved.contains_key(key);
        self.attributes_after().into_iter().filter(|(key, _)| !is_users(key)).collect()
    }
}

/// Each of the user's variables is as it was, or has a reference resolved that now finds a variable of ours.
fn keeps_environment(run: &Run) -> Verdict {
    let Some(after) = &run.after else { return Ok(()) };
    for seen in seen(run, after) {
        let resolved = seen.resolved();
        for (name, before) in &seen.before {
            let now = &seen.after[name];
            let merged = name == var::RESOURCE_ATTRIBUTES;
            let same = |expected: &[u8]| now == expected || merged && now.starts_with(expected);
            let hidden = !seen.has_users(name) && seen.adds(name);
            // Somebody may have put one between ours.
            let between = || seen.place(name).is_some_and(|place| same(&seen.resolved_at(place)[name]));
            let appended = merged && run.pair.appended;
            require(hidden || appended || same(before) || same(&resolved[name]) || between(), || {
                format!("{}: {name} was {:?} and is {:?}", seen.path, text(before), text(now))
            })?;
        }
    }
    Ok(())
}

fn keeps_attributes(run: &Run) -> Verdict {
    // A text behind ours changes what the user's last pair says.
    let Some(after) = run.after.as_ref().filter(|_| !run.pair.appended) else { return Ok(()) };
    for seen in seen(run, after).filter(|seen| seen.users_literal(var::RESOURCE_ATTRIBUTES).is_some()) {
        let (before, now) = (seen.attributes_before(), seen.attributes_after());
        for (key, value) in &before {
            // What refers to variables of ours may have found its value by now.
            let refers = text(&value.0).contains("$(") || text(&value.1).contains("$(") || key.contains("$(");
            require(refers || now.get(key) == Some(value), || {
                let found = now.get(key).map(|(first, last)| (text(first), text(last)));
                format!("{}: {key} was {:?} and is {found:?}", seen.path, text(&value.0))
            })?;
        }
        let unresolved = seen.before[var::RESOURCE_ATTRIBUTES].windows(2).any(|pair| pair == b"$(");
        let environment =
            !unresolved && before.contains_key(attr::ENVIRONMENT_OLD) && !before.contains_key(attr::ENVIRONMENT);
        require(!environment || !now.contains_key(attr::ENVIRONMENT), || {
            format!("{}: the environment is there twice, under its old and its new name", seen.path)
        })?;
    }
    Ok(())
}

/// Every attribute of ours against where it comes from, as far as that can be told without the engine.
fn attributes_mean_what_they_say(run: &Run) -> Verdict {
    // A text behind ours becomes part of our last value.
    let Some(after) = run.after.as_ref().filter(|_| !run.pair.appended) else { return Ok(()) };
    let annotations = &run.pair.users["metadata"]["annotations"];
    let setting = &run.case.setting;
    for seen in seen(run, after) {
        let container = seen.now["name"].as_str().unwrap_or_default();
        // A reference of the user's to a variable of ours means something else once that is there.
        if env(seen.users)
            .iter()
            .any(|variable| variable["value"].as_str().is_some_and(|text| text.contains("$(OTELGATE_")))
        {
            continue;
        }
        let own = seen.own_attributes();
        if let (Some((one, _)), Some((other, _))) = (own.get(attr::ENVIRONMENT), own.get(attr::ENVIRONMENT_OLD)) {
            require(one == other, || format!("{}: two environments, {one:?} and {other:?}", seen.path))?;
        }
        for (key, (value, last)) in own {
            require(value == last, || format!("{}: {key} stands twice", seen.path))?;
            require(!value.is_empty(), || format!("{}: {key} is empty", seen.path))?;
            let name = format!("{}{key}", annotation::RESOURCE);
            let legal = |value: &&str| !value.is_empty() && value.len() <= 4096 && !value.contains(char::is_control);
            let of_namespace = setting.namespace.annotations.iter().flatten().find(|(key, _)| **key == *name);
            let of_namespace = of_namespace.map(|(_, value)| &**value).filter(|_| !LABELLED.contains(&key.as_str()));
            let annotated = annotations[&name].as_str().filter(legal).or(of_namespace.filter(legal));
            let expected = match key.as_str() {
                attr::CONTAINER_NAME => Some(container.to_owned()),
                attr::POD_NAME => Some(kubelet::field("metadata.name")),
                attr::POD_UID => Some(kubelet::field("metadata.uid")),
                attr::NODE_NAME => Some(kubelet::field("spec.nodeName")),
                attr::NAMESPACE_NAME => setting.namespace.name.clone(),
                attr::CLUSTER_NAME => setting.document.cluster_name.clone(),
                _ => None,
            };
            let overruled = [attr::SERVICE_NAME, attr::SERVICE_VERSION, attr::ENVIRONMENT]
                .contains(&key.as_str())
                .then_some([var::SERVICE_NAME, var::DD_SERVICE, var::DD_VERSION, var::DD_ENV])
                .is_some_and(|names| names.iter().any(|name| seen.has_users(name)));
            let Some(expected) = annotated.map(str::to_owned).or(expected) else { continue };
            require(overruled || value == expected.as_bytes(), || {
                format!("{}: {key} is {:?}, not {expected:?}", seen.path, text(&value))
            })?;
        }
        well_formed(&seen)?;
    }
    Ok(())
}

/// Behind the user's text stand pairs in the specification's alphabet, each with a key and a value.
fn well_formed(seen: &Seen<'_>) -> Verdict {
    let Some(places) = align(env(seen.users), env(seen.now)) else { return Ok(()) };
    for (at, variable) in env(seen.now).iter().enumerate() {
        if variable["name"] != var::RESOURCE_ATTRIBUTES {
            continue;
        }
        let users = places.iter().position(|place| *place == at).map(|index| &env(seen.users)[index]);
        let ours =
            users.map_or_else(|| variable["value"].as_str(), |users| own_text(users, variable)).unwrap_or_default();
        for pair in ours.split(',').filter(|pair| !pair.is_empty()) {
            let (key, value) = pair.split_once('=').ok_or_else(|| format!("{}: {pair:?} is no pair", seen.path))?;
            let legal = |c: char| c.is_ascii_graphic() && !"\",;\\=".contains(c);
            require(!key.is_empty() && key.chars().all(legal), || format!("{}: illegal key {key:?}", seen.path))?;
            require(!value.is_empty() && value.chars().all(legal), || {
                format!("{}: the value of {key} isn't encoded: {value:?}", seen.path)
            })?;
        }
    }
    Ok(())
}

/// Values with `$` arrive as they were meant: of the configuration's variables, and of options.
fn literals_mean_what_they_say(run: &Run) -> Verdict {
    let Some(after) = &run.after else { return Ok(()) };
    let annotations = &run.pair.users["metadata"]["annotations"];
    for seen in seen(run, after) {
        let expect = |name: &str, meant: Option<&str>| {
            let Some(meant) = meant.filter(|_| seen.adds(name)) else { return Ok(()) };
            require(seen.after[name] == meant.as_bytes(), || {
                format!("{}: {name} is {:?}, not {meant:?}", seen.path, text(&seen.after[name]))
            })
        };
        for variable in &run.configuration.document().env {
            expect(&variable.name, variable.value.as_deref())?;
        }
        let service = annotations[annotation::RESOURCE_SERVICE_NAME].as_str().filter(|name| !name.is_empty());
        let overruled = seen.has_users(var::DD_SERVICE) || seen.attributes_before().contains_key(attr::SERVICE_NAME);
        expect(var::SERVICE_NAME, service.filter(|_| !overruled))?;
        let propagators = annotations[annotation::PROPAGATORS].as_str().filter(|list| otel::are_propagators(list));
        expect(var::PROPAGATORS, propagators.map(otel::propagators).as_deref())?;
        let sampler = annotations[annotation::SAMPLER].as_str().zip(annotations[annotation::SAMPLER_ARG].as_str());
        let sampler = sampler.filter(|(name, arg)| otel::is_sampler(name, Some(arg)));
        expect(var::SAMPLER, sampler.map(|(name, _)| name))?;
        expect(var::SAMPLER_ARG, sampler.map(|(_, arg)| arg))?;
    }
    Ok(())
}

fn endpoint_and_protocol_fit(run: &Run) -> Verdict {
    let Some(after) = &run.after else { return Ok(()) };
    for seen in seen(run, after) {
        let added = |name: &str| seen.adds(name);
        if seen.has_users(var::ENDPOINT) {
            require(!added(var::ENDPOINT) && !added(var::PROTOCOL), || {
                format!("{}: the user's endpoint got a protocol or another endpoint", seen.path)
            })?;
        }
        require(!added(var::ENDPOINT) || seen.after.contains_key(var::PROTOCOL), || {
            format!("{}: an endpoint without a protocol", seen.path)
        })?;
        let is_signal = |variable: &Value| {
            let name = variable["name"].as_str().unwrap_or_default();
            // Empty is as good as absent.
            let is_set =
                variable["value"].as_str().is_some_and(|value| !value.is_empty()) || !variable["valueFrom"].is_null();
            let signal = is_set && ["_TRACES_", "_METRICS_", "_LOGS_"].iter().any(|signal| name.contains(signal));
            signal && (name.ends_with("_ENDPOINT") || name.ends_with("_PROTOCOL")) && name.starts_with("OTEL_EXPORTER_")
        };
        // Of those of one name the last one counts.
        let users = env(seen.users);
        let counts = |at: usize| users[at + 1..].iter().all(|later| later["name"] != users[at]["name"]);
        if (0..users.len()).any(|at| is_signal(&users[at]) && counts(at)) {
            require(!added(var::ENDPOINT) && !added(var::PROTOCOL), || {
                format!("{}: a general pair beside one signal's own", seen.path)
            })?;
        }
        for endpoint in seen.added.iter().map(|(_, name)| name).filter(|name| name.ends_with("_ENDPOINT")) {
            let own = endpoint.replace("_ENDPOINT", "_PROTOCOL");
            let protocol = [own.as_str(), var::PROTOCOL].iter().find_map(|name| seen.after.get(*name));
            let protocol = protocol.map(|bytes| text(bytes));
            let url = text(&seen.after[*endpoint]);
            let port =
                url.trim_end_matches('/').rsplit(':').next().and_then(|rest| rest.split('/').next().map(str::to_owned));
            let fits = match (port.as_deref(), protocol.as_deref()) {
                (Some("4317"), protocol) => protocol == Some("grpc"),
                // Empty is as good as absent: the SDK's own default, which speaks HTTP.
                (Some("4318"), protocol) => protocol.is_some_and(|name| name.is_empty() || name.starts_with("http/")),
                _ => true,
            };
            let asked = chosen_by_hand(run);
            require(fits || asked, || format!("{}: {endpoint} is {url}, its protocol {protocol:?}", seen.path))?;
            let of_signal = *endpoint != var::ENDPOINT;
            let http = protocol.is_some_and(|protocol| protocol.starts_with("http/"));
            require(!of_signal || !http || url.contains("/v1/") || asked, || {
                format!("{}: {endpoint} is {url}, which is used as it is", seen.path)
            })?;
        }
        for protocol in seen.added.iter().map(|(_, name)| name).filter(|name| name.ends_with("_PROTOCOL")) {
            let endpoint = protocol.replace("_PROTOCOL", "_ENDPOINT");
            require(seen.after.contains_key(&endpoint), || format!("{}: {protocol} without {endpoint}", seen.path))?;
        }
        require(!added(var::SAMPLER_ARG) || added(var::SAMPLER), || {
            format!("{}: an argument for a sampler that isn't ours", seen.path)
        })?;
    }
    Ok(())
}

/// Whether somebody named an endpoint or a protocol, which then need not be a pair by the book.
fn chosen_by_hand(run: &Run) -> bool {
    let setting = &run.case.setting;
    let keys = [annotation::ENDPOINT, annotation::PROTOCOL];
    let of_pod = keys.iter().any(|key| run.pair.users["metadata"]["annotations"].get(*key).is_some());
    let of_namespace = setting.namespace.annotations.iter().flatten().any(|(key, _)| keys.contains(&&**key));
    of_pod || of_namespace || setting.document.otlp.endpoint.is_some()
}

/// `OTEL_SERVICE_NAME` and the attribute `service.name` never disagree because of us.
fn service_name_is_one(run: &Run) -> Verdict {
    let Some(after) = &run.after else { return Ok(()) };
    for seen in seen(run, after) {
        let before = seen.attributes_before();
        let named = before.get(attr::SERVICE_NAME).is_some_and(|(_, last)| !last.is_empty());
        // One that is the variable is that also once there is one.
        let is_variable = before.get(attr::SERVICE_NAME).is_some_and(|(_, last)| last == b"$(OTEL_SERVICE_NAME)");
        let of_user = named && !is_variable && !seen.has_users(var::SERVICE_NAME);
        if is_variable && seen.adds(var::SERVICE_NAME) {
            let now = seen.attributes_after().remove(attr::SERVICE_NAME).map(|(_, last)| last);
            require(now.as_ref() == Some(&seen.after[var::SERVICE_NAME]), || {
                format!("{}: the user's service.name isn't the OTEL_SERVICE_NAME that it refers to", seen.path)
            })?;
        }
        require(!(of_user && seen.adds(var::SERVICE_NAME)), || {
            format!("{}: OTEL_SERVICE_NAME overrules the user's service.name", seen.path)
        })?;
        let attribute = seen.own_attributes().remove(attr::SERVICE_NAME).map(|(value, _)| value);
        let variable = seen.after.get(var::SERVICE_NAME).filter(|value| !value.is_empty());
        if let (Some(attribute), Some(variable)) = (attribute, variable) {
            require(attribute == *variable, || {
                format!("{}: two service names, {:?} and {:?}", seen.path, text(variable), text(&attribute))
            })?;
        }
    }
    Ok(())
}
