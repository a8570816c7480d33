//! What must hold of every case, one function each. `Err` says what is wrong, and never happens.

use std::collections::BTreeMap;

use otelgate::api::{OptIn, annotation, label};
use serde_json::{Map, Value};

use super::edits::{align, own_text};
use super::generate::SECRET;
use super::run::{Outcome, Run};
use super::{kubelet, validate};

pub type Verdict = Result<(), String>;
pub type Check = (&'static str, fn(&Run) -> Verdict);

/// Those that look at the pod as an object; [`super::meaning`] has those that look at what its containers see.
pub const CHECKS: [Check; 15] = [
    ("the_patched_pod_is_as_valid_as_it_was", is_valid),
    ("a_second_call_changes_nothing", is_idempotent),
    ("only_what_is_new_is_added", adds_only_what_is_new),
    ("users_variables_keep_bytes_and_order", keeps_variables),
    ("users_annotations_and_labels_stay", keeps_keys),
    ("everything_else_survives", keeps_everything_else),
    ("unique_names_stay_unique", keeps_names_unique),
    ("references_point_backwards", refers_backwards),
    ("undo_gives_back_the_original", is_undone),
    ("undo_keeps_edits", undo_keeps_edits),
    ("plan_and_patch_agree", plan_agrees),
    ("no_value_is_told", tells_no_value),
    ("a_decision_is_repeatable", is_repeatable),
    ("the_opt_in_and_the_mode_decide", follows_opt_in),
    ("the_rules_say_why_a_pod_is_left_alone", rules_agree),
];

fn require(holds: bool, otherwise: impl FnOnce() -> String) -> Verdict {
    if holds { Ok(()) } else { Err(otherwise()) }
}

/// Every container and init container: pointer, as its user wrote it, and patched.
pub fn containers<'r>(run: &'r Run, after: &'r Value) -> Vec<(String, &'r Value, &'r Value)> {
    let mut all = Vec::new();
    for list in ["containers", "initContainers"] {
        let now = after["spec"][list].as_array().into_iter().flatten();
        for (index, container) in now.enumerate() {
            all.push((format!("/spec/{list}/{index}"), &run.pair.users["spec"][list][index], container));
        }
    }
    all
}

pub fn env(container: &Value) -> &[Value] {
    container["env"].as_array().map_or(&[], Vec::as_slice)
}

/// Indexes of what otelgate added; `None` if the user's own can't be found again.
pub fn added(users: &Value, after: &Value) -> Option<Vec<usize>> {
    let places = align(env(users), env(after))?;
    Some((0..env(after).len()).filter(|at| !places.contains(at)).collect())
}

fn is_valid(run: &Run) -> Verdict {
    let Some(after) = &run.after else { return Ok(()) };
    let before = validate::faults(&run.pair.injected);
    let new: Vec<_> = validate::faults(after).into_iter().filter(|fault| !before.contains(fault)).collect();
    require(new.is_empty(), || new.join("; "))?;
    require(after.to_string().len() <= 1024 * 1024, || "the object passes 1 MiB".to_owned())?;
    for (path, users, now) in containers(run, after) {
        for at in added(users, now).unwrap_or_default() {
            let size = env(now)[at]["value"].as_str().unwrap_or_default().len();
            require(size <= 32 * 1024, || format!("{path}: {} has {size} bytes", env(now)[at]["name"]))?;
        }
    }
    Ok(())
}

fn is_idempotent(run: &Run) -> Verdict {
    let Some(after) = &run.after else { return Ok(()) };
    let again = run.again(after).ok_or("the patched pod can't be read")?;
    require(again.decision == "inject", || format!("the second decision is {} {:?}", again.decision, again.skipped))?;
    require(again.patch.0.is_empty(), || format!("the second patch is {}", again.patch))
}

/// Same configuration, and since then only neutral additions: what was there before stays, ours included.
fn adds_only_what_is_new(run: &Run) -> Verdict {
    let (Some(after), Some(history)) = (&run.after, &run.case.history) else { return Ok(()) };
    if run.pair.touched || history.setting.document != run.case.setting.document || !same_place(run) {
        return Ok(());
    }
    for list in ["containers", "initContainers"] {
        for (index, container) in after["spec"][list].as_array().into_iter().flatten().enumerate() {
            let before = &run.pair.injected["spec"][list][index];
            let added = container["name"].as_str().is_some_and(|name| name.starts_with("added-"));
            require(added || env(before) == env(container), || format!("/spec/{list}/{index} was changed again"))?;
        }
    }
    Ok(())
}

