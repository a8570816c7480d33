//! Which entries of a list are which ones of the list that takes its place.

use serde_json::Value;

/// Pairs of list entries that are compared at most.
const MAX_COMPARED: usize = 1_000_000;

/// Which old entries are which new ones: a longest common subsequence, where entries of one
/// name, or objects of one kind, namespace and name, are the same one.
pub fn align(old: &[Value], new: &[Value]) -> Option<Vec<(usize, usize)>> {
    let same = |a: &Value, b: &Value| a == b || identity(a).is_some_and(|one| Some(one) == identity(b));
    // Long lists differ in few entries.
    let head = old.iter().zip(new).take_while(|(old, new)| same(old, new)).count();
    let (length_old, length_new) = (old.len(), new.len());
    let tail = old[head..].iter().rev().zip(new[head..].iter().rev()).take_while(|(old, new)| same(old, new)).count();
    let (old, new) = (&old[head..old.len() - tail], &new[head..new.len() - tail]);
    if old.len().checked_mul(new.len())? > MAX_COMPARED {
        return None;
    }
    let width = new.len() + 1;
    let mut longest = vec![0usize; (old.len() + 1) * width];
    for i in (0..old.len()).rev() {
        for j in (0..new.len()).rev() {
            longest[i * width + j] = if same(&old[i], &new[j]) {
                longest[(i + 1) * width + j + 1] + 1
            } else {
                longest[(i + 1) * width + j].max(longest[i * width + j + 1])
            };
        }
    }
    let mut pairs: Vec<_> = (0..head).map(|index| (index, index)).collect();
    let (mut i, mut j) = (0, 0);
    while i < old.len() && j < new.len() {
        if same(&old[i], &new[j]) {
            pairs.push((head + i, head + j));
            i += 1;
            j += 1;
        } else if longest[(i + 1) * width + j] >= longest[i * width + j + 1] {
            i += 1;
        } else {
            j += 1;
        }
    }
    pairs.extend((0..tail).map(|index| (length_old - tail + index, length_new - tail + index)));
    Some(pairs)
}

/// What tells an entry from others, whatever else of it changes.
pub fn identity(value: &Value) -> Option<[&str; 3]> {
    if let Some(name) = value.get("name") {
        return Some(["", "", name.as_str()?]);
    }
    let namespace = value.pointer("/metadata/namespace").and_then(Value::as_str).unwrap_or_default();
    Some([value.get("kind")?.as_str()?, namespace, value.pointer("/metadata/name")?.as_str()?])
}
