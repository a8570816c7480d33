//! What an Agent is made of, for each mode and feature, and what is said of one that isn't well.

mod goldens;
mod rights;
mod settle;
mod steady;
mod stripped;
mod verdicts;
