//! Foretide: sees the load coming.
//!
//! Metrics arrive by remote write and land in an embedded columnar store; SQL and PromQL query them; standing queries
//! find what is unusual while data arrives; scheduled jobs forecast; the advisor turns forecasts into recommendations.
//! The rooms below `crates/` each hold one of these ideas; this crate wires them: [`engine`] joins the parts over one
//! data folder, [`settings`] is the configuration, [`cli`] the command line, [`mod@bench`] measures it all from outside.

pub mod bench;
pub mod cli;
mod demo;
pub mod engine;
mod ids;
pub mod settings;
