//! Where a container sends.

use crate::config::Protocol;

/// Where a pod sends, by protocol.
#[derive(Clone, Debug)]
pub struct Destination;

/// An http or https URL.
#[derive(Clone, Debug)]
pub struct Url;

impl Url {
    pub fn parse(_text: &str) -> Option<Self> {
        None
    }
}

impl Destination {
    pub fn new(_url: &Url, _protocol: Option<Protocol>, _configured: Protocol) -> Self {
        Self
    }
    pub fn on_node(_ipv6: bool, _configured: Protocol) -> Self {
        Self
    }
    pub fn on_host(_host: &str, _configured: Protocol) -> Self {
        Self
    }
}
