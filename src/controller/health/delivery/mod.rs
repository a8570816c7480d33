//! Whether what Collectors take in is sent, read from their own metrics.
//!
//! [`exposition`] reads the text, [`totals`] says what it means, [`track`] remembers enough of each Collector for rates
//! over a window, [`verdict`] judges: all of it pure. `scrape` reads, a limited number in each round, so that thousands
//! of nodes cost no more at a time than a few hundred; each has its turn.

pub mod exposition;
mod run;
pub mod scrape;
pub mod totals;
pub mod track;
pub mod verdict;

#[cfg(test)]
mod tests;

pub use run::run;
