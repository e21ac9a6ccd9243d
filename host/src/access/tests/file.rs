use std::fs;
use std::time::Duration;

use serde_json::{Value, json};

use super::*;

#[test]
fn a_secret_has_its_form_and_nothing_else_has() {
    let secret = Secret::random().unwrap();
    let text = secret.as_str().to_owned();
    assert_eq!(text.len(), "bhk_".len() + 12 + "_".len() + 43);
    assert_eq!(Secret::parse(text.as_bytes()), Some(secret.clone()));
    assert!(!format!("{secret:?}").contains(&text[17..]), "{secret:?}");
    let other = Secret::random().unwrap();
    assert_ne!((secret.id(), secret.digest()), (other.id(), other.digest()));

    let longer = format!("{text}A");
    let upper = text.to_uppercase();
    let padded = format!("{}=", &text[..text.len() - 1]);
    let spaced = format!(" {text}");
    let wrong_id = text.replacen("bhk_", "bhk_Z", 1);
    for bad in [
        "",
        "bhk_",
        "bhk__",
        &text[1..],
        &text[..text.len() - 1],
        &longer,
        &upper,
        &padded,
        &spaced,
        &wrong_id,
    ] {
        assert_eq!(Secret::parse(bad.as_bytes()), None, "{bad}");
    }
    let bytes = [text.as_bytes(), b"\xff"].concat();
    assert_eq!(Secret::parse(&bytes), None);
    for at in 0..text.len() {
        let mut bytes = text.clone().into_bytes();
        bytes[at] = b'\0';
        assert_eq!(Secret::parse(&bytes), None, "at {at}");
    }
}

#[test]
fn tokens_are_made_listed_and_revoked() {
    let fixture = Fixture::new();
    let path = fixture.path();
    assert_eq!(list(&path).unwrap(), []);
    let (first, secret) = fixture.token("ci", Role::Analyze);
    let (second, _) = fixture.token("ops at night", Role::Admin);
    assert_eq!(list(&path).unwrap(), [first.clone(), second.clone()]);
    let kept = fs::read_to_string(&path).unwrap();
    assert!(!kept.contains(&secret.as_str()[17..]), "{kept}");

    let taken = |name: &str| {
        let new = New {
            name: name.to_owned(),
            role: Role::Analyze,
            expires: None,
            rate: Some(1),
        };
        create(&path, new).unwrap_err().to_string()
    };
    assert!(taken("ci").starts_with("there is a token `ci` already"));
    assert!(
        taken(&first.id).contains("already"),
        "an id is no name of another"
    );
    for bad in ["", " a", "a ", "a\nb", "\u{1b}[2J", &"x".repeat(65)] {
        assert!(taken(bad).contains("is no name for a token"), "{bad:?}");
    }

    assert_eq!(revoke(&path, "ci").unwrap(), first);
    assert_eq!(revoke(&path, &second.id).unwrap(), second);
    let gone = revoke(&path, "ci").unwrap_err().to_string();
    assert!(gone.starts_with("there is no token `ci`"), "{gone}");
    assert_eq!(list(&path).unwrap(), []);
}

#[test]
fn an_end_lies_ahead() {
    let fixture = Fixture::new();
    let with = |expires| {
        let new = New {
            name: format!("{expires:?}"),
            role: Role::Analyze,
            expires: Some(expires),
            rate: None,
        };
        create(&fixture.path(), new)
    };
    let (token, _) = with(Duration::from_secs(60)).unwrap();
    assert_eq!(
        (token.expires_at.unwrap() - token.created_at).num_seconds(),
        60
    );
    assert!(!token.has_expired(token.created_at));
    assert!(token.has_expired(token.expires_at.unwrap()));
    for bad in [Duration::ZERO, Duration::from_secs(1 << 50), Duration::MAX] {
        assert!(matches!(with(bad), Err(EditError::Expiry(_))), "{bad:?}");
    }
}

#[test]
fn all_who_make_tokens_at_once_have_theirs() {
    let fixture = Fixture::new();
    std::thread::scope(|scope| {
        for number in 0..8 {
            let fixture = &fixture;
            scope.spawn(move || fixture.token(&format!("t{number}"), Role::Analyze));
        }
    });
    assert_eq!(list(&fixture.path()).unwrap().len(), 8);
}

