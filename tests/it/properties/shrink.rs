//! A failing case made small: whatever can be left out without the failure going away is left out.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::breakage::collect;
use super::generate::Case;
use otelgate::config::Document;

/// How long it is tried before the case is taken as it is: one of a thousand containers takes a second each time.
const LONGEST: Duration = Duration::from_mins(2);

pub fn shrink(case: Case, fails: impl Fn(&Case) -> bool) -> Case {
    let mut smallest = case;
    let begun = Instant::now();
    loop {
        let better = candidates(&smallest).find(|candidate| begun.elapsed() < LONGEST && fails(candidate));
        match better {
            Some(better) => smallest = better,
            None => return smallest,
        }
    }
}

/// Simpler cases, the boldest first.
fn candidates(case: &Case) -> impl Iterator<Item = Case> {
    settings(case).into_iter().chain(edits(case)).chain(pods(case))
}

fn settings(case: &Case) -> Vec<Case> {
    let mut all = Vec::new();
    let mut consider = |changed: &dyn Fn(&mut Case)| {
        let mut simpler = case.clone();
        changed(&mut simpler);
        let same = simpler.setting.document == case.setting.document
            && simpler.history.is_some() == case.history.is_some()
            && simpler.setting.namespace.annotations == case.setting.namespace.annotations
            && simpler.setting.template_of == case.setting.template_of;
        if !same {
            all.push(simpler);
        }
    };
    consider(&|case| case.history = None);
    consider(&|case| case.setting.document = Document::default());
    consider(&|case| case.setting.document.env.clear());
    consider(&|case| case.setting.document.otlp = Document::default().otlp);
    consider(&|case| case.setting.document.sampler = None);
    consider(&|case| case.setting.document.cluster_name = None);
    consider(&|case| case.setting.document.environment = None);
    consider(&|case| case.setting.document.propagators.clear());
    consider(&|case| case.setting.namespace.annotations = Some(Vec::new()));
    consider(&|case| case.setting.template_of = None);
    all
}

fn edits(case: &Case) -> Vec<Case> {
    let Some(history) = &case.history else { return Vec::new() };
    let mut all: Vec<Case> = (0..history.edits.len())
        .map(|index| {
            let mut simpler = case.clone();
            simpler.history.iter_mut().for_each(|history| drop(history.edits.remove(index)));
            simpler
        })
        .collect();
    if history.setting.document != case.setting.document {
        let mut simpler = case.clone();
        simpler.history.iter_mut().for_each(|history| history.setting.document = case.setting.document.clone());
        all.push(simpler);
    }
    all
}

fn pods(case: &Case) -> impl Iterator<Item = Case> {
    let mut paths = Vec::new();
    collect(&case.original, "", &mut paths);
    paths.sort_by_key(|path| path.matches('/').count());
    let without = paths.clone().into_iter().filter_map(|path| {
        let mut simpler = case.clone();
        remove(&mut simpler.original, &path).then_some(simpler)
    });
    let shorter = paths.into_iter().filter_map(|path| {
        let mut simpler = case.clone();
        let text =
            simpler.original.pointer_mut(&path).filter(|value| value.as_str().is_some_and(|text| text.len() > 1))?;
        *text = json!(text.as_str()?.chars().take(text.as_str()?.chars().count() / 2).collect::<String>());
        Some(simpler)
    });
    without.chain(shorter)
}

fn remove(value: &mut Value, path: &str) -> bool {
    let Some((parent, last)) = path.rsplit_once('/') else { return false };
    let key = last.replace("~1", "/").replace("~0", "~");
    match value.pointer_mut(parent) {
        Some(Value::Object(fields)) => fields.shift_remove(&key).is_some(),
        Some(Value::Array(items)) => key.parse().is_ok_and(|index: usize| {
            items.remove(index);
            true
        }),
        _ => false,
    }
}
