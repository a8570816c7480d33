//! A pod as the engine sees it: borrowed from the review's bytes, and only the fields that a decision reads.
//!
//! Everything else is skipped without an allocation and never written back, so that fields newer than this program
//! survive. `null` counts as absent everywhere; whether a list or map was absent, `null` or empty is kept, because undo
//! has to restore it.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};

use super::owner::Workload;

/// A string that borrows from the input unless it has escapes.
///
/// A plain `Option<Cow<str>>` always allocates, `#[serde(borrow)]` or not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Text<'a>(pub Cow<'a, str>);

/// How a list or map stood in the input.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Presence {
    #[default]
    Absent,
    Null,
    Empty,
    Filled,
}

/// A list, and how it stood in the input.
#[derive(Clone, Debug)]
pub struct List<T> {
    pub presence: Presence,
    pub items: Vec<T>,
}

/// A map of strings in the order of the input, and how it stood there.
#[derive(Clone, Debug, Default)]
pub struct Map<'a> {
    pub presence: Presence,
    pub entries: Vec<(Text<'a>, Text<'a>)>,
}

/// A pod, or a pod template.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Pod<'a> {
    #[serde(borrow, deserialize_with = "null_as_absent")]
    pub metadata: Known<Metadata<'a>>,
    #[serde(borrow, deserialize_with = "null_as_default")]
    pub spec: Spec<'a>,
    /// Length of the object's JSON, in bytes.
    #[serde(skip)]
    pub size: usize,
    /// Offline: whose template this is. A pod's own owners say it otherwise.
    #[serde(skip)]
    pub template_of: Option<Workload<'a>>,
}

/// A struct, and how it stood in the input: [`Presence::Filled`] or not there.
#[derive(Clone, Debug, Default)]
pub struct Known<T> {
    pub presence: Presence,
    pub value: T,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Metadata<'a> {
    #[serde(borrow, deserialize_with = "null_as_default")]
    pub name: Text<'a>,
    #[serde(borrow, deserialize_with = "null_as_default")]
    pub generate_name: Text<'a>,
    #[serde(borrow, deserialize_with = "null_as_default")]
    pub namespace: Text<'a>,
    #[serde(borrow)]
    pub labels: Map<'a>,
    #[serde(borrow)]
    pub annotations: Map<'a>,
    #[serde(borrow)]
    pub owner_references: List<OwnerReference<'a>>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct OwnerReference<'a> {
    #[serde(borrow, deserialize_with = "null_as_default")]
    pub api_version: Text<'a>,
    #[serde(borrow, deserialize_with = "null_as_default")]
    pub kind: Text<'a>,
    #[serde(borrow, deserialize_with = "null_as_default")]
    pub name: Text<'a>,
    #[serde(deserialize_with = "null_as_default")]
    pub controller: bool,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Spec<'a> {
    #[serde(borrow)]
    pub containers: List<Container<'a>>,
    #[serde(borrow)]
    pub init_containers: List<Container<'a>>,
    #[serde(borrow, deserialize_with = "null_as_default")]
    pub dns_policy: Text<'a>,
    #[serde(deserialize_with = "null_as_default")]
    pub host_network: bool,
    #[serde(borrow, deserialize_with = "null_as_default")]
    pub os: Os<'a>,
    #[serde(borrow)]
    pub node_selector: Map<'a>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Os<'a> {
    #[serde(borrow, deserialize_with = "null_as_default")]
    pub name: Text<'a>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Container<'a> {
    #[serde(borrow, deserialize_with = "null_as_default")]
    pub name: Text<'a>,
    #[serde(borrow, deserialize_with = "null_as_default")]
    pub image: Text<'a>,
    #[serde(borrow)]
    pub env: List<Variable<'a>>,
    pub env_from: List<serde::de::IgnoredAny>,
}

/// An entry of a container's `env`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Variable<'a> {
    #[serde(borrow, deserialize_with = "null_as_default")]
    pub name: Text<'a>,
    #[serde(borrow, deserialize_with = "null_as_absent")]
    pub value: Known<Text<'a>>,
    #[serde(borrow, deserialize_with = "null_as_absent")]
    pub value_from: Known<ValueFrom<'a>>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ValueFrom<'a> {
    #[serde(borrow, deserialize_with = "null_as_default")]
    pub field_ref: FieldRef<'a>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct FieldRef<'a> {
    #[serde(borrow, deserialize_with = "null_as_default")]
    pub field_path: Text<'a>,
}

// === impl Pod ===

impl<'a> Pod<'a> {
    /// Reads a pod or a pod template from its JSON.
    ///
    /// # Errors
    /// When a field that a decision reads is of the wrong type, or the text is no JSON.
    pub fn from_json(json: &'a str) -> Result<Self, serde_json::Error> {
        let mut pod: Self = serde_json::from_str(json)?;
        pod.size = json.len();
        Ok(pod)
    }

    #[must_use]
    pub fn label(&self, key: &str) -> Option<&str> {
        self.metadata.value.labels.get(key)
    }

    #[must_use]
    pub fn annotation(&self, key: &str) -> Option<&str> {
        self.metadata.value.annotations.get(key)
    }

    /// Regular containers, then init containers.
    pub fn containers(&self) -> impl Iterator<Item = &Container<'a>> {
        self.spec.containers.items.iter().chain(&self.spec.init_containers.items)
    }
}

// === impl Metadata ===

impl Metadata<'_> {
    /// The name that somebody gave it: none that the API server made, or will make, from `generateName`. A pod is seen
    /// before that and, captured, after it, and means the same.
    #[must_use]
    pub fn given_name(&self) -> Option<&str> {
        /// Characters that the API server appends; it cuts the beginning where the name would be too long.
        const RANDOM: usize = 5;
        let (name, beginning) = (self.name.as_str(), self.generate_name.as_str());
        let made =
            !beginning.is_empty()
                && name.len().checked_sub(RANDOM).and_then(|kept| name.get(..kept)).is_some_and(|kept| {
                    beginning.starts_with(kept) && (kept.len() == beginning.len() || name.len() >= 63)
                });
        (!name.is_empty() && !made).then_some(name)
    }
}

// === impl Map ===

impl Map<'_> {
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&str> {
        self.entries.iter().find(|(name, _)| name.0 == key).map(|(_, value)| &*value.0)
    }

    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.entries.iter().map(|(key, value)| (&*key.0, &*value.0))
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Map<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries<'a>(PhantomData<&'a ()>);

