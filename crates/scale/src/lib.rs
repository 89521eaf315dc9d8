//! Room `scale`.
