//! What is wrong with a text, and where.

use std::time::Instant;

use serde_json::json;

use super::super::*;
use super::{fault, one};
use crate::growth::assert_linear;

#[test]
fn faults_name_line_and_column() {
    assert_eq!(fault("a: 1\nb:\n  c: 1\n  c: 2\n"), (4, 3, Fault::DuplicateKey("c".into())));
    assert_eq!(fault("{\"a\": 1,\n \"a\": 2}"), (2, 8, Fault::DuplicateKey("a".into())));
    assert_eq!(fault("a: 1\n---\nb: *x\n"), (3, 4, Fault::UnknownAlias));
    assert_eq!(fault("a: &a [*a]"), (1, 8, Fault::AliasOfItself));
    assert_eq!(fault("a:\n  - [b]: c\n"), (2, 5, Fault::KeyNotScalar));
    assert_eq!(fault("a: 1\n~: 2\n"), (2, 1, Fault::NullKey));
    assert_eq!(fault("a: .inf\n"), (1, 4, Fault::NotFinite(".inf".into())));
    assert_eq!(fault("a: !!int x\n"), (1, 10, Fault::WrongTag("int".into())));
    for separator in ["---b: 2", "--- {b: 2}", "--- |", "---\tb", "--- &x", "---#c", "--- \u{a0}"] {
        assert_eq!(fault(&format!("a: 1\n{separator}\n")), (2, 1, Fault::Separator), "{separator}");
    }
    assert_eq!(fault("{\"a\": 1}\n--- {\"b\": 1}\n"), (2, 1, Fault::Separator));
    assert_eq!(fault("a: 1\n...\nb: 2\n"), (3, 1, Fault::Unseparated));
    assert_eq!(fault("a: 1\n---\n# c\n...\nb: 2\n"), (5, 1, Fault::Unseparated));
    // A line ends here for a YAML parser, and not for kubectl.
    assert_eq!(fault("a: 1\r---\rb: 1\n").2, Fault::Unseparated);
    assert_eq!(fault("a: {<<: 1}\n").2, Fault::MergeNotMap);
    let (line, _, Fault::Syntax(_)) = fault("a: 1\nb: [1,\n") else { panic!("a list without its end is no YAML") };
    assert!(line >= 2);
    assert!(matches!(fault("{\"a\": 1\n\"b\": 2}"), (2, _, Fault::Json(_))));
}

#[test]
fn templates_are_named_as_such() {
    let texts = [
        "kind: Pod\nmetadata:\n  name: {{ .Release.Name }}\n",
        "{{- if .Values.enabled }}\nkind: Pod\n{{- end }}\n",
        "kind: Pod\nspec:\n  {{- toYaml .Values.spec | nindent 2 }}\n",
        "kind: Pod\n{{ include \"labels\" . }}\n",
    ];
    for text in texts {
        assert_eq!(fault(text).2, Fault::Template, "{text}");
    }
    // Legal text above a fault is not to blame for it.
    for text in [
        "a: |\n  {{ define \"x\" }}\n  {{ end }}\nb: ]\n",
        "a: \"x\n  {{ y }}\n  z\"\nb: ]\n",
        "a: |\n  {{ define \"x\" }}\n---\nb: ]\n",
        "a: x\n  {{ y }}\n---\nb: ]\n",
    ] {
        let fault = fault(text).2;
        assert!(matches!(fault, Fault::Syntax(_)), "{text}: {fault:?}");
    }
    for text in ["a: |\n  x\n{{ y }}\nb: 1\n", "a: x\n  {{ y }}\n  z\nb: ]\n"] {
        assert_eq!(fault(text).2, Fault::Template, "{text}");
    }
    assert_eq!(one("a: \"{{ $labels.pod }}\""), json!({"a": "{{ $labels.pod }}"}));
}

#[test]
fn the_way_to_a_fault_grows_with_the_text_and_not_with_its_square() {
    for separator in ["", "---\n"] {
        let text = |count: usize| {
            let (quoted, braces) = ("- \"x\"\n".repeat(count), "  {{ x }}\n".repeat(count));
            format!("a:\n{quoted}{separator}b: |\n{braces}c: ]\n")
        };
        let took = |text: &str| {
            let started = Instant::now();
            assert!(matches!(fault(text).2, Fault::Syntax(_)));
            started.elapsed()
        };
        assert_linear([text(500), text(500 * 16)], took);
    }
}
