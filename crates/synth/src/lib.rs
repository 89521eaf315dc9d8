//! Room `synth`.
