//! Finds the paths into its own crate that some code names: through `crate::`, through as many
//! `super::` as lead to the root, and through the braces of a `use`.

/// Each path without its way to the root, and where it stands. `depth` is how many `super` it takes.
pub(super) fn of_crate(code: &str, depth: usize) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let supers = "super::".repeat(depth);
    for start in ["crate::", supers.as_str()] {
        for (at, _) in code.match_indices(start) {
            if begins_path(&code[..at]) {
                let mut tree = &code[at + start.len()..];
                branch(&mut tree, "", at, &mut found);
            }
        }
    }
    found.sort();
    found
}

/// Whether what precedes is no part of the same path: neither `$crate` nor `super::super`.
fn begins_path(before: &str) -> bool {
    let last = before.chars().next_back();
    !last.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == '$' || c == ':')
}

/// Reads one branch of a tree of paths, and leaves what follows it.
fn branch(tree: &mut &str, stem: &str, at: usize, found: &mut Vec<(usize, String)>) {
    *tree = tree.trim_start();
    if let Some(inner) = tree.strip_prefix('{') {
        *tree = inner;
        return branches(tree, stem, at, found);
    }
    let is_word = |c: char| c.is_alphanumeric() || c == '_' || c == '*';
    let end = tree.find(|c| !is_word(c)).unwrap_or(tree.len());
    let (word, rest) = tree.split_at(end);
    let path = if stem.is_empty() {
        word.to_owned()
    } else {
        format!("{stem}::{word}")
    };
    *tree = rest;
    match rest.strip_prefix("::") {
        Some(rest) => {
            *tree = rest;
            branch(tree, &path, at, found);
        }
        None => found.push((at, path)),
    }
}

fn branches(tree: &mut &str, stem: &str, at: usize, found: &mut Vec<(usize, String)>) {
    while !tree.trim_start().is_empty() {
        if let Some(rest) = tree.trim_start().strip_prefix('}') {
            *tree = rest;
            return;
        }
        branch(tree, stem, at, found);
        // What is between here and the next branch: `as other`, a comma.
        let end = tree.find([',', '}']).unwrap_or(tree.len());
        *tree = tree[end..].strip_prefix(',').unwrap_or(&tree[end..]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_to_name_a_path_is_seen() {
        let check = |code: &str, depth, expected: &[&str]| {
            let found = of_crate(code, depth);
            let paths: Vec<_> = found.into_iter().map(|(_, path)| path).collect();
            assert_eq!(paths, expected, "{code}");
        };
        check("use crate::a::B;", 1, &["a::B"]);
        check(
            "use crate::{a, b::{C, d::E as F}};",
            1,
            &["a", "b::C", "b::d::E"],
        );
        check(
            "fn f(x: crate::a::B) -> crate::c::D {}",
            1,
            &["a::B", "c::D"],
        );
        check("use super::a; use super::super::b;", 2, &["b"]);
        check("use super::a::*;", 1, &["a::*"]);
        check("use $crate::a; use othercrate::b;", 1, &[]);
    }
}
