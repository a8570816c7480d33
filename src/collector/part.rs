//! Components and the pipelines they are put into.
//!
//! A pipeline holds its components themselves, not their names, so that each one that is used is declared, and none is
//! declared that isn't used.

use serde_json::{Map, Value, json};

/// Where in a configuration a component is declared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Section {
    Extensions,
    Receivers,
    Processors,
    Connectors,
    Exporters,
}

/// A component with its settings.
#[derive(Clone, Debug, PartialEq)]
pub struct Part {
    pub section: Section,
    /// Its type, behind which `/` and a name may stand.
    pub id: String,
    pub settings: Value,
}

/// What data goes through.
#[derive(Clone, Debug, PartialEq)]
pub struct Pipeline {
    /// A signal, behind which `/` and a name may stand.
    pub id: &'static str,
    /// Receivers, or connectors that other pipelines send to.
    pub receivers: Vec<Part>,
    pub processors: Vec<Part>,
    /// Exporters, or connectors that other pipelines read from.
    pub exporters: Vec<Part>,
}

/// The whole configuration, before users' additions.
#[derive(Clone, Debug, PartialEq)]
pub struct Layout {
    pub extensions: Vec<Part>,
    pub pipelines: Vec<Pipeline>,
    /// The Collector's own: `service.telemetry`.
    pub telemetry: Value,
}

// === impl Section ===

impl Section {
    /// In the order in which people write them.
    pub const ALL: [Self; 5] = [Self::Extensions, Self::Receivers, Self::Processors, Self::Connectors, Self::Exporters];

    pub const fn key(self) -> &'static str {
        match self {
            Self::Extensions => "extensions",
            Self::Receivers => "receivers",
            Self::Processors => "processors",
            Self::Connectors => "connectors",
            Self::Exporters => "exporters",
        }
    }

    /// What one of it is called.
    pub const fn noun(self) -> &'static str {
        match self {
            Self::Extensions => "extension",
            Self::Receivers => "receiver",
            Self::Processors => "processor",
            Self::Connectors => "connector",
            Self::Exporters => "exporter",
        }
    }
}

// === impl Part ===

impl Part {
    pub fn extension(id: impl Into<String>, settings: Value) -> Self {
        Self { section: Section::Extensions, id: id.into(), settings }
    }

    pub fn receiver(id: impl Into<String>, settings: Value) -> Self {
        Self { section: Section::Receivers, id: id.into(), settings }
    }

    pub fn processor(id: impl Into<String>, settings: Value) -> Self {
        Self { section: Section::Processors, id: id.into(), settings }
    }

    pub fn connector(id: impl Into<String>, settings: Value) -> Self {
        Self { section: Section::Connectors, id: id.into(), settings }
    }

    pub fn exporter(id: impl Into<String>, settings: Value) -> Self {
        Self { section: Section::Exporters, id: id.into(), settings }
    }
}

/// The type in an id.
pub fn type_of(id: &str) -> &str {
    id.split_once('/').map_or(id, |(kind, _)| kind)
}

// === impl Layout ===

impl Layout {
    /// As a document, in the order in which people write one.
    pub fn document(self) -> Map<String, Value> {
        let mut sections: [Map<String, Value>; Section::ALL.len()] = Default::default();
        let mut declare = |parts: &[Part]| -> Value {
            parts
                .iter()
                .map(|part| {
                    let section = &mut sections[part.section as usize];
                    section.entry(part.id.clone()).or_insert_with(|| part.settings.clone());
                    Value::String(part.id.clone())
                })
                .collect()
        };
        let extensions = declare(&self.extensions);
        let mut pipelines = Map::new();
        for pipeline in &self.pipelines {
            let mut lists = Map::new();
            lists.insert("receivers".to_owned(), declare(&pipeline.receivers));
            if !pipeline.processors.is_empty() {
                lists.insert("processors".to_owned(), declare(&pipeline.processors));
            }
            lists.insert("exporters".to_owned(), declare(&pipeline.exporters));
            pipelines.insert(pipeline.id.to_owned(), Value::Object(lists));
        }
        let mut document = Map::new();
        for (section, parts) in Section::ALL.into_iter().zip(sections) {
            if !parts.is_empty() {
                document.insert(section.key().to_owned(), Value::Object(parts));
            }
        }
        let service = json!({"extensions": extensions, "telemetry": self.telemetry, "pipelines": pipelines});
        document.insert("service".to_owned(), service);
        document
    }
}
