//! `FORETIDE__SECTION__KEY=value` over the file's settings.

use serde_json::Value;

use super::error::nearest;
use super::{Settings, SettingsError};

const PREFIX: &str = "FORETIDE__";

/// Applies the variables that begin with the prefix; others are not looked at.
pub(super) fn overlay(
    settings: Settings,
    variables: impl IntoIterator<Item = (String, String)>,
) -> Result<Settings, SettingsError> {
    let mut own: Vec<_> = variables.into_iter().filter(|(name, _)| name.starts_with(PREFIX)).collect();
    own.sort();
    let mut settings = settings;
    for (variable, text) in own {
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
