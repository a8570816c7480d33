//! What happens to a pod between two decisions: other webhooks and people change it.
//!
//! Each edit is done to two pods at once: the one that carries otelgate's values, and the same one without them. The
//! second is what undo has to give back.

use otelgate::api::otel::{attr, var};
use otelgate::api::{annotation, label};
use serde_json::{Map, Value, json};

use super::random::Random;
use super::{containers, metadata};

/// What somebody writes behind our text.
const APPENDED: [&str; 3] = [",late=1", "late", ",k8s.pod.name=x"];

/// Numbers choose among what is there, modulo its count, so that an edit can be repeated on a smaller pod.
#[derive(Clone, Debug)]
pub enum Edit {
    AddContainer {
        at: usize,
        container: Value,
    },
    AddVariable {
        container: usize,
        at: usize,
        variable: Value,
    },
    /// A variable of ours gets another value.
    ChangeVariable {
        container: usize,
        ours: usize,
        value: String,
    },
    RemoveVariable {
        container: usize,
        ours: usize,
    },
    /// Text behind a merged `OTEL_RESOURCE_ATTRIBUTES`.
    Append {
        container: usize,
        text: String,
    },
    /// An annotation or label of ours.
    ChangeKey {
        ours: usize,
        value: String,
    },
    RemoveKey {
        ours: usize,
    },
    AddAnnotation {
        key: String,
        value: String,
    },
    RenameContainer {
        container: usize,
        how: Renaming,
    },
    RemoveStatus,
    BreakStatus,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Renaming {
    Renamed,
    /// Its attributes were edited too: nothing tells any longer whose its other values are.
    RenamedAndEdited,
    /// A copy under another name, while the original keeps its own.
    Copied,
    /// Both: the name that otelgate knows is gone.
    RenamedAndCopied,
}

/// A pod with otelgate's values and the same without.
#[derive(Clone, Debug)]
pub struct Pair {
    pub injected: Value,
    pub users: Value,
    /// Every edit but additions that have nothing to do with telemetry.
    pub touched: bool,
    /// Text was written behind ours, in the user's own value.
    pub appended: bool,
    /// What was ours, and was edited or removed since: the same once more would be ours again.
    pub replaced: Vec<Value>,
    /// A container that is to get another name once all else is done.
    pub renamed: Option<(usize, Renaming)>,
}

impl Edit {
    pub fn generate(random: &mut Random) -> Self {
        let container = random.below(8);
        let ours = random.below(16);
        match random.below(22) {
            0..3 => {
                let name = format!("added-{:x}", random.bits());
                let mut added = containers::container(random, &mut vec![name.clone()], false);
                added["name"] = json!(name);
                Self::AddContainer { at: random.below(4), container: added }
            }
            3..6 => {
                let variable = json!({ "name": format!("ADDED_{:X}", random.bits()), "value": "$(OTELGATE_POD_NAME)" });
                Self::AddVariable { container, at: random.below(16), variable }
            }
            6..9 => Self::AddVariable { container, at: random.below(16), variable: containers::variable(random) },
            9..12 => Self::ChangeVariable { container, ours, value: "edited$$by,hand".to_owned() },
            12 => Self::RemoveVariable { container, ours },
            13 | 14 => Self::Append { container, text: random.pick(&APPENDED).to_owned() },
            15 => Self::ChangeKey { ours, value: "edited".to_owned() },
            16 => Self::RemoveKey { ours },
            17 => {
                let (key, value) =
                    if random.percent(50) { metadata::option(random, &[]) } else { metadata::attribute(random) };
                Self::AddAnnotation { key, value }
            }
            18 => Self::RemoveStatus,
            19 | 20 => {
                let how = random.pick(&[
                    Renaming::Renamed,
                    Renaming::RenamedAndEdited,
                    Renaming::Copied,
                    Renaming::RenamedAndCopied,
                ]);
                Self::RenameContainer { container, how }
            }
            _ => Self::BreakStatus,
        }
    }
}

impl Pair {
    pub fn apply(&mut self, edit: &Edit) {
        if !matches!(edit, Edit::AddContainer { .. } | Edit::AddVariable { .. }) {
            self.touched = true;
        }
        match edit {
            Edit::AddContainer { at, container } => {
                for pod in [&mut self.injected, &mut self.users] {
                    if let Some(Value::Array(list)) = pod.pointer_mut("/spec/containers") {
                        list.insert(at % (list.len() + 1), container.clone());
                    }
                }
            }
            Edit::AddVariable { container, at, variable } => self.add_variable(*container, *at, variable),
            Edit::ChangeVariable { container, ours, value } => {
                let index = self.container(*container);
                let Some((at, name)) = self.own_variable(index, *ours) else { return };
                let edited = json!({ "name": name, "value": value });
                let Some(before) = self.users_before(index, at) else { return };
                self.replaced.push(list(&self.injected, index)[at].clone());
                set_variable(&mut self.injected, index, at, edited.clone());
                insert_variable(&mut self.users, index, before, edited);
            }
            Edit::RemoveVariable { container, ours } => {
                let index = self.container(*container);
                let Some((at, _)) = self.own_variable(index, *ours) else { return };
                if let Some(Value::Array(list)) = self.injected.pointer_mut(&format!("/spec/containers/{index}/env")) {
                    self.replaced.push(list.remove(at));
                }
            }
            Edit::Append { container, text } => {
                self.appended = true;
                self.append(*container, text);
            }
            Edit::ChangeKey { ours, value } => {
                let Some((map, key)) = self.own_key(*ours) else { return };
                put(&mut self.injected, map, &key, value);
                put(&mut self.users, map, &key, value);
            }
            Edit::RemoveKey { ours } => {
                let Some((map, key)) = self.own_key(*ours) else { return };
                remove(&mut self.injected, map, &key);
            }
            Edit::AddAnnotation { key, value } => {
                if self.injected["metadata"]["annotations"].get(key).is_none() {
                    put(&mut self.injected, "annotations", key, value);
                    put(&mut self.users, "annotations", key, value);
                }
            }
            Edit::RenameContainer { container, how } => self.renamed = Some((*container, *how)),
            Edit::RemoveStatus => {
                remove(&mut self.injected, "annotations", annotation::STATUS);
                self.forget();
            }
            Edit::BreakStatus => {
                put(&mut self.injected, "annotations", annotation::STATUS, "{ broken");
                self.forget();
            }
        }
    }

