//! Room `sketch`.
