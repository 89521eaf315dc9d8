//! From a place in YAML to the key that stands there, for parsers that name only line and column.

/// The dotted path of the key whose value is at `line` and `column` (from 1), as far as indentation and braces tell:
/// `store.series_max`, or `host.every` for `host: { every: soon }`.
pub(super) fn key_at(text: &str, line: u64, column: u64) -> Option<String> {
    let line = usize::try_from(line).ok()?.checked_sub(1)?;
    let lines: Vec<&str> = text.lines().collect();
    let before: String = lines.get(line)?.chars().take(usize::try_from(column).ok()?.checked_sub(1)?).collect();
    let mut path = keys_before(&before);
    if path.is_empty() {
        return None;
    }
    let mut reach = Reach::of(lines[line]);
    for above in lines[..line].iter().rev().filter(|above| !is_blank(above)) {
        let place = Reach::of(above);
        if let Some(key) = opened_by(above).filter(|_| reach.is_inside(&place)) {
            path.insert(0, key);
            reach = place;
        } else if place.item.is_some() && place.indent == reach.indent && reach.item.is_none() {
            // The item that this key belongs to.
            reach = place;
        }
    }
    Some(path.join("."))
}

/// How far a line is indented; in `  - name: a` the item begins at 2 and its keys at 4.
struct Reach {
    indent: usize,
    item: Option<usize>,
}

impl Reach {
    fn of(line: &str) -> Self {
        let start = line.len() - line.trim_start().len();
        match line[start..].strip_prefix("- ") {
            Some(rest) => Self { indent: line.len() - rest.trim_start().len(), item: Some(start) },
            None => Self { indent: start, item: None },
        }
    }

    /// Items may stand right below their key, everything else further in.
    fn is_inside(&self, above: &Self) -> bool {
        match self.item {
            Some(item) => above.indent <= item && above.item.is_none() || above.indent < item,
            None => above.indent < self.indent,
        }
    }
}

fn is_blank(line: &str) -> bool {
    line.trim().is_empty() || line.trim_start().starts_with('#')
}

/// The key of a line that holds nothing but a key, so that what follows is its value.
fn opened_by(line: &str) -> Option<String> {
    let code = line.split(" #").next().unwrap_or(line).trim();
    let key = code.strip_prefix("- ").unwrap_or(code).trim().strip_suffix(':')?;
    is_key(key).then(|| key.to_owned())
}

/// Keys that are open at the end of a part of a line: one a level of braces.
fn keys_before(part: &str) -> Vec<String> {
    let (mut open, mut word, mut quote) = (vec![None], String::new(), None);
    for c in part.chars() {
        match (quote, c) {
            (Some(end), c) if c == end => quote = None,
            (Some(_), _) => {}
            (None, '"' | '\'') => quote = Some(c),
            (None, '{' | '[') => open.push(None),
            (None, '}' | ']') => drop(open.pop()),
            (None, ',') => drop(open.last_mut().map(Option::take)),
            (None, ':') if is_key(&word) => drop(open.last_mut().map(|key| key.replace(std::mem::take(&mut word)))),
            (None, c) if c.is_whitespace() => {}
            (None, c) => {
                word.push(c);
                continue;
            }
        }
        word.clear();
    }
    open.into_iter().flatten().collect()
}

fn is_key(word: &str) -> bool {
    !word.is_empty() && word.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_lead_to_their_keys() {
        let text = "store:\n  # how many\n  series_max: many\nhost: { enabled: true, every: soon }\nforecast:\n  jobs:\n  - name: a\n    step: short\n  - { name: b, series_max: few }\nlisten: 7\n";
        for (line, value, key) in [
            (3, "many", "store.series_max"),
            (4, "soon", "host.every"),
            (8, "short", "forecast.jobs.step"),
            (9, "few", "forecast.jobs.series_max"),
            (10, "7", "listen"),
        ] {
            let column = text.lines().nth(line - 1).and_then(|text| text.find(value)).expect("there") + 1;
            assert_eq!(key_at(text, line as u64, column as u64).as_deref(), Some(key), "{value}");
        }
        for (line, column) in [(0, 0), (1, 1), (99, 1), (3, 0)] {
            assert_eq!(key_at(text, line, column), None, "{line}:{column}");
        }
    }
}