    /// What is done last.
    pub fn finish(&mut self) {
        let Some((pick, how)) = self.renamed else { return };
        let index = self.container(pick);
        let containers = |pod: &Value| pod["spec"]["containers"].as_array().cloned().unwrap_or_default();
        let named = |pod: &Value, name: &Value| containers(pod).iter().filter(|one| one["name"] == *name).count();
        let name = self.injected["spec"]["containers"][index]["name"].clone();
        let Some(was) = name.as_str().filter(|was| !was.is_empty() && named(&self.injected, &name) == 1) else {
            return;
        };
        let was = was.to_owned();
        // An earlier edit left in doubt whose is whose.
        if align(list(&self.users, index), list(&self.injected, index)).is_none() {
            return;
        }
        if how == Renaming::RenamedAndEdited {
            self.edit_attributes(index);
        }
        // Whose its values are is known by what tells its name, or refers to a variable of ours.
        let (injected, users) = (list(&self.injected, index), list(&self.users, index));
        let own = |at: usize| match align(users, injected)?.iter().position(|place| *place == at) {
            Some(place) => own_text(&users[place], &injected[at]),
            None => injected[at]["value"].as_str(),
        };
        let tells = |text: &&str| {
            text.contains("$(OTELGATE_")
                || text.split(',').any(|pair| pair == format!("{}={was}", attr::CONTAINER_NAME))
        };
        let attributes = (0..injected.len()).filter(|at| injected[*at]["name"] == var::RESOURCE_ATTRIBUTES);
        let proof = attributes.filter_map(own).find(tells);
        // Another that was given the same may have been the one that was copied.
        let others = (0..containers(&self.injected).len()).filter(|other| *other != index);
        let same =
            |one: &Value| proof.is_some_and(|proof| one["value"].as_str().is_some_and(|value| value.contains(proof)));
        if how == Renaming::Copied && others.flat_map(|other| list(&self.injected, other)).any(same) {
            return;
        }
        let known = proof.is_some();
        let env = self.injected["spec"]["containers"][index].get("env").cloned();
        for (pod, is_users) in [(&mut self.injected, false), (&mut self.users, true)] {
            let Some(Value::Array(list)) = pod.pointer_mut("/spec/containers") else { return };
            let mut renamed = list[index].clone();
            renamed["name"] = json!("renamed");
            if let (true, false, Some(env)) = (is_users, known, &env) {
                renamed["env"] = env.clone();
            }
            match how {
                Renaming::Renamed | Renaming::RenamedAndEdited => list[index] = renamed,
                Renaming::Copied => list.push(renamed),
                Renaming::RenamedAndCopied => {
                    list[index] = renamed.clone();
                    list[index]["name"] = json!("renamed-too");
                    list.push(renamed);
                }
            }
        }
    }