/// A first decision that was capped or not opted in is no first decision.
fn same_place(run: &Run) -> bool {
    run.pair.injected["metadata"]["annotations"].get(annotation::STATUS).is_some()
}

fn keeps_variables(run: &Run) -> Verdict {
    let Some(after) = &run.after else { return Ok(()) };
    for (path, users, now) in containers(run, after) {
        require(align(env(users), env(now)).is_some(), || {
            format!("{path}: had {} and has {}", users["env"], now["env"])
        })?;
    }
    Ok(())
}

fn keeps_keys(run: &Run) -> Verdict {
    let Some(after) = &run.after else { return Ok(()) };
    for map in ["annotations", "labels"] {
        let before = run.pair.users["metadata"][map].as_object().into_iter().flatten();
        for (key, value) in before.filter(|(key, _)| *key != annotation::STATUS && *key != label::CONFIG) {
            let now = after["metadata"][map].get(key);
            require(now == Some(value), || format!("{map}: {key} was {value} and is {now:?}"))?;
        }
    }
    Ok(())
}

/// With `env`, annotations and labels put back, the patched pod is the user's.
fn keeps_everything_else(run: &Run) -> Verdict {
    let Some(after) = &run.after else { return Ok(()) };
    let mut stripped = after.clone();
    let users = &run.pair.users;
    for list in ["containers", "initContainers"] {
        let all = stripped.pointer_mut(&format!("/spec/{list}")).and_then(Value::as_array_mut);
        for (index, container) in all.into_iter().flatten().enumerate() {
            put_back(container, "env", &users["spec"][list][index]);
        }
    }
    for map in ["annotations", "labels"] {
        if let Some(metadata) = stripped.get_mut("metadata") {
            put_back(metadata, map, &users["metadata"]);
        }
    }
    if users["metadata"].as_object().is_none_or(Map::is_empty) {
        put_back(&mut stripped, "metadata", users);
    }
    require(stripped == *users, || difference(users, &stripped))
}

fn put_back(object: &mut Value, key: &str, from: &Value) {
    let Some(fields) = object.as_object_mut() else { return };
    match from.get(key) {
        Some(value) => drop(fields.insert(key.to_owned(), value.clone())),
        None => drop(fields.shift_remove(key)),
    }
}

fn keeps_names_unique(run: &Run) -> Verdict {
    let Some(after) = &run.after else { return Ok(()) };
    let count = |container: &Value| {
        let names = env(container).iter().map(|variable| variable["name"].to_string());
        names.fold(BTreeMap::<String, usize>::new(), |mut counts, name| {
            *counts.entry(name).or_default() += 1;
            counts
        })
    };
    for (path, users, now) in containers(run, after) {
        let before = count(users);
        for (name, times) in count(now) {
            let allowed = before.get(&name).copied().unwrap_or_default().max(1);
            require(times <= allowed, || format!("{path}: {name} stands {times} times"))?;
        }
    }
    Ok(())
}

fn refers_backwards(run: &Run) -> Verdict {
    let Some(after) = &run.after else { return Ok(()) };
    for (path, users, now) in containers(run, after) {
        let Some(places) = align(env(users), env(now)) else { continue };
        for (at, variable) in env(now).iter().enumerate() {
            let users = places.iter().position(|place| *place == at).map(|index| &env(users)[index]);
            let ours = match users {
                None => variable["value"].as_str().unwrap_or_default(),
                Some(users) => own_text(users, variable).unwrap_or_default(),
            };
            for name in kubelet::references(ours) {
                let before = env(now)[..at].iter().any(|earlier| earlier["name"] == name.as_str());
                require(before, || format!("{path}: {} refers to {name}, which isn't before it", variable["name"]))?;
            }
        }
    }
    Ok(())
}

fn is_undone(run: &Run) -> Verdict {
    let Some(after) = &run.after else { return Ok(()) };
    let mut undone = after.clone();
    otelgate::inject::undo(&mut undone).map_err(|error| error.to_string())?;
    same_but_for_doubt(run, &undone)
}

fn undo_keeps_edits(run: &Run) -> Verdict {
    let mut undone = run.pair.injected.clone();
    if run.case.history.is_none() || undone["metadata"]["annotations"].get(annotation::STATUS).is_none() {
        return Ok(());
    }
    match otelgate::inject::undo(&mut undone) {
        Ok(_) => same_but_for_doubt(run, &undone),
        Err(error) => require(run.had_users_status(), || error.to_string()),
    }
}