#[test]
#[cfg(unix)]
fn nobody_else_reads_the_file_and_nobody_else_may_write_it() {
    use std::os::unix::fs::PermissionsExt;
    let fixture = Fixture::new();
    fixture.token("a", Role::Admin);
    let path = fixture.path();
    let mode = |path: &std::path::Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&path), 0o600);
    assert_eq!(mode(path.parent().unwrap()), 0o700);
    for loose in [0o620, 0o602, 0o666] {
        fs::set_permissions(&path, fs::Permissions::from_mode(loose)).unwrap();
        let problem = list(&path).unwrap_err().to_string();
        let expected = format!("can be written by others (mode {loose:03o}): `chmod 600 ");
        assert!(problem.contains(&expected), "{problem}");
        let refused = revoke(&path, "a").unwrap_err();
        assert!(matches!(refused, EditError::File(_)), "{refused}");
    }
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    assert_eq!(list(&path).unwrap().len(), 1, "to read is harmless");
}

#[test]
#[cfg(unix)]
fn what_is_no_file_keeps_nobody_waiting() {
    let fixture = Fixture::new();
    fixture.token("a", Role::Admin);
    let path = fixture.path();
    let refused = || list(&path).unwrap_err().to_string();
    fs::remove_file(&path).unwrap();
    let mode = rustix::fs::Mode::from_raw_mode(0o600);
    let kind = rustix::fs::FileType::Fifo;
    rustix::fs::mknodat(rustix::fs::CWD, &path, kind, mode, 0).unwrap();
    assert!(refused().contains("are damaged: it is no file"));
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    assert!(refused().contains("are damaged: it is no file"));
}

#[test]
#[cfg(unix)]
fn a_file_of_somebody_else_lets_nobody_in() {
    use std::os::unix::fs::chown;
    let fixture = Fixture::new();
    fixture.token("a", Role::Admin);
    let path = fixture.path();
    if chown(&path, Some(4711), None).is_err() {
        // Only root can give it away.
        return;
    }
    let refused = list(&path).unwrap_err().to_string();
    assert!(refused.contains("belong to the user 4711"), "{refused}");
    assert!(refused.contains("`chown 0 "), "{refused}");
    // A daemon's user owns its folder.
    chown(path.parent().unwrap(), Some(4711), None).unwrap();
    assert_eq!(list(&path).unwrap().len(), 1);
}

#[test]
fn a_damaged_file_says_what_is_wrong_with_it() {
    let fixture = Fixture::new();
    fixture.token("a", Role::Admin);
    let path = fixture.path();
    let whole: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    let check = |text: &str, expected: &str| {
        fs::write(&path, text).unwrap();
        let problem = list(&path).unwrap_err().to_string();
        assert!(
            problem.contains("are damaged") && problem.contains(expected),
            "{problem}"
        );
    };
    check("", "EOF");
    check("[]", "invalid");
    check("{\"version\": 1}", "missing field `tokens`");
    check(
        "{\"version\": 2, \"tokens\": {}}",
        "its version is 2, and this build knows 1 only",
    );
    let text = whole.to_string();
    check(&text[..text.len() / 2], "EOF");
    let changed = |field: &str, value: Value| {
        let mut changed = whole.clone();
        changed["tokens"][0][field] = value;
        changed.to_string()
    };
    check(&changed("role", json!("root")), "unknown variant `root`");
    check(&changed("id", json!("../../etc")), "is no id");
    check(&changed("name", json!("a\nb")), "is no name for a token");
    check(
        &changed("sha256", json!("00")),
        "`sha256` is not 64 hex digits",
    );
    check(&changed("rate", json!(-1)), "invalid value");
    check(&changed("secret", json!("x")), "unknown field `secret`");
    let mut twice = whole.clone();
    let token = twice["tokens"][0].clone();
    twice["tokens"].as_array_mut().unwrap().push(token);
    check(&twice.to_string(), "twice");
    check(&" ".repeat((4 << 20) + 1), "larger than");
}
