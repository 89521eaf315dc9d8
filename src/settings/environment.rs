//! `FORETIDE__SECTION__KEY=value` over the file's settings.

use std::ffi::OsString;

use serde_json::Value;

use super::error::nearest;
use super::{Settings, SettingsError};

const PREFIX: &str = "FORETIDE__";

/// Applies the variables that begin with the prefix; others are not looked at.
pub(super) fn overlay(
    settings: Settings,
    variables: impl IntoIterator<Item = (OsString, OsString)>,
) -> Result<Settings, SettingsError> {
    let own = |name: &OsString| name.as_encoded_bytes().starts_with(PREFIX.as_bytes());
    let mut own: Vec<_> = variables.into_iter().filter(|(name, _)| own(name)).collect();
    own.sort();
    let mut settings = settings;
    for (variable, text) in own {
        let variable = variable.to_string_lossy().into_owned();
        let Ok(text) = text.into_string() else {
            return Err(SettingsError::Environment { variable, why: "its value is not UTF-8".into() });
        };
        settings = apply(settings, &variable, &text).map_err(|why| SettingsError::Environment { variable, why })?;
    }
    Ok(settings)
}

fn apply(settings: Settings, variable: &str, text: &str) -> Result<Settings, String> {
    let mut tree = serde_json::to_value(&settings).map_err(|err| err.to_string())?;
    let mut place = &mut tree;
    for part in variable[PREFIX.len()..].split("__") {
        let key = part.to_lowercase();
        let object = place.as_object_mut().ok_or_else(|| format!("`{key}` is not inside a section"))?;
        place = object.entry(key).or_insert(Value::Null);
    }
    // A number, flag or list is read as such; everything else is a text.
    *place = serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.to_owned()));
    serde_json::from_value(tree).map_err(|err| {
        let why = err.to_string();
        let hint = nearest(&why).map(|key| format!("; did you mean {}?", key.to_uppercase())).unwrap_or_default();
        why + &hint
    })
}
