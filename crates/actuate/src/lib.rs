//! Room `actuate`.
