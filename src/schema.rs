//! A JSON schema, field by field: what reference pages and commented defaults are written from.

use serde_json::Value;

/// What a schema says of one field.
#[derive(Clone, Debug)]
pub struct Field<'a> {
    /// Keys with dots between them; `[]` stands for each item of a list.
    pub path: String,
    /// In words, or the values that are allowed.
    pub kind: String,
    pub required: bool,
    pub default: Option<&'a Value>,
    pub meaning: String,
}

/// A schema with the document that has every default in it.
#[derive(Clone, Copy)]
pub struct Fields<'a> {
    pub schema: &'a Value,
    pub defaults: &'a Value,
    /// Whether a property's own fields are listed: by its path and its schema.
    pub opens: fn(&str, &Value) -> bool,
}

impl<'a> Fields<'a> {
    /// Every field, each before those within it.
    #[must_use]
    pub fn list(&self) -> Vec<Field<'a>> {
        let mut list = Vec::new();
        self.collect(self.schema, "", true, &mut list);
        list
    }

    /// The properties of an object; `top` while defaults can be looked up by the path.
    fn collect(&self, object: &'a Value, path: &str, top: bool, list: &mut Vec<Field<'a>>) {
        let properties = object.get("properties").and_then(Value::as_object).into_iter().flatten();
        for (name, property) in properties {
            let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
            let names = object.get("required").and_then(Value::as_array);
            let target = self.resolve(property);
            list.push(Field {
                kind: self.kind_of(property),
                required: names.is_some_and(|names| names.iter().any(|one| one == name)),
                default: self.default(&path).filter(|_| top),
                meaning: description(property).or_else(|| description(target)).unwrap_or_default(),
                path: path.clone(),
            });
            if !(self.opens)(&path, property) {
                continue;
            }
            if let Some(items) = target.get("items") {
                self.collect(self.resolve(items), &format!("{path}[]"), false, list);
            }
            self.collect(target, &path, top, list);
        }
    }

    fn default(&self, path: &str) -> Option<&'a Value> {
        path.split('.').try_fold(self.defaults, |value, name| value.get(name))
    }

    /// What a reference, or an optional type, stands for.
    #[must_use]
    pub fn resolve(&self, schema: &'a Value) -> &'a Value {
        if let Some(reference) = reference(schema) {
            let target = reference.strip_prefix('#').and_then(|pointer| self.schema.pointer(pointer));
            return target.map_or(schema, |target| self.resolve(target));
        }
        let mut alternatives = schema.get("anyOf").and_then(Value::as_array).into_iter().flatten();
        let something = alternatives.find(|one| one.get("type").and_then(Value::as_str) != Some("null"));
        something.map_or(schema, |one| self.resolve(one))
    }

    fn kind_of(&self, schema: &'a Value) -> String {
        if let Some(kind) = reference(schema).and_then(|reference| reference.split_once("/io.k8s.")) {
            return format!("Kubernetes' {}", kind.1.rsplit('.').next().unwrap_or(kind.1));
        }
        let schema = self.resolve(schema);
        if let Some(values) = values(schema) {
            return values;
        }
        let name = match schema.get("type") {
            Some(Value::String(name)) => name,
            Some(Value::Array(names)) => {
                names.iter().filter_map(Value::as_str).find(|name| *name != "null").unwrap_or("any")
            }
            _ => "any",
        };
        match (name, schema.get("items"), schema.get("additionalProperties")) {
            ("array", Some(items), _) => format!("list of {}", self.kind_of(items)),
            ("object", _, Some(values @ Value::Object(_))) => format!("map of {}", self.kind_of(values)),
            ("object", ..) => "map".to_owned(),
            (name, ..) => name.to_owned(),
        }
    }
}

/// The definition that a schema refers to.
#[must_use]
pub fn reference(schema: &Value) -> Option<&str> {
    schema.get("$ref").or_else(|| schema.pointer("/allOf/0/$ref")).and_then(Value::as_str)
}

/// The values that are allowed, if they are listed.
fn values(schema: &Value) -> Option<String> {
    let listed = schema.get("enum").and_then(Value::as_array);
    let one_of = schema.get("oneOf").and_then(Value::as_array);
    let values: Vec<&str> = match (listed, one_of) {
        (Some(listed), _) => listed.iter().filter_map(Value::as_str).collect(),
        (None, Some(one_of)) => one_of.iter().filter_map(|one| one.get("const").and_then(Value::as_str)).collect(),
        (None, None) => return None,
    };
    Some(values.iter().map(|value| format!("`{value}`")).collect::<Vec<_>>().join(", "))
}

fn description(schema: &Value) -> Option<String> {
    schema.get("description").and_then(Value::as_str).map(|text| text.replace('\n', " "))
}
