//! What the configuration's fields have to be like, where a schema can say it: never less than [`super::Configuration`]
//! takes, which sees the rest.

use schemars::{Schema, SchemaGenerator, json_schema};

use super::compiled::FIELD_PATHS;
use crate::api::form::{Form, dns_label, dns_name, port, schemas};
use crate::api::otel;

macro_rules! octet {
    () => {
        "(25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
    };
}

const CLUSTER_DOMAIN: Form<'static> = dns_name!("clusterDomain isn't a DNS name, such as cluster.local");

const COLLECTOR_NAMESPACE: Form<'static> = Form {
    pattern: concat!("^", dns_label!(), "$"),
    longest: 63,
    message: "collector.namespace isn't the name of a namespace: it has a to z, 0 to 9 and -, and begins and ends with a letter or digit",
};

const COLLECTOR_SERVICE: Form<'static> = Form {
    pattern: concat!("^", dns_label!(), "$"),
    longest: 63,
    message: "collector.service isn't the name of a Service: it has a to z, 0 to 9 and -, and begins and ends with a letter or digit",
};

/// An IPv4 address, or what has the signs of an IPv6 one.
const COLLECTOR_ADDRESS: Form<'static> = Form {
    pattern: concat!("^(", octet!(), "([.]", octet!(), "){3}|[0-9A-Fa-f]*:[0-9A-Fa-f]*:[0-9A-Fa-f:.]*)$"),
    longest: 45,
    message: "collector.address isn't an IP address, such as 10.0.0.7 or fd00::7: it has no port and no brackets",
};

const CLUSTER_NAME: Form<'static> = Form {
    pattern: PLAIN,
    longest: 4096,
    message: "clusterName is empty, or has control characters: leave it out, or write the cluster's name",
};

const ENVIRONMENT: Form<'static> = Form {
    pattern: PLAIN,
    longest: 4096,
    message: "environment is empty, or has control characters: leave it out, or write its name",
};

/// Of a user, a host, and a path with its query, what of ASCII they don't have; `%` begins an octet.
const ENDPOINT: Form<'static> = Form {
    pattern: concat!(
        "^[Hh][Tt][Tt][Pp][Ss]?://",
        r#"(([^\x00- #"%/<>?@\[-^`{-}\x7f]|%[0-9A-Fa-f]{2})*@)?"#,
        r"(([^\x00-,/:-@\[-^`{-}\x7f]|%[0-9A-Fa-f]{2})+|\[[0-9A-Fa-f:.]+\])",
        "(:0*",
        port!(),
        ")?",
        r#"([/?]([^\x00- #"%<>\[-^`{-}\x7f]|%[0-9A-Fa-f]{2})*)?$"#
    ),
    longest: 4096,
    message: "otlp.endpoint isn't an http or https URL, such as http://collector.example.com:4318",
};

const VARIABLE_NAME: Form<'static> = Form {
    pattern: "^[A-Za-z_][A-Za-z0-9_]*$",
    longest: 1024,
    message: "the name of a variable has letters, digits and _, and begins with no digit",
};

const EXCLUDED_NAMESPACE: Form<'static> = Form {
    pattern: concat!("^", dns_label!(), "$"),
    longest: 63,
    message: "exclude.namespace isn't the whole name of a namespace, which has a to z, 0 to 9 and -: write an entry for each",
};

/// Something, without control characters.
const PLAIN: &str = r"^[^\x00-\x1f\x7f-\x9f]+$";

schemas! {
    pub(super) cluster_domain: CLUSTER_DOMAIN.schema();
    pub(super) cluster_name: CLUSTER_NAME.or_null();
    pub(super) environment: ENVIRONMENT.or_null();
    pub(super) endpoint: ENDPOINT.or_null();
    pub(super) collector_namespace: COLLECTOR_NAMESPACE.schema();
    pub(super) collector_service: COLLECTOR_SERVICE.schema();
    pub(super) collector_address: COLLECTOR_ADDRESS.or_null();
    pub(super) variable_name: VARIABLE_NAME.schema();
    pub(super) excluded_namespace: EXCLUDED_NAMESPACE.or_null();
}

/// Each may be a list with commas, and have blanks around it.
pub(super) fn propagators(_: &mut SchemaGenerator) -> Schema {
    const BLANK: &str = r"[\s\x0b\x85\pZ]*";
    let name = format!("{BLANK}({}){BLANK}", otel::PROPAGATORS.join("|"));
    let form = Form {
        pattern: &format!("^{name}(,{name})*$"),
        longest: 256,
        message: &format!("what propagators lists is some of {}", otel::PROPAGATORS.join(", ")),
    };
    let none = otel::NO_PROPAGATOR;
    json_schema!({
        "type": "array",
        "maxItems": 100,
        "items": form.schema(),
        "x-kubernetes-validations": [{
            "rule": format!("size(self) < 2 || !('{none}' in self)"),
            "message": format!("propagators has {none} beside others: it stands alone"),
        }],
    })
}

