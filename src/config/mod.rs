//! Configuration: the file as written ([`Document`]), and what a checked one becomes ([`Configuration`]).

mod absent;
mod compiled;
mod document;
mod exclusion;
mod forms;
mod parse;
mod reference;

pub use compiled::{Configuration, ConfigurationError, Endpoints, ExtraVariable, Source as ExtraSource};
pub use document::*;
pub use parse::{CONFIG_MAP_KEY, ParseError, Position, fields, parse};
pub use reference::reference;
