//! Whether a configuration hangs together: the Collector would say so only once it is started with it, on every node.

use serde_json::{Map, Value};

use super::Fault;
use super::additions::FIELD;
use super::distribution;
use super::names::Version;
use super::part::{Section, type_of};

/// What a pipeline can be of.
const SIGNALS: [&str; 4] = ["traces", "metrics", "logs", "profiles"];

/// A pipeline's lists, and where their components are declared.
const LISTS: [(&str, &[Section]); 3] = [
    ("receivers", &[Section::Receivers, Section::Connectors]),
    ("processors", &[Section::Processors]),
    ("exporters", &[Section::Exporters, Section::Connectors]),
];

/// `contrib` is the version, where the image is one of that distribution.
///
/// # Errors
/// Names the field, and what is missing.
pub fn check(document: &Map<String, Value>, contrib: Option<Version>) -> Result<(), Fault> {
    for section in Section::ALL {
        for id in declared(document, section) {
            well_named(section, id)?;
            if let Some(version) = contrib {
                in_distribution(section, id, version)?;
            }
        }
    }
    let service = document.get("service").and_then(Value::as_object);
    let pipelines = service.and_then(|service| service.get("pipelines")).and_then(Value::as_object);
    for (id, pipeline) in pipelines.into_iter().flatten() {
        pipeline_is_whole(document, id, pipeline)?;
    }
    for id in list(service.and_then(|service| service.get("extensions")), "service.extensions")? {
        if !is_declared(document, Section::Extensions, id) {
            return Err(undeclared("service.extensions", id, &[Section::Extensions]));
        }
    }
    Section::ALL.into_iter().try_for_each(|section| all_used(document, section))
}

fn pipeline_is_whole(document: &Map<String, Value>, id: &str, pipeline: &Value) -> Result<(), Fault> {
    let field = format!("service.pipelines.{id}");
    if !SIGNALS.contains(&type_of(id)) {
        return Err(fault(&field, format!("isn't a pipeline of {}", SIGNALS.join(", "))));
    }
    let Some(lists) = pipeline.as_object() else { return Err(fault(&field, "has to be a map")) };
    if let Some(other) = lists.keys().find(|key| LISTS.iter().all(|(name, _)| name != key)) {
        return Err(fault(&format!("{field}.{other}"), "is no part of a pipeline: receivers, processors, exporters"));
    }
    for (name, sections) in LISTS {
        let field = format!("{field}.{name}");
        let ids = list(lists.get(name), &field)?;
        if ids.is_empty() && name != "processors" {
            return Err(fault(&field, "has to name at least one"));
        }
        for (index, id) in ids.iter().enumerate() {
            if ids[..index].contains(id) {
                return Err(fault(&field, format!("names {id} twice")));
            }
            if !sections.iter().any(|section| is_declared(document, *section, id)) {
                return Err(undeclared(&field, id, sections));
            }
        }
    }
    Ok(())
}

/// A connector takes data of one pipeline to another one: both ends have to be there.
fn all_used(document: &Map<String, Value>, section: Section) -> Result<(), Fault> {
    let lists: &[&str] = match section {
        Section::Receivers => &["receivers"],
        Section::Processors => &["processors"],
        Section::Exporters => &["exporters"],
        Section::Connectors => &["receivers", "exporters"],
        Section::Extensions => &[],
    };
    let service = document.get("service");
    for id in declared(document, section) {
        let field = format!("{}.{id}", section.key());
        if section == Section::Extensions && !names(service.and_then(|service| service.get("extensions")), id) {
            return Err(fault(&field, "is declared, and isn't in service.extensions"));
        }
        for list in lists {
            let pipelines = service.and_then(|service| service.get("pipelines")).and_then(Value::as_object);
            if !pipelines.into_iter().flatten().any(|(_, pipeline)| names(pipeline.get(*list), id)) {
                return Err(fault(&field, format!("is declared, and is in no pipeline's {list}")));
            }
        }
    }
    Ok(())
}

fn well_named(section: Section, id: &str) -> Result<(), Fault> {
    let (kind, name) = id.split_once('/').map_or((id, None), |(kind, name)| (kind, Some(name)));
    let is_type = kind.starts_with(|c: char| c.is_ascii_alphabetic())
        && kind.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    let is_name = |name: &str| !name.is_empty() && !name.contains(|c: char| c.is_whitespace() || c.is_control());
    if is_type && name.is_none_or(is_name) {
        return Ok(());
    }
    Err(fault(&format!("{}.{id}", section.key()), "isn't a component's type, behind which / and a name may stand"))
}

fn in_distribution(section: Section, id: &str, version: Version) -> Result<(), Fault> {
    let kind = type_of(id);
    if distribution::has(version, section, kind) {
        return Ok(());
    }
    let meant = distribution::nearest(section, kind).map_or(String::new(), |name| format!("; did you mean {name}?"));
    let noun = section.noun();
    let fault_is = format!("is no {noun} of otelcol-contrib 0.{}{meant}", version.minor);
    Err(fault(&format!("{}.{id}", section.key()), fault_is))
}

fn undeclared(field: &str, id: &str, sections: &[Section]) -> Fault {
    let sections: Vec<&str> = sections.iter().map(|section| section.key()).collect();
    fault(field, format!("names {id:?}, which isn't declared under {}", sections.join(" or ")))
}

fn declared(document: &Map<String, Value>, section: Section) -> impl Iterator<Item = &str> {
    document.get(section.key()).and_then(Value::as_object).into_iter().flat_map(Map::keys).map(String::as_str)
}

fn is_declared(document: &Map<String, Value>, section: Section, id: &str) -> bool {
    document.get(section.key()).and_then(Value::as_object).is_some_and(|parts| parts.contains_key(id))
}

fn names(list: Option<&Value>, id: &str) -> bool {
    list.and_then(Value::as_array).is_some_and(|list| list.iter().any(|one| one == id))
}

fn list<'a>(value: Option<&'a Value>, field: &str) -> Result<Vec<&'a str>, Fault> {
    let Some(value) = value else { return Ok(Vec::new()) };
    let items = value.as_array().map(|items| items.iter().map(Value::as_str).collect::<Option<Vec<_>>>());
    items.flatten().ok_or_else(|| fault(field, "has to be a list of components' names"))
}

fn fault(field: &str, fault: impl Into<String>) -> Fault {
    Fault::new(format!("{FIELD}.{field}"), fault)
}