/// Of a key in brackets only the characters are looked at.
pub(super) fn field_path(_: &mut SchemaGenerator) -> Schema {
    let whole = FIELD_PATHS.join("|").replace('.', "[.]");
    let form = Form {
        pattern: &format!(r"^({whole}|metadata[.](labels|annotations)\[\x27[A-Za-z0-9._/-]+\x27\])$"),
        longest: 341,
        message: &format!(
            "fieldPath isn't one of {}, metadata.labels['KEY'] and metadata.annotations['KEY']",
            FIELD_PATHS.join(", ")
        ),
    };
    form.schema()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::api::crd::tests::takes;
    use crate::config::{Configuration, fields};
    use crate::inject::endpoint::examples;

    /// Whether the configuration takes a field that has that text, and is else the default.
    fn is_read(field: &str, text: &str) -> bool {
        let whole = field.rsplit('.').fold(json!(text), |value, name| match name.strip_suffix("[]") {
            Some(name) => json!({name: [value]}),
            None => json!({name: value}),
        });
        let Value::Object(whole) = whole else { return false };
        fields(&whole).is_ok_and(|document| Configuration::try_from(document).is_ok())
    }

    #[test]
    fn what_each_field_takes_is_what_the_configuration_takes() {
        let (label, long) = ("a".repeat(63), "a".repeat(4096));
        let (name, names) = ([label.as_str(); 3].join("."), [label.as_str(); 4].join("."));
        let (labels, longer) = (format!("{label}a"), format!("{long}a"));
        let of_name = (["a", "0", "a-b", &label], ["", "A", "a.b", "a_b", "-a", "a-", " a", "a\n", &labels]);
        let of_text = (["a", "no", "Straße 1", &long], ["", "a\nb", "\u{7f}", "\u{85}", &longer]);
        let cases: [(&str, &[&str], &[&str]); 9] = [
            (
                "clusterDomain",
                &["cluster.local", "corp", "a-1.b", &name],
                &["", "a..b", ".a", "a.", "A.b", "a_b", "a b", "-a.b", &names],
            ),
            ("collector.namespace", &of_name.0, &of_name.1),
            ("collector.service", &of_name.0, &of_name.1),
            ("exclude[].namespace", &of_name.0, &of_name.1),
            ("clusterName", &of_text.0, &of_text.1),
            ("environment", &of_text.0, &of_text.1),
            (
                "collector.address",
                &["10.0.0.7", "255.255.255.255", "::", "::1", "fd00::7", "::ffff:10.0.0.7"],
                &[
                    "",
                    "10.0.0",
                    "10.0.0.256",
                    "10.0.0.07",
                    "10.0.0.7:4317",
                    "[fd00::7]",
                    "fd00:7",
                    "collector",
                    "fe80::1%eth0",
                ],
            ),
            ("otlp.endpoint", examples::ENDPOINTS, examples::NO_ENDPOINTS),
            (
                "propagators[]",
                &["tracecontext", "b3multi", "none", "tracecontext,baggage", " b3 ,\u{a0}jaeger\t"],
                &["", "b4", "B3", "b3,", "tracecontext baggage", "none,b4"],
            ),
        ];
        for (field, good, bad) in cases {
            let both = |text: &str| [is_read(field, text), takes(&format!("injection.{field}"), text)];
            for text in good {
                assert_eq!(both(text), [true, true], "{field}: {text:?}");
            }
            for text in bad {
                assert_eq!(both(text), [false, false], "{field}: {text:?}");
            }
        }
    }

    #[test]
    fn a_variables_name_and_field_are_what_the_configuration_takes() {
        let check = |field: &str, text: &str, variable: Value, legal: bool| {
            let Value::Object(document) = json!({"env": [variable]}) else { return };
            let is_read = fields(&document).is_ok_and(|document| Configuration::try_from(document).is_ok());
            assert_eq!(
                [is_read, takes(&format!("injection.env[].{field}"), text)],
                [legal, legal],
                "{field}: {text:?}"
            );
        };
        for (name, legal) in [("TEAM", true), ("_a1", true), ("", false), ("1A", false), ("A-B", false), ("A B", false)]
        {
            check("name", name, json!({"name": name, "value": "x"}), legal);
        }
        let (name, prefix) = ("a".repeat(63), [""; 3].map(|_| "b".repeat(63)).join("."));
        let longest = format!("metadata.annotations['{prefix}.{}/{name}']", "c".repeat(61));
        for (path, legal) in [
            ("metadata.name", true),
            ("status.hostIPs", true),
            ("metadata.labels['example.com/team']", true),
            ("metadata.annotations['Team']", true),
            (longest.as_str(), true),
            ("", false),
            ("metadata_name", false),
            ("metadata.labels", false),
            ("metadata.labels['']", false),
            ("metadata.labels[team]", false),
            ("spec.hostname", false),
        ] {
            let variable = json!({"name": "A", "valueFrom": {"fieldRef": {"fieldPath": path}}});
            check("valueFrom.fieldRef.fieldPath", path, variable, legal);
        }
    }
}
