//! Samplers and propagators.

use serde_json::json;

use super::{app, case, pod, with_env};
use crate::inject::{Action, Reason};

#[test]
fn sampler_and_propagators_are_legal_or_absent() {
    let outcome = case(pod(app()))
        .annotate("otelgate.dev/sampler", "traceidratio")
        .annotate("otelgate.dev/sampler-arg", "0.1")
        .annotate("otelgate.dev/propagators", "tracecontext,b3")
        .decide();
    assert_eq!(outcome.variable("OTEL_TRACES_SAMPLER"), Some("traceidratio"));
    assert_eq!(outcome.variable("OTEL_TRACES_SAMPLER_ARG"), Some("0.1"));
    assert_eq!(outcome.variable("OTEL_PROPAGATORS"), Some("tracecontext,b3"));
    let illegal = case(pod(app()))
        .annotate("otelgate.dev/sampler", "sometimes")
        .annotate("otelgate.dev/propagators", "b3,datadog")
        .decide();
    assert_eq!(illegal.variable("OTEL_TRACES_SAMPLER"), None);
    assert_eq!(illegal.variable("OTEL_PROPAGATORS"), None);
    assert_eq!(illegal.notes.iter().filter(|(reason, _)| *reason == Reason::InvalidOption).count(), 2);
    let own = case(pod(with_env(json!([{"name": "OTEL_TRACES_SAMPLER_ARG", "value": "1"}]))))
        .annotate("otelgate.dev/sampler", "traceidratio")
        .decide();
    assert_eq!(own.variable("OTEL_TRACES_SAMPLER"), None);
}

#[test]
fn a_sampler_never_takes_anothers_argument() {
    let configured = |document: &mut crate::config::Document| {
        document.sampler = Some(crate::config::Sampler { name: "traceidratio".into(), arg: Some("0.5".into()) });
    };
    let other = case(pod(app())).configure(configured).annotate("otelgate.dev/sampler", "always_on").decide();
    assert_eq!(other.variable("OTEL_TRACES_SAMPLER_ARG"), None);
    let own = case(pod(app())).configure(configured).annotate("otelgate.dev/sampler-arg", "0.2").decide();
    assert_eq!(own.variable("OTEL_TRACES_SAMPLER_ARG"), Some("0.2"));
    let illegal = case(pod(app())).configure(configured).annotate("otelgate.dev/sampler-arg", "2").decide();
    assert_eq!(illegal.variable("OTEL_TRACES_SAMPLER_ARG"), Some("0.5"));
}

#[test]
fn a_sampler_whose_argument_isnt_legal_doesnt_count() {
    let pair = |outcome: &super::Outcome| {
        ["OTEL_TRACES_SAMPLER", "OTEL_TRACES_SAMPLER_ARG"].map(|name| outcome.variable(name).map(str::to_owned))
    };
    let both = |name: &str, arg: &str| [Some(name.to_owned()), Some(arg.to_owned())];
    let asked = |sampler: &str, arg: &str| {
        case(pod(app())).annotate("otelgate.dev/sampler", sampler).annotate("otelgate.dev/sampler-arg", arg)
    };
    let long = "x".repeat(5000);
    for (sampler, arg) in [
        ("traceidratio", "10%"),
        ("traceidratio", "0.1\n"),
        ("traceidratio", ""),
        ("jaeger_remote", "endpoint=http://jaeger\n"),
        ("jaeger_remote", long.as_str()),
    ] {
        let outcome = asked(sampler, arg).decide();
        assert_eq!(pair(&outcome), [None, None], "{sampler} {arg}");
        assert_eq!(outcome.notes, [(Reason::InvalidOption, "annotation otelgate.dev/sampler-arg".to_owned())]);
    }
    let namespace = asked("traceidratio", "10%")
        .on_namespace("otelgate.dev/sampler", "parentbased_traceidratio")
        .on_namespace("otelgate.dev/sampler-arg", "0.3");
    assert_eq!(pair(&namespace.decide()), both("parentbased_traceidratio", "0.3"), "the namespace's stands");
    let defaults = case(pod(app()))
        .annotate("otelgate.dev/sampler-arg", "10%")
        .on_namespace("otelgate.dev/sampler", "traceidratio")
        .on_namespace("otelgate.dev/sampler-arg", "0.3");
    assert_eq!(pair(&defaults.decide()), both("traceidratio", "0.3"), "the pod's argument is absent");
}

#[test]
fn a_sampler_whose_argument_is_too_long_as_it_is_written_is_left_with_it() {
    // Legal as it was asked for; each `$` is written twice.
    let arg = format!("endpoint=http://jaeger/{}", "$".repeat(2100));
    let outcome = case(pod(app()))
        .annotate("otelgate.dev/sampler", "jaeger_remote")
        .annotate("otelgate.dev/sampler-arg", &arg)
        .decide();
    for name in ["OTEL_TRACES_SAMPLER", "OTEL_TRACES_SAMPLER_ARG"] {
        assert!(outcome.is(name, Action::Left, Some(Reason::ValueTooLarge)), "{name}");
    }
}

#[test]
fn none_stands_alone_among_propagators() {
    let of = |value: &str| case(pod(app())).annotate("otelgate.dev/propagators", value).decide();
    assert_eq!(of("none").variable("OTEL_PROPAGATORS"), Some("none"));
    assert!(of("none,b3").has_note(Reason::InvalidOption));
}

#[test]
fn propagators_are_written_without_blanks() {
    let annotated = case(pod(app())).annotate("otelgate.dev/propagators", "tracecontext, baggage").decide();
    assert_eq!(annotated.variable("OTEL_PROPAGATORS"), Some("tracecontext,baggage"));
    let configure = |document: &mut crate::config::Document| {
        document.propagators = vec![" tracecontext".into(), "b3 , baggage".into()];
    };
    let configured = case(pod(app())).configure(configure).decide();
    assert_eq!(configured.variable("OTEL_PROPAGATORS"), Some("tracecontext,b3,baggage"));
}
