//! Rust source with what is not code blanked out, so that a search finds code only.

/// `text` with comments, texts and characters replaced by spaces; line breaks stay where they are.
pub(super) fn blank(text: &str) -> String {
    let source: Vec<char> = text.chars().collect();
    let (mut out, mut at) = (String::with_capacity(text.len()), 0);
    while at < source.len() {
        let end = end_of_text(&source, at);
        if end > at {
            out.extend(source[at..end].iter().map(|c| if *c == '\n' { '\n' } else { ' ' }));
            at = end;
        } else {
            out.push(source[at]);
            at += 1;
        }
    }
    out
}

/// `code` (blanked) without items under `#[cfg(test)]`, and the names of modules declared there without a body.
pub(super) fn without_tests(code: &str) -> (String, Vec<String>) {
    const MARK: &str = "#[cfg(test)]";
    let (mut rest, mut kept, mut modules) = (code, String::with_capacity(code.len()), Vec::new());
    while let Some(start) = rest.find(MARK) {
        let item = &rest[start + MARK.len()..];
        let end = end_of_item(item);
        if let Some(name) = item[..end].trim().strip_prefix("mod ").and_then(|text| text.strip_suffix(';')) {
            modules.push(name.trim().to_owned());
        }
        kept.push_str(&rest[..start]);
        kept.extend(item[..end].chars().map(|c| if c == '\n' { '\n' } else { ' ' }));
        rest = &item[end..];
    }
    kept.push_str(rest);
    (kept, modules)
}

/// Where the comment, text or character that begins at `at` ends; `at` when there is none.
fn end_of_text(source: &[char], at: usize) -> usize {
    let is = |i: usize, c: char| source.get(i) == Some(&c);
    match source[at] {
        '/' if is(at + 1, '/') => find(source, at, |i| source[i] == '\n'),
        '/' if is(at + 1, '*') => end_of_block_comment(source, at),
        '"' => end_of_string(source, at + 1, '"'),
        '\'' if is(at + 1, '\\') => end_of_string(source, at + 1, '\''),
        '\'' if is(at + 2, '\'') => at + 3,
        'r' if at == 0 || !is_word(source[at - 1]) || "bc".contains(source[at - 1]) => end_of_raw_string(source, at),
        _ => at,
    }
}

fn end_of_string(source: &[char], from: usize, quote: char) -> usize {
    let mut at = from;
    while at < source.len() && source[at] != quote {
        at += if source[at] == '\\' { 2 } else { 1 };
    }
    (at + 1).min(source.len())
}

fn end_of_raw_string(source: &[char], at: usize) -> usize {
    let quote = find(source, at + 1, |i| source[i] != '#');
    if source.get(quote) != Some(&'"') {
        return at;
    }
    let hashes = quote - at - 1;
    let closes =
        |i: usize| source[i] == '"' && source[i + 1..].iter().take(hashes).filter(|c| **c == '#').count() == hashes;
    (find(source, quote + 1, closes) + 1 + hashes).min(source.len())
}

fn end_of_block_comment(source: &[char], at: usize) -> usize {
    let (mut depth, mut i) = (0, at);
    while i < source.len() {
        match (source[i], source.get(i + 1)) {
            ('/', Some('*')) => (depth, i) = (depth + 1, i + 2),
            ('*', Some('/')) => (depth, i) = (depth - 1, i + 2),
            _ => i += 1,
        }
        if depth == 0 {
            break;
        }
    }
    i.min(source.len())
}

/// Where the item after an attribute ends: at its semicolon, or at the brace that closes its body.
fn end_of_item(code: &str) -> usize {
    let mut depth = 0_usize;
    for (i, c) in code.char_indices() {
        match c {
            ';' if depth == 0 => return i + 1,
            '{' => depth += 1,
            '}' if depth == 1 => return i + 1,
            '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    code.len()
}

fn find(source: &[char], from: usize, found: impl Fn(usize) -> bool) -> usize {
    (from..source.len()).find(|i| found(*i)).unwrap_or(source.len())
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

#[test]
fn only_code_is_left() {
    let source =
        "let a = \"todo!()\"; // dbg!\nlet b = r#\"\"x\"#; /* a /* b */ c */ f('\"', '\\'', 'x'); fn g<'a>() {}";
    let blanked = blank(source);
    assert_eq!(blanked.len(), source.len());
    let words: Vec<&str> = blanked.split_whitespace().collect();
    assert_eq!(words.join(" "), "let a = ; let b = ; f( , , ); fn g<'a>() {}");
}

#[test]
fn test_items_go_and_their_modules_are_named() {
    let (kept, modules) = without_tests("a\n#[cfg(test)]\nmod tests;\nb\n#[cfg(test)]\nmod more { fn x() { {} } }\nc");
    assert_eq!(kept.split_whitespace().collect::<Vec<_>>(), ["a", "b", "c"]);
    assert_eq!(modules, ["tests"]);
}
