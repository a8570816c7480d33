//! The webhook server: recorded reviews through the router, real TLS over loopback, and the real binary.

mod authority;
mod client;
mod hostile;
mod limits;
mod logs;
mod memory;
mod namespaces;
mod port;
mod process;
mod reload;
mod reviews;
mod rotation;
mod shutdown;
mod stack;
