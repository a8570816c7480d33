mod edits;
mod faults;

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::{Map, json};

use super::*;

/// Texts and what kubectl's own reader (sigs.k8s.io/yaml 1.6.0) makes of them, behind whose last line kubectl puts a newline;
/// nothing where it refuses them.
const KUBECTL: &str = include_str!("../../tests/data/kubectl-yaml.jsonl");

/// Read here and refused by kubectl, which says so when it gets them: YAML 1.2, and texts that harm nobody.
const ACCEPTED_HERE: [&str; 15] = [
    "\ta: 1",
    "-\ta",
    "a: 1\n\t\nb: 2",
    "a: \"x\\u00e9\\n\\x41\\/\\_\"",
    "a: \"\\/\"",
    "a: \"\\ud83d\\ude00\"",
    "a: \u{85}x",
    "a: x\u{2028}y",
    "...\n",
    "%YAML 1.2\n---\na: 1",
    "%YAML 1.3\n---\na: 1",
    "%FOO x\n---\na: 1",
    "a: &x-y.z 1\nb: *x-y.z",
    // kubectl takes the question mark for YAML's own here.
    "a: [?x]",
    "",
];

/// Refused here, because kubectl silently drops a part of them.
const REFUSED_HERE: [&str; 8] = [
    "a: 1\na: 2",
    "a: 1\n'a': 2",
    "1: a\n'1': b",
    "yes: 1\ntrue: 2",
    "yes: 1\n'true': 2",
    "a: {b: 1, b: 2}",
    "'a':1",
    " a: 1\nb: 2",
];

/// Read by that reader, and refused by kubectl, which cuts documents apart before.
const CUT_BEFORE: &str = "--- {a: 1}";

fn one(text: &str) -> Value {
    let documents = read(text).expect("the text is a manifest");
    assert_eq!(documents.len(), 1, "{text:?}");
    documents[0].value.clone()
}

fn fault(text: &str) -> (usize, usize, Fault) {
    let error = read(text).expect_err("the text is faulty");
    (error.line, error.column, error.fault)
}

fn rewritten(text: &str, change: impl FnOnce(&mut Value)) -> String {
    let documents = read(text).expect("the text is a manifest");
    let mut value = documents[0].value.clone();
    change(&mut value);
    let written = rewrite(&documents[0], &value);
    assert_eq!(one(&written), value, "{written}");
    written
}