        impl<'de: 'a, 'a> Visitor<'de> for Entries<'a> {
            type Value = Map<'a>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map of strings")
            }

            fn visit_unit<E>(self) -> Result<Map<'a>, E> {
                Ok(Map { presence: Presence::Null, entries: Vec::new() })
            }

            fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Map<'a>, A::Error> {
                let mut entries: Vec<(Text<'a>, Text<'a>)> = Vec::new();
                while let Some((key, value)) = access.next_entry::<Text<'a>, Option<Text<'a>>>()? {
                    if entries.is_empty() {
                        entries.reserve(8);
                    }
                    entries.push((key, value.unwrap_or_default()));
                }
                let presence = if entries.is_empty() { Presence::Empty } else { Presence::Filled };
                Ok(Map { presence, entries })
            }
        }

        deserializer.deserialize_any(Entries(PhantomData))
    }
}

// === impl List ===

impl<T> Default for List<T> {
    fn default() -> Self {
        Self { presence: Presence::Absent, items: Vec::new() }
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for List<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Items<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for Items<T> {
            type Value = List<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list")
            }

            fn visit_unit<E>(self) -> Result<List<T>, E> {
                Ok(List { presence: Presence::Null, items: Vec::new() })
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<List<T>, A::Error> {
                let mut items = Vec::new();
                while let Some(item) = access.next_element()? {
                    items.push(item);
                }
                let presence = if items.is_empty() { Presence::Empty } else { Presence::Filled };
                Ok(List { presence, items })
            }
        }

        deserializer.deserialize_any(Items(PhantomData))
    }
}

// === impl Text ===

impl Text<'_> {
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Characters<'a>(PhantomData<&'a ()>);

        impl<'de: 'a, 'a> Visitor<'de> for Characters<'a> {
            type Value = Text<'a>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Text<'a>, E> {
                Ok(Text(Cow::Borrowed(text)))
            }

            fn visit_str<E>(self, text: &str) -> Result<Text<'a>, E> {
                Ok(Text(Cow::Owned(text.to_owned())))
            }
        }

        deserializer.deserialize_str(Characters(PhantomData))
    }
}

fn null_as_default<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(deserializer: D) -> Result<T, D::Error> {
    Ok(Option::<T>::deserialize(deserializer)?.unwrap_or_default())
}

fn null_as_absent<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(
    deserializer: D,
) -> Result<Known<T>, D::Error> {
    Ok(match Option::<T>::deserialize(deserializer)? {
        Some(value) => Known { presence: Presence::Filled, value },
        None => Known { presence: Presence::Null, value: T::default() },
    })
}