/// Equal, down to the order of keys, where the history leaves no doubt of what is whose.
fn same_but_for_doubt(run: &Run, undone: &Value) -> Verdict {
    let (mut expected, mut undone) = (run.pair.users.clone(), undone.clone());
    if run.pair.touched || run.had_users_status() {
        for pod in [&mut expected, &mut undone] {
            if run.pair.appended {
                forget_references(pod);
            }
            forget_doubtful(pod);
        }
        return require(expected == undone, || difference(&expected, &undone));
    }
    // As text, because values are equal in whatever order their keys are.
    let (before, after) = (expected.to_string(), undone.to_string());
    require(before == after, || difference(&expected, &undone))
}

/// Variables of ours that an edited value of ours refers to: they stay with it.
fn forget_references(pod: &mut Value) {
    for list in ["containers", "initContainers"] {
        let all = pod.pointer_mut(&format!("/spec/{list}")).and_then(Value::as_array_mut);
        for env in all.into_iter().flatten().filter_map(|container| container.get_mut("env")?.as_array_mut()) {
            env.retain(|variable| variable["name"].as_str().is_none_or(|name| !name.starts_with("OTELGATE_")));
        }
    }
}

/// What was emptied by hand, and a status that was never ours.
fn forget_doubtful(pod: &mut Value) {
    if let Some(annotations) = pod.pointer_mut("/metadata/annotations").and_then(Value::as_object_mut) {
        annotations.shift_remove(annotation::STATUS);
    }
    let is_empty = |value: &Value| {
        value.is_null() || value.as_array().is_some_and(Vec::is_empty) || value.as_object().is_some_and(Map::is_empty)
    };
    for list in ["containers", "initContainers"] {
        let all = pod.pointer_mut(&format!("/spec/{list}")).and_then(Value::as_array_mut);
        for container in all.into_iter().flatten() {
            if container.get("env").is_some_and(is_empty) {
                container.as_object_mut().map(|fields| fields.shift_remove("env"));
            }
        }
    }
    for map in ["annotations", "labels"] {
        if pod["metadata"].get(map).is_some_and(is_empty) {
            pod.get_mut("metadata").and_then(Value::as_object_mut).map(|fields| fields.shift_remove(map));
        }
    }
    if pod.get("metadata").is_some_and(is_empty) {
        pod.as_object_mut().map(|fields| fields.shift_remove("metadata"));
    }
}

fn plan_agrees(run: &Run) -> Verdict {
    let (Some(outcome), Some(after)) = (&run.outcome, &run.after) else { return Ok(()) };
    super::agreement::check(run, outcome, after)
}

fn tells_no_value(run: &Run) -> Verdict {
    let Some(outcome) = &run.outcome else { return Ok(()) };
    require(!outcome.told.contains(SECRET), || format!("the notes tell {}", outcome.told))?;
    let Some(after) = &run.after else { return Ok(()) };
    let status = after["metadata"]["annotations"][annotation::STATUS].as_str().unwrap_or_default();
    require(!status.is_empty(), || "there is no status".to_owned())?;
    require(!status.contains(SECRET), || format!("the status tells {status}"))
}

fn is_repeatable(run: &Run) -> Verdict {
    require(run.again(&run.pair.injected) == run.outcome, || "the same pod was decided in two ways".to_owned())
}

/// The pod beats its namespace, both ways; the mode caps both.
fn follows_opt_in(run: &Run) -> Verdict {
    let Some(outcome) = &run.outcome else { return Ok(()) };
    let of_pod = run.pair.injected["metadata"]["labels"][label::INJECT].as_str().and_then(OptIn::parse);
    let of_namespace = run.case.setting.namespace.opt_in.as_deref().and_then(OptIn::parse);
    let allowed: &[&str] = match (run.case.setting.document.mode, of_pod.or(of_namespace)) {
        (OptIn::Disabled, _) | (_, Some(OptIn::Disabled) | None) => &["skip"],
        (OptIn::Observe, _) | (_, Some(OptIn::Observe)) => &["observe", "skip"],
        (OptIn::Enabled, Some(OptIn::Enabled)) => &["inject", "skip"],
    };
    require(allowed.contains(&outcome.decision), || format!("decided {}, not {allowed:?}", outcome.decision))
}

fn rules_agree(run: &Run) -> Verdict {
    let Some(Outcome { skipped, objection, .. }) = &run.outcome else { return Ok(()) };
    require(skipped == objection, || format!("it is left alone for {skipped:?}, and the rules say {objection:?}"))
}

/// The first place where two values differ.
pub fn difference(expected: &Value, found: &Value) -> String {
    let patch = json_patch::diff(expected, found);
    if patch.0.is_empty() {
        return "keys are in another order".to_owned();
    }
    format!("from what is expected to what is found: {patch}")
}