#[test]
fn scalars_and_keys_are_what_they_are_to_kubectl() {
    let mut wrong = String::new();
    for line in KUBECTL.lines() {
        let row: Vec<String> = serde_json::from_str(line).expect("a row is a list of strings");
        let text = row[0].as_str();
        let ours = read(text).map(|documents| documents[0].value.clone());
        let theirs = row.get(1).map(|json| serde_json::from_str::<Value>(json).expect("kubectl answers JSON"));
        let right = match (&ours, &theirs) {
            _ if REFUSED_HERE.contains(&text) || text == CUT_BEFORE => ours.is_err(),
            _ if ACCEPTED_HERE.contains(&text) => ours.is_ok(),
            (Ok(ours), Some(theirs)) => ours == theirs,
            (ours, theirs) => ours.is_err() && theirs.is_none(),
        };
        if !right {
            wrong += &[text, " here ", &format!("{ours:?}"), ", kubectl ", &format!("{theirs:?}"), "\n"].concat();
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

#[test]
fn slices_give_the_input_back() {
    let texts = [
        "",
        "# only a comment\n",
        "---\n",
        "a: 1",
        "a: 1\n---\nb: 2\n",
        "# top\n---\na: 1 # x\n# between\n---\n# of b\nb: 2\n...\n# after\n---\n---\nc: |\n  text\n\n\n# end",
        "%YAML 1.1\n---\na: 1\n...\n%YAML 1.1\n# c\n---\nb: 1\n",
        "\u{feff}a: 1\r\n---\r\nb: 2\r\n",
        "{\"a\":1}\n{\"b\":2}\n\n",
        "--- # c\n{a: 1}\n---\t\n--- \t# d\n|\n text\n",
    ];
    for text in texts {
        let documents = read(text).expect(text);
        assert_eq!(documents.iter().map(|document| document.text).collect::<String>(), text);
        for document in documents {
            assert_eq!(rewrite(&document, &document.value), document.text);
        }
    }
}

#[test]
fn documents_know_their_lines() {
    let lines = |text| read(text).expect("valid").iter().map(|document| document.line).collect::<Vec<_>>();
    assert_eq!(lines("# c\n\na: 1\n---\n# c\nb: 1\n---\n{c: 1}\n"), [3, 6, 8]);
    assert_eq!(lines("\n{\"a\":\n1}\n\n{\"b\":1}"), [2, 5]);
}

#[test]
fn bombs_are_refused_before_they_cost_anything() {
    let bomb = (0..40).fold("a0: &a0 [x, x]\n".to_owned(), |text, i| {
        text + &format!("a{}: &a{} [{}]\n", i + 1, i + 1, vec![format!("*a{i}"); 9].join(", "))
    });
    assert_eq!(fault(&bomb).2, Fault::AliasBomb);
    assert_eq!(fault(&format!("{}{}", "[".repeat(150), "]".repeat(150))).2, Fault::TooDeep);
    let nested = (0..99).fold("x".to_owned(), |text, _| format!("[{text}]"));
    assert!(read(&nested).is_ok());
    let staircase = (0..40)
        .fold("a0: &a0 [[[x]]]\n".to_owned(), |text, i| text + &format!("a{}: &a{} [[[*a{i}]]]\n", i + 1, i + 1));
    assert_eq!(fault(&staircase).2, Fault::TooDeep);
    assert!(matches!(fault(&"{\"a\":".repeat(500)).2, Fault::TooDeep | Fault::Json(_)));
}

#[test]
fn bytes_that_are_no_text_are_named() {
    let utf16: Vec<u8> = "kind: Pod\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
    assert_eq!(decode(&utf16).expect_err("UTF-16").fault, Fault::Utf16);
    assert_eq!(decode(b"\xff\xfek\0").expect_err("UTF-16").fault, Fault::Utf16);
    let error = decode(b"a: 1\nb: \xe9\n").expect_err("Latin 1");
    assert_eq!((error.line, error.fault), (2, Fault::NotUtf8));
    let error = decode(b"a: 1\nb: 2\nc: \0\nd: 1234567890").expect_err("binary");
    assert_eq!((error.line, error.fault), (3, Fault::Binary));
    assert_eq!(decode(&vec![b' '; MAX_INPUT + 1]).expect_err("large").fault, Fault::TooLarge);
    assert_eq!(decode("a: é".as_bytes()), Ok("a: é"));
}

/// All that can be seen of what reading a text in such parts gives, and of what reading it whole gives.
fn in_parts_and_whole(text: &str) -> [String; 2] {
    [parts::read_cut(1, &[text], 0).remove(0), read(text)].map(|read| format!("{read:#?}"))
}

#[test]
fn parts_give_what_the_whole_gives() {
    let staircase = "a: &a [x, x, x, x]\nb: &b [*a, *a, *a, *a]\nc: &c [*b, *b, *b, *b]\nd: [*c, *c, *c]\n---\n";
    let texts = [
        "",
        "a: 1",
        "---\n",
        "---\n---\n---",
        "# only a comment\n---\na: 1\n---\nb: 1\n",
        "...\n---\na: 1\n",
        "\u{feff}# c\n---\na: 1\n--- # d\nb: 1\n",
        "a: 1\n...\nb: 2\n---\nc: 3\n...\n# c\n---\n",
        "a: 1\n...\n---\nc: 3\n...\n# c\n---\n",
        "%TAG ! tag:x:\n---\na: 1\n---\nb: !x 1\n",
        "a: 1\n...\n%YAML 1.1\n---\nb: 1\n",
        "a: 1\r---\rb: 1\n---\nc: 1\n",
        "a: 1\r\n---\r\nb: 1\r\n--- # d\r\nc: 1\r\n",
        "a: 1\n---\nb: 1\n--- {c: 1}\n",
        "a: |+\n x\n\n\n---\nb: >-\n x\n # y\n---\n",
        "--- |\n---\na: 1\n",
        "kind: Pod\napiVersion: v1\nspec: |\n---\na: 1\n",
        "a: \"x\n---\ny\"\n",
        "a: [x,\n---\n]\n",
        "a: &x 1\n---\nb: *x\n",
        "a: 1\n---\nb: [\n---\nc: 1\nc: 2\n",
        "a: 1\n---\tb\n---\nc: 1\n",
        "{\"a\": 1}\n---\n{\"b\": 1}\n",
        "{a: 1}\n---\n{b: 1}\n",
        "apiVersion: v1\nkind: Pod\nspec: {}\n---\n# c\nkind: Pod # d\napiVersion: v1\nspec:\n  a: [x]\n",
        &staircase.repeat(400),
        &staircase.repeat(800),
    ];
    for text in texts {
        let [parts, whole] = in_parts_and_whole(text);
        assert_eq!(parts, whole, "{text:.200}");
    }
    let [parts, _] = in_parts_and_whole(&staircase.repeat(800));
    assert!(parts.contains("AliasBomb"), "no part has it, but all have: {parts:.200}");
}

#[test]
fn long_texts_are_read_by_several_threads() {
    let text = "# c\nkind: Pod\napiVersion: v1\nspec: {}\n---\n".repeat(10_000);
    let faulty = format!("{text}a: 1\na: 2\n");
    let texts = [text.as_str(), "a: 1", &faulty, &text];
    let read = |threads| read_all(threads, &texts).iter().map(|read| format!("{read:?}")).collect::<Vec<_>>();
    assert!(read(3) == read(1), "it depends on the threads");
}

/// Texts that some reader takes for something else, and texts that are hard to write.
fn text() -> impl Strategy<Value = String> {
    let hard: Vec<String> = KUBECTL
        .lines()
        .filter_map(|line| {
            serde_json::from_str::<Vec<String>>(line).ok()?.first()?.strip_prefix("a: ").map(str::to_owned)
        })
        .chain(
            [
                "- a", "-", "?", "a: b", "a #b", "#", "&a", "*a", "!a", "|", "'", "\"", "%a", "@", "`", "---", "--- a",
                "...",
            ]
            .map(str::to_owned),
        )
        .chain(
            ["a\nb", "a\nb\n", "a\n\nb\n\n", " a\nb", "\n", "\na", "a\n b\n", "a\n\tb", "a\n  \nb", "a\r\nb"]
                .map(str::to_owned),
        )
        .chain(
            ["\u{feff}a", "a\u{2029}b", "\u{1f600}", "é", "\u{fffe}", "\u{80}", "{{ x }}", "a: |", "k: v\n", "# c\nx"]
                .map(str::to_owned),
        )
        .chain(
            [" a", "a ", "a:", ":a", "0x", "1:2:3", "60:00", "1_0", "=", "<<", "NaN", "nil", "-.5", "a,b", "[a", "a]"]
                .map(str::to_owned),
        )
        .collect();
    prop_oneof![
        3 => proptest::sample::select(hard),
        2 => "[ -~]{0,12}",
        1 => "(?s).{0,6}",
        1 => "[a-z #:'\"\n-]{0,20}",
    ]
}

fn value() -> impl Strategy<Value = Value> {
    let number = prop_oneof![
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_filter("JSON has no others", |f| f.is_finite() && f.fract() != 0.0).prop_map(Value::from),
    ];
    let leaf = prop_oneof![4 => text().prop_map(Value::from), 2 => number, 1 => any::<bool>().prop_map(Value::from), 1 => Just(Value::Null)];
    leaf.prop_recursive(5, 40, 5, |inner| {
        prop_oneof![proptest::collection::vec(inner.clone(), 0..5).prop_map(Value::from), map(inner),]
    })
}

fn map(inner: impl Strategy<Value = Value>) -> impl Strategy<Value = Value> {
    proptest::collection::vec((text(), inner), 0..5)
        .prop_map(|entries| Value::Object(entries.into_iter().collect::<Map<_, _>>()))
}

/// A line of YAML, or more, whatever stands above it.
fn line() -> impl Strategy<Value = String> {
    #[rustfmt::skip]
    const SOME: &[&str] = &[
        "---\n", "---\n", "---\n", "--- ", "---\t", "---\r\n", "---x\n", "...\n", "# c\n", "\n", " ", "\r",
        "\u{feff}", "%YAML 1.1\n", "%TAG !x! y\n", "a: 1\n", "b: 1\n", "- x\n", "a: |\n", "a: >+\n", "|\n",
        "  x\n", "\tx\n", "x\n", "a: \"", "'", "a: [", "]\n", "{", "}\n", "a: &x y\n", "b: *x\n",
        "kind: Pod\napiVersion: v1\nspec: {}\n", "\u{85}", "\u{2028}", "? a\n", ": b\n", "!x!y z\n",
    ];
    prop_oneof![
        8 => proptest::sample::select(SOME).prop_map(str::to_owned),
        1 => value().prop_map(|value| document(&value)),
    ]
}

/// A reader of YAML 1.2: no booleans but true and false, no octals with a bare zero.
fn read_as_1_2(text: &str) -> Value {
    let options = serde_saphyr::options! { strict_booleans: true };
    serde_saphyr::from_str_with_options(text, options).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_written_is_read_the_same(value in value()) {
        let written = document(&value);
        prop_assert_eq!(&one(&written), &value, "{}", written);
        prop_assert_eq!(&read_as_1_2(&written), &value, "{}", written);
    }

    #[test]
    fn any_parts_give_what_the_whole_gives(lines in proptest::collection::vec(line(), 0..12)) {
        let [parts, whole] = in_parts_and_whole(&lines.concat());
        prop_assert_eq!(parts, whole);
    }

    #[test]
    fn what_is_edited_is_read_the_same(old in map(value()), new in map(value()), keep in any::<u8>()) {
        // Some keys stay as they are, so that there is something to edit around.
        let (Value::Object(old), Value::Object(mut new)) = (old, new) else { unreachable!("both are maps") };
        for (index, (key, value)) in old.iter().enumerate() {
            if keep >> (index % 8) & 1 == 1 {
                new.insert(key.clone(), value.clone());
            }
        }
        let text = format!("# top\n{}# end\n---\nnext: 1\n", document(&Value::Object(old)));
        let documents = read(&text).expect("what is written is read");
        let value = Value::Object(new);
        let rewritten = rewrite(&documents[0], &value) + documents[1].text;
        let reread = read(&rewritten).map_err(|error| TestCaseError::fail(format!("{error:?}\n{rewritten}")))?;
        prop_assert_eq!(reread.len(), 2);
        prop_assert_eq!(&reread[0].value, &value, "{}", rewritten);
        prop_assert_eq!(&reread[1].value, &json!({"next": 1}));
        prop_assert!(rewritten.starts_with("# top\n"));
    }
}

/// Gives maps in lists the names by which they are known again.
fn name_items(value: &mut Value) {
    match value {
        Value::Object(map) => map.values_mut().for_each(name_items),
        Value::Array(items) => {
            for (index, item) in items.iter_mut().enumerate() {
                name_items(item);
                if let Value::Object(map) = item {
                    map.insert("name".to_owned(), json!(format!("n{index}")));
                }
            }
        }
        _ => {}
    }
}

fn has_list_in_list(value: &Value) -> bool {
    match value {
        Value::Object(map) => map.values().any(has_list_in_list),
        Value::Array(items) => items.iter().any(|item| item.is_array() || has_list_in_list(item)),
        _ => false,
    }
}

/// Puts an entry into every map and list, behind every text of a map, and in the place of nulls.
fn grow(value: &mut Value) {
    match value {
        Value::Object(map) => {
            for (index, (name, value)) in map.iter_mut().enumerate() {
                match value {
                    Value::String(text) if name != "name" => text.push_str("=x"),
                    Value::Null => *value = [json!({"k": "v"}), json!(["x"]), json!("x")][index % 3].clone(),
                    other => grow(other),
                }
            }
            map.insert("otelgate.dev/added".to_owned(), json!("yes, it is: {}"));
        }
        // A list with texts of several lines is written anew.
        Value::Array(items) if !items.iter().any(|item| item.as_str().is_some_and(|text| text.contains('\n'))) => {
            items.iter_mut().for_each(grow);
            items.insert(items.len() / 2, json!({"name": "otelgate", "value": "$(X)"}));
        }
        _ => {}
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_added_and_taken_out_again_leaves_the_text_as_it_was(
        old in map(value()),
        flow in any::<bool>(),
        end in proptest::sample::select(vec![Some("# end\n"), Some(""), None]),
        null in proptest::sample::select(vec!["", " null", " ~", "  Null", " !!null null", " ~ # c", " # c"]),
        empty in proptest::sample::select(vec![" {}", " { }", "   {}", " {} # c"]),
    ) {
        let mut old = old;
        name_items(&mut old);
        let mut text = "# top\nkept: [a,   b] # beside\n".to_owned();
        if flow {
            text.push_str("flow: ");
            write::flow(&mut text, &old);
        } else {
            let block = document(&json!({"block": old}));
            // A list in a list is written anew.
            let (null, empty) = if has_list_in_list(&old) { (" null", " {}") } else { (null, empty) };
            text.push_str(&block.replace(": null\n", &format!(":{null}\n")).replace(": {}\n", &format!(":{empty}\n")));
        }
        text.push_str(match end {
            Some("") if flow => "\n",
            Some(_) if flow => " # end\n",
            end => end.unwrap_or_default(),
        });
        if end.is_none() && !flow {
            text.pop();
        }
        let documents = read(&text).expect("what is written is read");
        let mut grown = documents[0].value.clone();
        if let Some(grown) = grown.get_mut(if flow { "flow" } else { "block" }) {
            grow(grown);
        }
        let there = rewrite(&documents[0], &grown);
        let reread = read(&there).map_err(|error| TestCaseError::fail(format!("{error:?}\n{there}")))?;
        prop_assert_eq!(&reread[0].value, &grown);
        prop_assert_eq!(rewrite(&reread[0], &documents[0].value), text, "by way of\n{}", there);
    }
}

#[test]
fn objects_with_a_template_are_found_with_their_owners() {
    let text = "\
apiVersion: v1
kind: List
items:
- {apiVersion: v1, kind: Pod, metadata: {name: p, namespace: n}, spec: {}}
- {apiVersion: v1, kind: ConfigMap, metadata: {name: c}}
- apiVersion: apps/v1
  kind: DeploymentList
  items:
  - {apiVersion: apps/v1, kind: Deployment, metadata: {name: d}, spec: {template: {spec: {}}}}
  - {metadata: {name: typeless}, spec: {template: {spec: {}}}}
  - {kind: 7, metadata: {name: typed-wrongly}, spec: {template: {spec: {}}}}
- {apiVersion: batch/v1, kind: CronJob, metadata: {name: cj}, spec: {jobTemplate: {spec: {template: {}}}}}
- {apiVersion: argoproj.io/v1alpha1, kind: Rollout, metadata: {name: r}, spec: {template: {}}}
- {apiVersion: argoproj.io/v1alpha1, kind: Rollout, metadata: {name: ref}, spec: {workloadRef: {}}}
- {apiVersion: example.com/v1, kind: Deployment, metadata: {name: foreign}, spec: {template: {}}}
- apiVersion: batch/v1
  kind: Job
  metadata: {name: cj-29000000, ownerReferences: [{apiVersion: batch/v1, kind: CronJob, name: cj, controller: true}]}
  spec: {template: {}}
- {apiVersion: apps.kruise.io/v1beta1, kind: StatefulSet, metadata: {name: k}, spec: {template: {spec: {}}}}
- {apiVersion: e.com/v1, kind: X, metadata: {name: x}, spec: {template: {metadata: {labels: {a: b}}, spec: {containers: [{name: a}]}}}}
- {apiVersion: e.com/v1, kind: X, metadata: {name: x}, spec: {template: {spec: {containers: [{name: a}]}}}}
- {apiVersion: e.com/v1, kind: X, metadata: {name: x}, spec: {template: {metadata: {labels: {a: b}}, spec: {containers: [{name: a}, {image: b}]}}}}
- {apiVersion: e.com/v1, kind: X, metadata: {name: x}, spec: {template: {metadata: {labels: {a: b}}, spec: {containers: []}}}}
- {apiVersion: serving.knative.dev/v1, kind: Service, metadata: {name: s}, spec: {template: {metadata: {labels: {a: b}}, spec: {containers: [{name: a}]}}}}
";
    let value = one(text);
    let found: BTreeMap<_, _> = kind::templated(&value)
        .into_iter()
        .map(|templated| (templated.template, (templated.object.name.to_owned(), format!("{:?}", templated.workload))))
        .collect();
    let pointers: Vec<_> = found.keys().map(String::as_str).collect();
    assert_eq!(
        pointers,
        [
            "/items/0",
            "/items/2/items/0/spec/template",
            "/items/2/items/1/spec/template",
            "/items/3/spec/jobTemplate/spec/template",
            "/items/4/spec/template",
            "/items/7/spec/template",
            "/items/8/spec/template",
            "/items/9/spec/template",
        ]
    );
    assert!(found["/items/2/items/1/spec/template"].1.contains("Deployment { name: \"typeless\""));
    assert_eq!(found["/items/0"], ("p".to_owned(), "None".to_owned()));
    assert!(found["/items/7/spec/template"].1.contains("Job(\"cj-29000000\")"), "its pods name no other owner");
    assert!(
        found["/items/8/spec/template"]
            .1
            .contains("Other { group: \"apps.kruise.io\", kind: \"StatefulSet\", name: \"k\" }")
    );
    assert!(found["/items/9/spec/template"].1.contains("Other { group: \"e.com\", kind: \"X\", name: \"\" }"));
}
