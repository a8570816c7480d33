//! What an edit leaves as it was.

use super::*;

const DEPLOYMENT: &str = "\
# A comment above.
apiVersion: apps/v1
kind: Deployment # beside
metadata:
  name: web
  annotations: {}   # none yet
spec:
  template:
    metadata:
      labels: {app: web}
    spec:
      # the containers
      containers:
      - name: web   # the one
        image: nginx:1.27
        env:
        # first
        - name: A
          value: \"yes\"
        - {name: B, value: 'it''s'}
        args: [\"-c\", on]
      - name: side
        image: x

# trailing
";

#[test]
fn what_stands_in_braces_is_edited_there() {
    let text = "a: {k: 'v',  l: [1,  2], m: \"x\"}  # c\nb: []\nc:\nd: [ {name: x}, {name: z, v: 1} ]\n";
    let changed = rewritten(text, |value| {
        value["a"]["n.o/p"] = json!("3.0");
        value["a"]["l"] = json!([0, 1, 2, 3]);
        value["b"] = json!(["x"]);
        value["c"] = json!({"k": "v"});
        value["d"][1]["v"] = json!(2);
    });
    assert_eq!(
        changed,
        "a: {k: 'v',  l: [0, 1,  2, 3], m: \"x\", n.o/p: \"3.0\"}  # c\nb:\n- x\nc:\n  k: v\nd: [ {name: x}, {name: z, v: 2} ]\n"
    );
    let old = one(text);
    assert_eq!(rewritten(&changed, |value| *value = old), text);
    assert_eq!(rewritten("a: {k: 1, l: 2, m: 3}\n", |value| value["a"] = json!({"m": 3})), "a: {m: 3}\n");
    assert_eq!(rewritten("a: {k: 1, l: 2, m: 3}\n", |value| value["a"] = json!({"l": 2})), "a: {l: 2}\n");
    assert_eq!(rewritten("a: {k: 1, l}\n", |value| value["a"]["m"] = json!(1)), "a: {k: 1, l: null, m: 1}\n");
    assert_eq!(rewritten("a: {k: 1}\n", |value| value["a"] = json!({"l": 2})), "a: {l: 2}\n");
    let empty = "a: {k: [ ], l: { # of l\n  }, m: [{  }]}\n";
    let filled = rewritten(empty, |value| value["a"] = json!({"k": ["x", 1], "l": {"o": 2}, "m": [{"o": 3}]}));
    assert_eq!(filled, "a: {k: [x, 1 ], l: {o: 2 # of l\n  }, m: [{o: 3}]}\n");
    assert_eq!(rewritten(&filled, |value| value["a"] = json!({"k": [], "l": {}, "m": [{"o": 3}]})), {
        empty.replace("{  }", "{o: 3}")
    });
    assert_eq!(
        rewritten("a: {k: [x, ], l: [&x y]}\n", |value| value["a"] = json!({"k": [], "l": []})),
        "a: {k: [], l: []}\n"
    );
}

#[test]
fn a_tag_goes_with_the_kind_of_value_that_it_names() {
    for (text, new, wanted) in [
        ("{a: !!null null, b: 1}", json!({"k": "v"}), "{a: {k: v}, b: 1}"),
        ("{a: !!null ~, b: 1}", json!(["x"]), "{a: [x], b: 1}"),
        ("{a: !!null null, b: 1}", json!("x"), "{a: x, b: 1}"),
        ("{a: !!null , b: 1}", json!(["x"]), "{a: [x], b: 1}"),
        ("{a: !!map {k: v}, b: 1}", json!([]), "{a: [], b: 1}"),
        ("{a: !!map {k: v}, b: 1}", json!({"k": "w"}), "{a: !!map {k: w}, b: 1}"),
        ("{a: !!str 1, b: 1}", json!("w"), "{a: !!str w, b: 1}"),
        ("a: !!null\nb: 1 # b\n", json!(["x"]), "a: # was !!null\n- x\nb: 1 # b\n"),
        ("a: !!map\n  k: v\nb: 1 # b\n", json!([]), "a: []\nb: 1 # b\n"),
        ("a: !!map\n  k: v\nb: 1 # b\n", Value::Null, "a: null\nb: 1 # b\n"),
        ("a: &x !!seq\n- v\nb: 1 # b\n", json!([]), "a: []\nb: 1 # b\n"),
        ("a: !!str x # a\nb: 1 # b\n", json!("w"), "a: !!str w # a\nb: 1 # b\n"),
    ] {
        assert_eq!(rewritten(text, |value| value["a"] = new), wanted);
    }
}

#[test]
fn edits_keep_comments_order_and_style() {
    let text = rewritten(DEPLOYMENT, |value| {
        value["metadata"]["annotations"]["otelgate.dev/x"] = json!("1");
        let spec = &mut value["spec"]["template"];
        spec["metadata"]["labels"]["tags.datadoghq.com/service"] = json!("web");
        spec["metadata"]["annotations"] = json!({"a": "b: c"});
        let env = spec["spec"]["containers"][0]["env"].as_array_mut().expect("a list");
        env.insert(0, json!({"name": "FIRST", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}));
        env[1]["value"] = json!("no,x=1");
        env.push(json!({"name": "LAST", "value": "0644"}));
        spec["spec"]["containers"][1]["env"] = json!([{"name": "X", "value": "$$(A)"}]);
    });
    let wanted = "\
# A comment above.
apiVersion: apps/v1
kind: Deployment # beside
metadata:
  name: web
  annotations:   # none yet
    otelgate.dev/x: \"1\"
spec:
  template:
    metadata:
      labels: {app: web, tags.datadoghq.com/service: web}
      annotations:
        a: \"b: c\"
    spec:
      # the containers
      containers:
      - name: web   # the one
        image: nginx:1.27
        env:
        - name: FIRST
          valueFrom:
            fieldRef:
              fieldPath: metadata.name
        # first
        - name: A
          value: \"no,x=1\"
        - {name: B, value: 'it''s'}
        - name: LAST
          value: \"0644\"
        args: [\"-c\", on]
      - name: side
        image: x
        env:
        - name: X
          value: $$(A)

# trailing
";
    assert_eq!(text, wanted);
    assert_eq!(rewritten(&text.replace('\n', "\r\n"), |value| value["metadata"]["name"] = json!("w")), {
        wanted.replace("name: web\n  annotations", "name: w\n  annotations").replace('\n', "\r\n")
    });
}

#[test]
fn edits_take_lines_out_again() {
    let injected = rewritten(DEPLOYMENT, |value| {
        value["spec"]["template"]["metadata"]["annotations"] = json!({"a": "b", "c": "d"});
        value["spec"]["template"]["spec"]["containers"][1]["env"] = json!([{"name": "X", "value": "y"}]);
        let env = value["spec"]["template"]["spec"]["containers"][0]["env"].as_array_mut().expect("a list");
        env.insert(0, json!({"name": "Z", "value": "z"}));
    });
    let undone = rewritten(&injected, |value| {
        let template = value["spec"]["template"].as_object_mut().expect("a map");
        template["metadata"].as_object_mut().expect("a map").shift_remove("annotations");
        template["spec"]["containers"][1].as_object_mut().expect("a map").shift_remove("env");
        template["spec"]["containers"][0]["env"].as_array_mut().expect("a list").remove(0);
    });
    assert_eq!(undone, DEPLOYMENT);
}

#[test]
fn a_text_without_a_newline_at_its_end_stays_one() {
    let env = json!([{"name": "X", "value": "w"}]);
    for (text, wanted) in [
        ("a: 1", "a: 1\nnew: z"),
        ("a: 1 # c", "a: 1 # c\nnew: z"),
        ("a: 1  ", "a: 1  \nnew: z"),
        ("a: 1\nl:\n- name: a", "a: 1\nl:\n- name: a\n  env:\n  - name: X\n    value: w\nnew: z"),
        ("l:\n- name: a\n  v: {}", "l:\n- name: a\n  v:\n    k: v\n  env:\n  - name: X\n    value: w\nnew: z"),
        ("l:\n- name: a\n  v:", "l:\n- name: a\n  v:\n    k: v\n  env:\n  - name: X\n    value: w\nnew: z"),
        ("l:\n- {name: a}", "l:\n- {name: a, env: [{name: X, value: w}]}\nnew: z"),
        ("l:\n- name: a\n...", "l:\n- name: a\n  env:\n  - name: X\n    value: w\nnew: z\n..."),
        ("# c\r\nl:\r\n- name: a", "# c\r\nl:\r\n- name: a\r\n  env:\r\n  - name: X\r\n    value: w\r\nnew: z"),
        // A block scalar ends with a newline, whether it is written or not.
        ("a: | # of a\n  x\n  y", "a: | # of a\n  x\n  y\nnew: z"),
        ("# c\r\na: >\r\n  x", "# c\r\na: >\r\n  x\r\nnew: z"),
        (
            "l:\n- name: a # a\n  args:\n  - |+\n    x",
            "l:\n- name: a # a\n  args:\n  - |+\n    x\n  env:\n  - name: X\n    value: w\nnew: z",
        ),
    ] {
        let old = one(text);
        let changed = rewritten(text, |value| {
            if let Some(item) = value.pointer_mut("/l/0") {
                if item.get("v").is_some() {
                    item["v"] = json!({"k": "v"});
                }
                item["env"] = env.clone();
            }
            value["new"] = json!("z");
        });
        assert_eq!(changed, wanted);
        assert_eq!(rewritten(&changed, |value| *value = old), text, "by way of {changed:?}");
    }
    assert_eq!(rewritten("a: 1\nb: 2", |value| *value = json!({"a": 1})), "a: 1");
    assert_eq!(rewritten("- a\n- b", |value| *value = json!(["a", "c", "d"])), "- a\n- c\n- d");
    // Where the newline that would be left out is the value's own, it stays.
    let kept = "a: |+ # of a\n  x\n\n";
    assert_eq!(rewritten(&format!("{kept}b: 2"), |value| *value = json!({"a": "x\n\n"})), kept);
}

#[test]
fn a_key_behind_a_question_mark_costs_no_comment() {
    let text = "m: # of m\n  ? a # of a\n  : 1\n  b: 2 # of b\n? l\n: - x\n# end\n";
    let grown = rewritten(text, |value| value["m"]["c"] = json!(3));
    assert_eq!(grown, text.replace("# of b\n", "# of b\n  c: 3\n"));
    assert_eq!(rewritten(&grown, |value| drop(value["m"].as_object_mut().expect("a map").shift_remove("c"))), text);
    let all = rewritten(text, |value| *value = json!({"m": {"b": 2}, "l": ["x", "w"], "c": 3}));
    assert_eq!(all, "m: # of m\n  b: 2 # of b\nl:\n- x\n- w\nc: 3\n# end\n");
    let changed = rewritten(text, |value| value["m"]["a"] = json!(3));
    assert_eq!(changed, text.replace("? a # of a\n  : 1", "a: 3"));
    let below = "? l # of l\n:\n  # of x\n  - x # x\nb: 2\n";
    let first = rewritten(below, |value| value["l"] = json!(["w", "x"]));
    assert!(first.contains("b: 2\n") && first.contains("# x\n"), "{first}");
}

#[test]
fn an_item_without_a_name_is_edited_where_it_stands() {
    let text = "items:\n# one\n- kind: P # a\n  v: 1\n# two\n- kind: P # b\n  v: 2\n- x\n# three\n- y\n";
    let changed = rewritten(text, |value| {
        value["items"][0]["v"] = json!(3);
        value["items"][1]["v"] = json!(4);
        value["items"][3] = json!({"name": "z"});
    });
    assert_eq!(changed, text.replace("v: 1", "v: 3").replace("v: 2", "v: 4").replace("- y", "- name: z"));
}

#[test]
fn objects_of_one_name_in_two_namespaces_are_two() {
    let item = |namespace: &str| format!("- kind: P\n  metadata: {{name: p, namespace: {namespace}}} # {namespace}\n");
    let text = format!("items:\n{}{}", item("a"), item("b"));
    let changed = rewritten(&text, |value| drop(value["items"].as_array_mut().expect("a list").remove(0)));
    assert_eq!(changed, format!("items:\n{}", item("b")));
}

#[test]
fn a_long_list_is_edited_entry_by_entry() {
    let text = (0..3000).fold("l:\n".to_owned(), |text, i| text + &format!("- name: n{i} # {i}\n  v: a\n"));
    let changed = rewritten(&text, |value| {
        let list = value["l"].as_array_mut().expect("a list");
        for item in list.iter_mut() {
            item["v"] = json!("b");
        }
        list.insert(1500, json!({"name": "new"}));
    });
    let wanted = text.replace("v: a", "v: b").replace("- name: n1500 ", "- name: new\n- name: n1500 ");
    assert_eq!(changed, wanted);
}

#[test]
fn what_aliases_and_anchors_make_of_a_value_is_written_out_and_nothing_else() {
    let add = |list: &mut Value| list.as_array_mut().expect("a list").push(json!("new"));
    let text = "a: &x # an anchor\n- one # of one\nb: *x\nc: *x # beside\nd: 1 # d\n";
    // An alias that changes.
    assert_eq!(rewritten(text, |value| add(&mut value["b"])), text.replace("b: *x", "b:\n- one\n- new"));
    // Both of them.
    let both = rewritten(text, |value| ["a", "b", "c"].iter().for_each(|key| add(&mut value[*key])));
    assert_eq!(both, text.replace("# of one\n", "# of one\n- new\n"));
    // An anchor whose aliases stay.
    let anchor = rewritten(text, |value| add(&mut value["a"]));
    assert_eq!(anchor, "a: &x # an anchor\n- one # of one\n- new\nb:\n- one\nc:\n- one\nd: 1 # d\n");
    // A merge.
    let text = "a: &x # an anchor\n  k: [v] # of k\nb: # of b\n  <<: *x # merged\n  l: 1 # of l\n";
    let merged = rewritten(text, |value| add(&mut value["b"]["k"]));
    assert_eq!(merged, format!("{text}  k:\n  - v\n  - new\n"));
    // In a list.
    let text = "a: &x {k: 1} # an anchor\nl:\n# first\n- *x\n- {k: 2} # second\n";
    assert_eq!(rewritten(text, |value| value["l"][0]["k"] = json!(3)), text.replace("- *x", "- k: 3"));
}

#[test]
fn a_dash_may_stand_above_its_entry() {
    let text = "l:\n  -\n    # of a\n    name: a # beside\n  -\n    name: b # likewise\n    v: 1\n";
    let changed = rewritten(text, |value| {
        value["l"][0]["v"] = json!(1);
        value["l"].as_array_mut().expect("a list").insert(1, json!({"name": "c"}));
    });
    assert_eq!(changed, text.replace("# beside\n", "# beside\n    v: 1\n  - name: c\n"));
    let removed = rewritten(text, |value| drop(value["l"].as_array_mut().expect("a list").remove(1)));
    assert_eq!(removed, "l:\n  -\n    # of a\n    name: a # beside\n");
    for dash in [
        "- # odd\n    ",
        "- # - odd\n\n    # more\n    ",
        "- &x # odd\n    ",
        "- !!map\n    ",
        "-\n    &x # odd\n    ",
        "- &x !!map\n    ",
    ] {
        let text = format!("l: # of l\n  # of a\n  {dash}name: a # beside\nb: 1 # of b\n");
        let changed = rewritten(&text, |value| {
            value["l"][0]["v"] = json!(1);
            value["l"].as_array_mut().expect("a list").push(json!({"name": "c"}));
        });
        assert_eq!(changed, text.replace("# beside\n", "# beside\n    v: 1\n  - name: c\n"));
        let old = one(&text);
        assert_eq!(rewritten(&changed, |value| *value = old), text);
        let emptied = rewritten(&text, |value| value["l"] = json!([{"name": "b"}, {"name": "a"}]));
        assert_eq!(emptied, text.replace("# of l\n", "# of l\n  - name: b\n"));
    }
}

#[test]
fn entries_beside_block_scalars_are_edited() {
    let text = "m: # of m\n  a: |+\n    one\n    two\n\n  b: >- # folded\n    x\n    y\nl:\n- |\n  text\n  more\n- name: z # of z\n  v: |-\n    p\n    q\n";
    let changed = rewritten(text, |value| {
        value["m"]["c"] = json!("new");
        value["m"]["b"] = json!("x y,z=1");
        value["l"][1]["v"] = json!("p\nq\nr");
        value["l"].as_array_mut().expect("a list").push(json!({"name": "last"}));
    });
    assert_eq!(
        changed,
        "m: # of m\n  a: |+\n    one\n    two\n\n  b: >- # folded\n    x\n    y,z=1\n  c: new\nl:\n- |\n  text\n  more\n- name: z # of z\n  v: |-\n    p\n    q\n    r\n- name: last\n"
    );
    for text in ["# c\na: >-\n  x\n  y", "# c\na: |\r\n  x\r\n  y\r\nb: 1 # b\r\n"] {
        let changed = rewritten(text, |value| value["a"] = json!("z"));
        let end = text.find("\r\nb").map_or("", |at| &text[at..]);
        assert_eq!(changed, format!("# c\na: z{end}"));
    }
}

#[test]
fn a_comment_beside_an_indicator_stays() {
    for (text, old, grown, undone) in [
        ("| # of v\n    a\n    b\n", "a\nb\n", "|- # of v\n    a\n    b\n    ,c\n", "| # of v\n    a\n    b\n"),
        ("|   # of v\n    a\n", "a\n", "|- # of v\n    a\n    ,c\n", "\"a\\n\" # of v\n"),
        (">2 # of v\n    a\n    b\n", "a b\n", "|- # of v\n    a b\n    ,c\n", "\"a b\\n\" # of v\n"),
    ] {
        for (before, after) in
            [("l:\n- name: x\n  v: ", "  w: 1 # w\n"), ("l:\n- v: ", "  name: x\n"), ("l:\n- v: ", "")]
        {
            let whole = |v: &str| format!("{before}{v}{after}");
            let of = |v: &str| if after.is_empty() { whole(v).trim_end().to_owned() } else { whole(v) };
            let changed = rewritten(&of(text), |value| value["l"][0]["v"] = json!(format!("{old},c")));
            assert_eq!(changed, of(grown));
            assert_eq!(rewritten(&changed, |value| value["l"][0]["v"] = json!(old)), of(undone));
        }
    }
}

/// Where it can't be changed in its place, it alone is written anew.
#[test]
fn a_text_behind_a_dash_leaves_what_stands_below_it() {
    let text = "l:\n- value: |\n    a\n    b\n  name: x # its name\n  from: ~\n- name: z # another\n";
    let changed = rewritten(text, |value| value["l"][0]["value"] = json!("a\nb\n,c"));
    assert_eq!(
        changed,
        "l:\n- value: |-\n    a\n    b\n    ,c\n  name: x # its name\n  from: ~\n- name: z # another\n"
    );
    assert_eq!(rewritten(&changed, |value| value["l"][0]["value"] = json!("a\nb\n")), text);
}

#[test]
fn how_a_null_or_an_empty_collection_was_written_is_given_back() {
    let plain = ["", " {}", " []"];
    for written in [
        "",
        " null",
        " ~",
        " NULL",
        "  null",
        "\t~",
        " !!null ~",
        " {}",
        "  {}",
        " { }",
        " []",
        " [ ]",
        "\n    null",
        "\n\n    {}",
    ] {
        for beside in ["", " # c", "   # c"] {
            for new in [json!({"k": "v"}), json!(["x"]), json!([{"name": "x"}]), json!("x")] {
                for text in [
                    format!("a: # a\n  b:{written}{beside}\n  c: 1 # c\n# end\n"),
                    format!("a: # a\n- b:{written}{beside}\n  c: 1 # c\n# end\n"),
                    format!("a: # a\n  b:{written}{beside}").replace('\n', "\r\n"),
                ] {
                    // A text takes an empty collection's place for good.
                    if new.is_string() && !one(&text).pointer("/a/b").is_some_and(Value::is_null) {
                        continue;
                    }
                    let old = one(&text);
                    let changed = rewritten(&text, |value| match &mut value["a"] {
                        Value::Array(items) => items[0]["b"] = new.clone(),
                        map => map["b"] = new.clone(),
                    });
                    assert_eq!(changed.contains("# was "), !plain.contains(&written), "{changed}");
                    assert_eq!(rewritten(&changed, |value| *value = old), text, "by way of {changed:?}");
                }
            }
        }
    }
    let text = "a:\n  b: ~ # b\n  c: null\n  d:\n    {}\n";
    let changed = rewritten(text, |value| *value = json!({"a": {"b": "x", "c": {"k": 1}, "d": {"l": 2}}}));
    assert_eq!(changed, "a:\n  b: x # was ~ # b\n  c: # was null\n    k: 1\n  d:\n    # was {}\n    l: 2\n");
    // A comment of somebody else that looks like one of those goes.
    let changed = rewritten("a: # was null\nb: 1 # b\n", |value| value["a"] = json!(["x"]));
    assert_eq!(changed, "a:\n- x\nb: 1 # b\n");
    let other = "a: # was {}\n- x\nb: # was x\n- x\n";
    assert_eq!(rewritten(other, |value| *value = json!({"a": null, "b": "x"})), "a: # was {}\nb: x # was x\n");
}

#[test]
fn what_a_text_begins_with_keeps_its_escapes_and_lines() {
    for (text, tail) in [
        (r#"v: "\u00e9\/=1\t", w"#, r"'k'=\ü"),
        ("v: 'it''s=1', w", "'k'=\"ü"),
        ("v: a=1, w", ",k=$$(X)"),
        ("v: \"a=1,\\\n      b=2\", w", ",k=1"),
        ("v: 'a=1,\n\n      b=2', w", ",k=1"),
        ("v: a=1,\n      b=2, w", ",k=1"),
        ("v: >-\n      a=1,\n      b=2\n, w", ",k=1"),
        ("v: |- # v\n      a=1,\n      b=2\n\n, w", ",k=1"),
        ("v: !!str \"\\x31\", w", ",k=1"),
    ] {
        let block = format!(
            "a:\n  - name: a\n    {} # end\n",
            text.replace(", w", "\n    w: 1").replace("\n\n    w", "\n    w")
        );
        // A plain text in braces may need quotes then.
        let flow = (!text.contains(['|', '>']) && !text.starts_with("v: a"))
            .then(|| format!("a: [{{name: a, {text}: 1}}] # end\n"));
        for text in [Some(block), flow].into_iter().flatten() {
            let old = one(&text);
            let new = format!("{}{tail}", old["a"][0]["v"].as_str().expect("a text"));
            let changed = rewritten(&text, |value| value["a"][0]["v"] = json!(new));
            let renewed = rewritten(&changed, |value| value["a"][0]["v"] = json!(format!("{new}2")));
            assert_eq!(rewritten(&renewed, |value| *value = old), text, "by way of {changed:?}");
        }
    }
}

#[test]
fn what_cannot_be_edited_is_written_anew_between_its_comments() {
    // An edit of the anchor would change what the merge brings.
    let text = "# top\n---\na: &x # gone\n  k: 1\nb:\n  <<: *x\n# end\n---\n";
    let documents = read(text).expect("valid");
    let written = rewrite(&documents[0], &json!({"a": {"k": 2}, "b": {"k": 1}}));
    assert_eq!(written, "# top\n---\na:\n  k: 2\nb:\n  k: 1\n# end\n");
    let indented = read("\t'text' # c\n").expect("valid");
    assert_eq!(rewrite(&indented[0], &json!({"a": 1})), "\t\na: 1\n# c\n");
}

#[test]
fn what_only_some_readers_take_for_text_is_quoted_in_braces() {
    let mut text = String::new();
    write::flow(&mut text, &json!({"?x": "a:b", "k": ["wA*)", "http://x", "a b", "-c", "n", "1e3"]}));
    assert_eq!(text, r#"{"?x": "a:b", k: ["wA*)", "http://x", a b, "-c", "n", "1e3"]}"#);
}

#[test]
fn json_stays_json() {
    let pretty = "{\n    \"kind\": \"Pod\",\n    \"n\": 1.0\n}\n";
    let written = rewritten(pretty, |value| value["a"] = json!(["x"]));
    assert_eq!(written, "{\n    \"kind\": \"Pod\",\n    \"n\": 1.0,\n    \"a\": [\n        \"x\"\n    ]\n}\n");
    assert_eq!(rewritten("{\"a\":1}", |value| value["b"] = json!(2)), "{\"a\":1,\"b\":2}");
    let numbers =
        "{\n  \"a\\\\\\\" 7\": [\n    1e3,\n    -0,\n    1.50,\n    12345678901234567890123\n  ],\n  \"b\": \"1e3\"\n}";
    let written = rewritten(numbers, |value| value["b"] = json!("2e3"));
    assert_eq!(written, numbers.replace("\"1e3\"", "\"2e3\""));
    assert_eq!(rewritten(numbers, |value| drop(value.as_object_mut().expect("a map").shift_remove("b"))), {
        numbers.replace(",\n  \"b\": \"1e3\"", "")
    });
    let escaped = r#"{"a":"\u003cé\/\u00e9>","b":[1E+1,10,"x","\u0078"],"c\u003d":1.0}"#;
    let added = rewritten(escaped, |value| value["b"].as_array_mut().expect("a list").insert(0, json!("x")));
    assert_eq!(added, escaped.replace("[1E+1,10,\"x\",\"\\u0078\"", "[\"x\",1E+1,10,\"\\u0078\",\"x\""));
    let old = one(escaped);
    assert_eq!(rewritten(&added, |value| *value = old), escaped);
    let marked = "\u{feff} {\"a\":1}\n{\"b\":1}\n";
    let documents = read(marked).expect("a byte-order mark is no fault");
    assert!(documents.iter().all(|document| document.format == Format::Json));
    assert_eq!(rewrite(&documents[0], &json!({"a": 2})), "\u{feff} {\"a\":2}");
    assert_eq!(documents.iter().map(|document| document.text).collect::<String>(), marked);
    assert_eq!(fault("\u{feff}{\"a\": 1,\n \"a\": 2}"), (2, 8, Fault::DuplicateKey("a".into())));
}
