//! What a plan tells and what its patch does must be the same.

use otelgate::api::otel::var;
use otelgate::api::{annotation, label};
use otelgate::inject::Action;
use serde_json::Value;

use super::checks::{Verdict, added, containers, env};
use super::run::{Container, Line, Outcome, Run};

pub fn check(run: &Run, outcome: &Outcome, after: &Value) -> Verdict {
    for (path, users, now) in containers(run, after) {
        let name = now["name"].as_str().unwrap_or_default();
        // Names tell containers apart only where the API server would take the pod.
        if containers(run, after).iter().filter(|(_, _, one)| one["name"].as_str().unwrap_or_default() == name).count()
            > 1
        {
            continue;
        }
        let Some(added) = added(users, now) else { continue };
        let added: Vec<&str> = added.into_iter().filter_map(|at| env(now)[at]["name"].as_str()).collect();
        let planned = outcome.containers.iter().find(|container| container.name == name);
        let Some(planned) = planned else {
            if !added.is_empty() || env(users) != env(now) {
                return Err(format!("{path}: not planned, and yet {added:?} are there"));
            }
            continue;
        };
        variables(planned, &added, users, now).map_err(|fault| format!("{path}: {fault}"))?;
    }
    keys(run, after, "annotations", &outcome.annotations)?;
    keys(run, after, "labels", &outcome.labels)
}

fn variables(planned: &Container, added: &[&str], users: &Value, now: &Value) -> Verdict {
    let action = |name: &str| planned.env.iter().find(|line| line.key == name).map(|line| line.action);
    for name in added {
        if action(name) != Some(Action::Set) {
            return Err(format!("{name} was added, but planned {:?}", action(name)));
        }
    }
    for line in &planned.env {
        let is_added = added.contains(&line.key.as_str());
        let of = |container: &Value| {
            let variables = env(container).iter().filter(|variable| variable["name"] == line.key.as_str());
            variables.cloned().collect::<Vec<_>>()
        };
        let changed = of(users) != of(now);
        let agrees = match line.action {
            Action::Set => is_added,
            Action::Merged => !is_added && changed && line.key == var::RESOURCE_ATTRIBUTES,
            // Kept may also be what another variable says, such as service.name in OTEL_RESOURCE_ATTRIBUTES.
            Action::Kept | Action::Left => !is_added && !changed,
        };
        if !agrees {
            return Err(format!(
                "{} is planned {:?}, but had {:?} and has {:?}",
                line.key,
                line.action,
                of(users),
                of(now)
            ));
        }
    }
    Ok(())
}

fn keys(run: &Run, after: &Value, map: &str, planned: &[Line]) -> Verdict {
    let (users, now) = (&run.pair.users["metadata"][map], &after["metadata"][map]);
    for key in now.as_object().into_iter().flatten().map(|(key, _)| key) {
        let planned = planned.iter().find(|line| line.key == *key).map(|line| line.action);
        let marks = [annotation::STATUS, label::CONFIG].contains(&key.as_str());
        if users.get(key).is_none() && planned != Some(Action::Set) && !marks {
            return Err(format!("{map}: {key} was added, but planned {planned:?}"));
        }
    }
    for line in planned {
        let (users, now) = (users.get(&line.key), now.get(&line.key));
        let agrees = match line.action {
            Action::Set => {
                now.is_some() && (users.is_none() || [annotation::STATUS, label::CONFIG].contains(&line.key.as_str()))
            }
            Action::Merged => false,
            Action::Kept | Action::Left => users == now,
        };
        if !agrees {
            return Err(format!("{map}: {} is planned {:?}, but was {users:?} and is {now:?}", line.key, line.action));
        }
    }
    Ok(())
}
