//! Tests of the evaluator against scripts, the conformance cases and a naive oracle.

mod cases;
mod check;
mod conformance;
mod limits;
mod memory;
mod names;
mod natives;
mod oracle;
mod script;
