//! `spec.datadog`: where telemetry goes, and with which key. `spec.egress`: through what.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::api::form::{Form, dns_label, dns_name, port, schemas};
use crate::api::object;

/// Where telemetry goes, and with which key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Datadog {
    /// Such as `datadoghq.com` or `datadoghq.eu`.
    #[schemars(schema_with = "site")]
    pub site: String,
    /// Where the API key is; nobody but the Collector, the Agent and the controller's check of its shape reads it.
    pub secret: KeyReference,
    /// Whether the controller asks Datadog if it accepts the key.
    pub validate_key: bool,
}

/// Where the API key is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct KeyReference {
    /// A Secret in the Collector's namespace.
    #[schemars(schema_with = "secret_name")]
    pub name: String,
    /// The key within it.
    #[schemars(schema_with = "secret_key")]
    pub key: String,
}

/// What Collector, Agent and controller go through to Datadog.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Egress {
    /// An http or https URL; none when empty.
    #[schemars(schema_with = "proxy")]
    pub proxy: String,
    /// Hosts, domains and networks that are reached without it, beside those of the cluster.
    #[schemars(schema_with = "no_proxy")]
    pub no_proxy: Vec<String>,
    /// ConfigMap in the Collector's namespace with further authorities to trust under `ca.crt`; none when empty.
    #[schemars(schema_with = "config_map_name")]
    pub ca_config_map: String,
}

macro_rules! host {
    () => {
        "[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_])?"
    };
}

const SITE: Form<'static> = Form {
    pattern: concat!("^", dns_label!(), "([.]", dns_label!(), ")+$"),
    longest: 253,
    message: "site isn't a domain, such as datadoghq.com or us5.datadoghq.com: it has no scheme and no path",
};

const SECRET_NAME: Form<'static> = dns_name!("secret.name isn't the name of a Secret");

const SECRET_KEY: Form<'static> = Form {
    pattern: "^[.]?[A-Za-z0-9_-][A-Za-z0-9._-]*$",
    longest: 253,
    message: "secret.key isn't a key of a Secret: it has letters, digits, -, _ and ., and doesn't begin with two dots",
};

const PROXY: Form<'static> = Form {
    pattern: concat!("^(https?://(", host!(), r"|\[[0-9A-Fa-f:.]+\])(:", port!(), ")?/?)?$"),
    longest: 2048,
    message: "proxy isn't an http or https URL of a host and a port, such as http://proxy.corp:3128: it has no user, no password and no path",
};

const NO_PROXY: Form<'static> = Form {
    pattern: concat!(
        "^(([*]?[.])?",
        host!(),
        "|[0-9]{1,3}([.][0-9]{1,3}){3}/([12]?[0-9]|3[0-2])|[0-9A-Fa-f]*:[0-9A-Fa-f]*:[0-9A-Fa-f:.]*(/[0-9]{1,3})?)$"
    ),
    longest: 253,
    message: "what noProxy lists is a host, a domain such as .corp, an address, or a network such as 10.0.0.0/8: without scheme, port, comma or blank",
};

const CONFIG_MAP_NAME: Form<'static> = dns_name!("caConfigMap isn't the name of a ConfigMap", or_empty);

schemas! {
    site: SITE.schema();
    secret_name: SECRET_NAME.schema();
    secret_key: SECRET_KEY.schema();
    proxy: PROXY.schema();
    no_proxy: json_schema!({"type": "array", "maxItems": 100, "items": NO_PROXY.schema()});
    config_map_name: CONFIG_MAP_NAME.schema();
}

// === impl KeyReference ===

impl KeyReference {
    /// What the one that counts among these stacks says, whatever else is wrong with it; the default without one.
    #[must_use]
    pub fn of(stacks: &[Value]) -> Self {
        let stack = stacks.iter().find(|stack| stack["metadata"]["name"] == object::STACK);
        let said = stack.and_then(|stack| stack.pointer("/spec/datadog/secret"));
        said.and_then(|said| Self::deserialize(said).ok()).unwrap_or_default()
    }
}

// === defaults ===

impl Default for Datadog {
    fn default() -> Self {
        Self { site: "datadoghq.com".to_owned(), secret: KeyReference::default(), validate_key: false }
    }
}

impl Default for KeyReference {
    fn default() -> Self {
        Self { name: object::CREDENTIALS.to_owned(), key: object::CREDENTIALS_KEY.to_owned() }
    }
}

#[cfg(test)]
mod tests {
    use crate::api::crd::tests::takes;

    #[test]
    fn what_each_field_takes() {
        let long = "a".repeat(254);
        let cases: [(&str, &[&str], &[&str]); 6] = [
            (
                "datadog.site",
                &["datadoghq.com", "us5.datadoghq.com", "ap1.datadoghq.com", "ddog-gov.com"],
                &["", "datadoghq", "https://datadoghq.com", "datadoghq.com/", "a..b", "-a.b", "a.b-", "A.com", ".a.b"],
            ),
            (
                "datadog.secret.name",
                &["datadog-api-key", "a.b-c", "0"],
                &["", "Key", "a_b", "a/b", "-a", "a-", "a..b", "a b", &long],
            ),
            (
                "datadog.secret.key",
                &["api_key", "API-key.1", ".env", "-", "a..b"],
                &["", ".", "..", "..a", "a/b", "a b"],
            ),
            (
                "egress.proxy",
                &["", "http://proxy:3128", "https://10.0.0.1/", "http://[fd00::1]:3128", "http://a_b.corp:65535"],
                &[
                    "proxy:3128",
                    "socks5://proxy:1080",
                    "http://",
                    "http://:3128",
                    "http://user:password@proxy:3128",
                    "http://proxy:0",
                    "http://proxy:65536",
                    "http://proxy:many",
                    "http://proxy/path",
                    "http://pro xy",
                ],
            ),
            (
                "egress.noProxy[]",
                &["corp", ".corp", "*.corp", "10.0.0.0/8", "10.0.0.1", "fd00::/8", "::1", "a_b.corp"],
                &["", "*", ".", "a,b", "a b", "http://corp", "corp:80", "corp/8", "10.0.0.0/33", "$(DD_SITE)"],
            ),
            ("egress.caConfigMap", &["", "authorities", "a.b"], &["Authorities", "a/b", "a-"]),
        ];
        for (field, good, bad) in cases {
            assert!(good.iter().all(|text| takes(field, text)), "{field}: {good:?}");
            let taken: Vec<_> = bad.iter().filter(|text| takes(field, text)).collect();
            assert!(taken.is_empty(), "{field}: {taken:?}");
        }
    }
}
