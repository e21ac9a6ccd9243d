//! Takes out of source text what is no code that runs, and keeps its lines where they are.

/// The text with comments, and what stands between quotes, as spaces.
pub(super) fn comments_and_strings(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let size = match c {
            '/' if rest.starts_with("//") => rest.find('\n').unwrap_or(rest.len()),
            '/' if rest.starts_with("/*") => end_of_comment(rest),
            '"' => end_of_string(rest),
            'r' if !ends_in_word(&code) => end_of_raw_string(rest).unwrap_or(0),
            '\'' => end_of_char(rest).unwrap_or(0),
            _ => 0,
        };
        if size == 0 {
            code.push(c);
            rest = &rest[c.len_utf8()..];
        } else {
            blank(&mut code, &rest[..size]);
            rest = &rest[size..];
        }
    }
    code
}

/// The code without the items behind `#[cfg(test)]`.
pub(super) fn tests(code: &str) -> String {
    const TEST: &str = "#[cfg(test)]";
    let mut left = String::with_capacity(code.len());
    let mut rest = code;
    while let Some(at) = rest.find(TEST) {
        let (before, item) = rest.split_at(at);
        let (item, after) = item.split_at(end_of_item(item));
        left.push_str(before);
        blank(&mut left, item);
        rest = after;
    }
    left + rest
}

fn blank(code: &mut String, text: &str) {
    code.extend(text.chars().map(|c| if c == '\n' { '\n' } else { ' ' }));
}

fn ends_in_word(code: &str) -> bool {
    let last = code.chars().next_back();
    last.is_some_and(|c| c.is_alphanumeric() || c == '_')
}

fn end_of_comment(text: &str) -> usize {
    text.find("*/").map_or(text.len(), |end| end + 2)
}

fn end_of_string(text: &str) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            '"' if !escaped => return at + 1,
            '\\' => escaped = !escaped,
            _ => escaped = false,
        }
    }
    text.len()
}

/// `None` where no raw string begins.
fn end_of_raw_string(text: &str) -> Option<usize> {
    let hashes = text[1..].chars().take_while(|&c| c == '#').count();
    let body = text[1 + hashes..].strip_prefix('"')?;
    let end = format!("\"{}", "#".repeat(hashes));
    let found = body.find(&end)?;
    Some(text.len() - body.len() + found + end.len())
}

/// `None` for a lifetime.
fn end_of_char(text: &str) -> Option<usize> {
    let mut inner = text[1..].char_indices();
    let (_, first) = inner.next()?;
    if first == '\\' {
        // The escaped character itself may be a quote.
        let (at, _) = inner.nth(1)?;
        return Some(1 + at + text[1 + at..].find('\'')? + 1);
    }
    let (at, second) = inner.next()?;
    (second == '\'').then_some(at + 2)
}

/// An item ends with a semicolon, or with the brace that closes its first.
fn end_of_item(text: &str) -> usize {
    let mut depth = 0;
    for (at, c) in text.char_indices() {
        match c {
            ';' if depth == 0 => return at + 1,
            '{' => depth += 1,
            '}' if depth == 1 => return at + 1,
            '}' => depth -= 1,
            _ => {}
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_code_is_left() {
        let check = |text: &str, expected: &str| {
            let code = tests(&comments_and_strings(text));
            let words: Vec<_> = code.split_whitespace().collect();
            assert_eq!(words.join(" "), expected, "{text}");
            assert_eq!(code.matches('\n').count(), text.matches('\n').count());
        };
        check("a // unsafe\nb", "a b");
        check("a /* unsafe\n */ b", "a b");
        check(r#"f("unsafe \" unsafe", x)"#, "f( , x)");
        check(r##"f(r#"unsafe " unsafe"#, x)"##, "f( , x)");
        check(r#"f(b"unsafe")"#, "f(b )");
        check(r"for'a u8 '\'' b '\\' c", "for'a u8 b c");
        check("m('\"', 'x') + var\"s\"", "m( , ) + var");
        check("a #[cfg(test)] mod b { c { d } } e", "a e");
        check("a #[cfg(test)] mod b; c", "a c");
    }
}
