//! Room `lake`.
