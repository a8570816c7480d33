//! How large an object becomes by its patch.

use super::containers::Slot;
use super::patch::{LABELS, Node, Operation, Path, added};
use super::plan::{Entry, Value};
use super::view::{Container, Pod, Presence, Variable};
use crate::json;

/// In bytes of the JSON that API servers send, which give each `fieldRef` its version, and write some characters of strings
/// as six; at most, by a comma in each list or map that was empty, and a `null` that something takes the place of.
#[must_use]
pub fn grown(pod: &Pod<'_>, operations: &[Operation<'_>]) -> usize {
    let (mut comes, mut goes) = (Vec::new(), Vec::new());
    for operation in operations {
        match operation {
            Operation::Add(path, node) => {
                push_name(&mut comes, *path);
                node.push(&mut comes);
                comes.push(b',');
            }
            Operation::Replace(path, node) => {
                node.push(&mut comes);
                push_present(&mut goes, *path, pod);
            }
            Operation::Remove(path) => {
                push_name(&mut goes, *path);
                push_present(&mut goes, *path, pod);
                goes.push(b',');
            }
        }
    }
    let longer = comes.iter().filter(|byte| matches!(byte, b'<' | b'>' | b'&')).count() * (r"\u0026".len() - 1);
    let versions = operations.iter().map(fields).sum::<usize>() * r#""apiVersion":"v1","#.len();
    (pod.size + comes.len() + longer + versions).saturating_sub(goes.len())
}

/// How many of a node's variables have a `fieldRef`.
fn fields(operation: &Operation<'_>) -> usize {
    let (Operation::Add(_, node) | Operation::Replace(_, node)) = operation else { return 0 };
    let is_field = |entry: &&Entry<'_>| matches!(entry.value, Some(Value::Field(_)));
    match node {
        Node::Variable(entry) => usize::from(is_field(entry)),
        Node::Variables(entries) => added(entries).filter(is_field).count(),
        Node::Null | Node::Text(_) | Node::Map(_) | Node::Metadata { .. } => 0,
    }
}

/// What stands in front of a value in an object; nothing does in a list.
fn push_name(out: &mut Vec<u8>, path: Path<'_>) {
    let name = match path {
        Path::Metadata => "metadata",
        Path::Map(name) | Path::Key(_, name) => name,
        Path::Env(_) => "env",
        Path::VariableValue(..) => "value",
        Path::Variable(..) => return,
    };
    json::push_string(out, name);
    out.push(b':');
}

/// What stands there now: only what otelgate wrote, or appended to, is replaced or removed.
fn push_present(out: &mut Vec<u8>, path: Path<'_>, pod: &Pod<'_>) {
    match path {
        Path::Key(map, key) => {
            let maps = &pod.metadata.value;
            let map = if map == LABELS { &maps.labels } else { &maps.annotations };
            json::push_string(out, map.get(key).unwrap_or_default());
        }
        Path::Variable(slot, index) => push_variable(out, &container(pod, slot).env.items[index]),
        Path::VariableValue(slot, index) => {
            json::push_string(out, container(pod, slot).env.items[index].value.value.as_str());
        }
        Path::Metadata | Path::Map(_) | Path::Env(_) => {}
    }
}

fn push_variable(out: &mut Vec<u8>, variable: &Variable<'_>) {
    let mut push = |before: &[u8], text: &str, behind: &[u8]| {
        out.extend_from_slice(before);
        json::push_string(out, text);
        out.extend_from_slice(behind);
    };
    push(br#"{"name":"#, variable.name.as_str(), b"");
    if variable.value_from.presence == Presence::Filled {
        let path = variable.value_from.value.field_ref.field_path.as_str();
        push(br#","valueFrom":{"fieldRef":{"fieldPath":"#, path, b"}}}");
    } else {
        push(br#","value":"#, variable.value.value.as_str(), b"}");
    }
}

fn container<'p, 'a>(pod: &'p Pod<'a>, slot: Slot) -> &'p Container<'a> {
    let spec = &pod.spec;
    let list = if slot.init { &spec.init_containers } else { &spec.containers };
    &list.items[slot.index]
}