    fn edit_attributes(&mut self, container: usize) {
        let env = self.injected.pointer_mut(&format!("/spec/containers/{container}/env"));
        let Some(Value::Array(env)) = env else { return };
        for variable in env.iter_mut().filter(|variable| variable["name"] == var::RESOURCE_ATTRIBUTES) {
            let edited = json!({"name": var::RESOURCE_ATTRIBUTES, "value": "edited=by.hand"});
            self.replaced.push(std::mem::replace(variable, edited));
        }
    }

    /// Nothing tells any longer what was ours: it is all the user's, but for the mark that nobody else writes.
    fn forget(&mut self) {
        self.users = self.injected.clone();
        remove(&mut self.users, "labels", label::CONFIG);
    }

    fn container(&self, pick: usize) -> usize {
        pick % self.injected["spec"]["containers"].as_array().map_or(1, Vec::len).max(1)
    }

    fn add_variable(&mut self, container: usize, at: usize, variable: &Value) {
        if variable["name"].as_str().is_none_or(|name| !name.starts_with("ADDED_")) {
            self.touched = true;
        }
        let index = self.container(container);
        // The same entry once more: whose is whose can't be told by anybody.
        if list(&self.injected, index).contains(variable) || self.replaced.contains(variable) {
            return;
        }
        let at = at % (list(&self.injected, index).len() + 1);
        let Some(before) = self.users_before(index, at) else { return };
        insert_variable(&mut self.injected, index, at, variable.clone());
        insert_variable(&mut self.users, index, before, variable.clone());
    }

    fn append(&mut self, container: usize, text: &str) {
        let index = self.container(container);
        for at in 0..self.injected["spec"]["containers"][index]["env"].as_array().map_or(0, Vec::len) {
            let variable = &list(&self.injected, index)[at];
            let Some(value) = variable["value"].as_str().filter(|_| variable["name"] == var::RESOURCE_ATTRIBUTES)
            else {
                continue;
            };
            let Some(users) = self.position_in_users(index, at) else { continue };
            let own = &list(&self.users, index)[users];
            let with = |variable: &Value, value: &str| {
                let mut longer = variable.clone();
                longer["value"] = json!(format!("{value}{text}"));
                longer
            };
            let users_value = own["value"].as_str().unwrap_or_default();
            // What makes our last attribute longer makes all of the value the user's.
            let is_longer = !text.starts_with(',')
                && own_text(own, variable)
                    .is_some_and(|ours| !ours.is_empty() && value.strip_prefix(users_value) == Some(ours));
            if is_longer {
                self.replaced.push(variable.clone());
            }
            let injected = with(variable, value);
            let own = if is_longer { injected.clone() } else { with(own, users_value) };
            set_variable(&mut self.injected, index, at, injected);
            set_variable(&mut self.users, index, users, own);
        }
    }

    /// How many of the user's variables stand before a place; `None` where an earlier edit left that in doubt.
    fn users_before(&self, container: usize, at: usize) -> Option<usize> {
        let places = align(list(&self.users, container), list(&self.injected, container))?;
        Some(places.into_iter().filter(|place| *place < at).count())
    }

    fn position_in_users(&self, container: usize, at: usize) -> Option<usize> {
        let injected = list(&self.injected, container);
        align(list(&self.users, container), injected).and_then(|places| places.iter().position(|place| *place == at))
    }

    /// A variable that otelgate added; not one that it merged into.
    fn own_variable(&self, container: usize, pick: usize) -> Option<(usize, String)> {
        let injected = list(&self.injected, container);
        let users = align(list(&self.users, container), injected)?;
        let own: Vec<usize> = (0..injected.len()).filter(|at| !users.contains(at)).collect();
        let at = *own.get(pick.checked_rem(own.len())?)?;
        Some((at, injected[at]["name"].as_str()?.to_owned()))
    }

    fn own_key(&self, pick: usize) -> Option<(&'static str, String)> {
        let mut own = Vec::new();
        for map in ["annotations", "labels"] {
            for key in self.injected["metadata"][map].as_object().into_iter().flatten().map(|(key, _)| key) {
                let users = self.users["metadata"][map].get(key).is_some();
                if !users && key != annotation::STATUS && key != label::CONFIG {
                    own.push((map, key.clone()));
                }
            }
        }
        let pick = pick.checked_rem(own.len())?;
        Some(own.swap_remove(pick))
    }
}

fn list(pod: &Value, container: usize) -> &[Value] {
    pod["spec"]["containers"][container]["env"].as_array().map_or(&[], Vec::as_slice)
}

/// Where each of the user's variables stands among all; `None` when one of them is gone or out of order.
///
/// The last `OTEL_RESOURCE_ATTRIBUTES` may have got a suffix.
pub fn align(users: &[Value], all: &[Value]) -> Option<Vec<usize>> {
    let mut places = Vec::with_capacity(users.len());
    let last = users.iter().rposition(|variable| variable["name"] == var::RESOURCE_ATTRIBUTES);
    let mut at = 0;
    for (index, variable) in users.iter().enumerate() {
        let merged = |one: &Value| last == Some(index) && is_merged(variable, one);
        at += all[at..].iter().position(|one| one == variable || merged(one))?;
        places.push(at);
        at += 1;
    }
    Some(places)
}

/// Whether one is the other with text of ours in its value, and else the same.
fn is_merged(users: &Value, one: &Value) -> bool {
    let (Some(before), Some(now)) = (users.as_object(), one.as_object()) else { return false };
    let others = |entry: &Map<String, Value>| entry.clone().into_iter().filter(|(key, _)| key != "value").collect();
    let (theirs, same): (Map<_, _>, Map<_, _>) = (others(before), others(now));
    theirs == same && own_text(users, one).is_some()
}

/// What otelgate wrote into a user's literal: behind it, or before what somebody appended to both since.
pub fn own_text<'v>(users: &Value, one: &'v Value) -> Option<&'v str> {
    let mut value = users.get("value").filter(|value| !value.is_null()).map_or(Some(""), Value::as_str)?;
    let mut now = one["value"].as_str()?;
    loop {
        if let Some(own) = now.strip_prefix(value) {
            return Some(own);
        }
        (value, now) = APPENDED.iter().find_map(|late| Some((value.strip_suffix(late)?, now.strip_suffix(late)?)))?;
    }
}

fn set_variable(pod: &mut Value, container: usize, at: usize, variable: Value) {
    if let Some(place) = pod.pointer_mut(&format!("/spec/containers/{container}/env/{at}")) {
        *place = variable;
    }
}

fn insert_variable(pod: &mut Value, container: usize, at: usize, variable: Value) {
    let Some(Value::Object(container)) = pod.pointer_mut(&format!("/spec/containers/{container}")) else { return };
    match container.get_mut("env") {
        Some(Value::Array(list)) => list.insert(at, variable),
        _ => drop(container.insert("env".to_owned(), json!([variable]))),
    }
}

/// Adds a key where the object around it has a place for it.
fn put(pod: &mut Value, map: &str, key: &str, value: &str) {
    let mut place = pod;
    for field in ["metadata", map] {
        if place.get(field).is_none_or(Value::is_null) {
            let Some(object) = place.as_object_mut() else { return };
            object.insert(field.to_owned(), json!({}));
        }
        let Some(next) = place.get_mut(field) else { return };
        place = next;
    }
    if let Some(fields) = place.as_object_mut() {
        fields.insert(key.to_owned(), json!(value));
    }
}

fn remove(pod: &mut Value, map: &str, key: &str) {
    if let Some(Value::Object(map)) = pod.pointer_mut(&format!("/metadata/{map}")) {
        map.shift_remove(key);
    }
}
