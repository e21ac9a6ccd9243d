use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use super::super::limits::{Strangers, WRONG_AT_ONCE};
use super::*;

const PEER: Option<IpAddr> = Some(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)));
/// A proxy on the same machine, say.
const NEAR: Option<IpAddr> = Some(IpAddr::V4(Ipv4Addr::LOCALHOST));
const SOCKET: Option<IpAddr> = None;

#[test]
fn whether_a_token_is_needed_goes_by_where_the_host_listens() {
    let fixture = Fixture::new();
    let check = |is_local, local_needs, insecure, expected: [bool; 3]| {
        let rules = Rules {
            is_local,
            local_needs,
            insecure,
            ..REMOTE
        };
        let gate = fixture.gate(rules);
        let found = [PEER, NEAR, SOCKET].map(|peer| gate.needs_token(peer));
        assert_eq!(found, expected, "{rules:?}");
    };
    for insecure in [false, true] {
        check(true, false, insecure, [false, false, false]);
        check(true, true, insecure, [true, true, true]);
    }
    check(false, false, false, [true, true, false]);
    check(false, true, false, [true, true, true]);
    check(false, false, true, [false, false, false]);
    check(false, true, true, [false, false, true]);
    fixture.token("a", Role::Analyze);
    check(true, false, false, [false, false, false]);
    check(false, false, true, [true, true, false]);
}

#[test]
fn a_token_is_who_it_was_made_for() {
    let fixture = Fixture::new();
    let (token, secret) = fixture.token("ci", Role::Analyze);
    let gate = fixture.gate(REMOTE);
    let caller = gate.admit(&bearer(&secret), PEER).unwrap().unwrap();
    assert_eq!(
        (caller.role, caller.token.as_deref()),
        (Role::Analyze, Some("ci"))
    );
    assert_eq!(caller.owner, Some(token.id.clone()));
    assert_eq!(caller.sees(), Some(token.id.as_str()));
    assert_eq!(gate.admit(&Shown::Nothing, PEER).unwrap(), None);
    // Where none is needed, a wrong one is refused all the same.
    assert_eq!(
        gate.admit(&Shown::Nothing, SOCKET).unwrap(),
        Some(Caller::local())
    );
    let stranger = Secret::random().unwrap();
    assert_eq!(
        code(&gate.admit(&bearer(&stranger), SOCKET)),
        Code::Unauthorized
    );
    // The right id with another's secret.
    let text = secret.as_str().to_owned();
    let forged = text[..17].to_owned() + &stranger.as_str()[17..];
    let refused = gate.admit(&Shown::Bearer(forged.as_bytes()), PEER);
    assert_eq!(code(&refused), Code::Unauthorized);
    assert!(
        !refused.unwrap_err().to_string().contains("ci"),
        "no name is given away"
    );
}

#[test]
fn a_token_ends_when_its_time_is_over() {
    let fixture = Fixture::new();
    let (_, secret) = fixture.token("old", Role::Admin);
    let text = fs::read_to_string(fixture.path()).unwrap();
    let over = text.replace(
        "\"expires_at\": null",
        "\"expires_at\": \"2020-01-01T00:00:00Z\"",
    );
    assert_ne!(text, over);
    fs::write(fixture.path(), over).unwrap();
    let gate = fixture.gate(REMOTE);
    for _ in 0..20 {
        let refused = gate.admit(&bearer(&secret), PEER);
        assert_eq!(code(&refused), Code::Unauthorized, "it is no guess");
        let line = refused.unwrap_err().to_string();
        assert!(
            line.starts_with("the token `old` expired at 2020-01-01T00:00:00Z"),
            "{line}"
        );
    }
}

#[test]
fn the_file_is_followed_and_a_broken_one_changes_nothing() {
    let fixture = Fixture::new();
    let (_, first) = fixture.token("first", Role::Admin);
    let gate = fixture.gate(REMOTE);
    let is_in = |secret: &Secret| gate.admit(&bearer(secret), PEER).is_ok();
    let (_, second) = fixture.token("second", Role::Analyze);
    assert!(is_in(&first) && !is_in(&second), "nobody has looked");
    gate.look();
    assert!(is_in(&first) && is_in(&second));

    let whole = fs::read(fixture.path()).unwrap();
    fs::write(fixture.path(), "{").unwrap();
    gate.look();
    gate.look();
    assert!(is_in(&first) && is_in(&second));
    fs::write(fixture.path(), whole).unwrap();
    revoke(&fixture.path(), "first").unwrap();
    gate.look();
    assert!(!is_in(&first) && is_in(&second));
    fs::remove_file(fixture.path()).unwrap();
    gate.look();
    assert!(
        !is_in(&second),
        "who takes the file away takes all tokens away"
    );
}

#[test]
fn the_last_token_that_goes_opens_no_door() {
    let fixture = Fixture::new();
    fixture.token("only", Role::Admin);
    let gate = fixture.gate(Rules {
        insecure: true,
        ..REMOTE
    });
    assert!(gate.needs_token(PEER));
    revoke(&fixture.path(), "only").unwrap();
    gate.look();
    assert!(gate.needs_token(PEER));
}

#[test]
fn who_was_let_in_is_held_to_what_the_file_says_now() {
    let fixture = Fixture::new();
    let tokens = ["kept", "gone", "less", "over"].map(|it| fixture.token(it, Role::Operate));
    let gate = fixture.gate(REMOTE);
    let callers = tokens.map(|(_, secret)| gate.admit(&bearer(&secret), PEER).unwrap().unwrap());
    let hold = |gate: &Access| callers.each_ref().map(|caller| gate.holds(caller, PEER));
    assert_eq!(hold(&gate), [true; 4]);
    revoke(&fixture.path(), "gone").unwrap();
    let text = fs::read_to_string(fixture.path()).unwrap();
    let mut file: serde_json::Value = serde_json::from_str(&text).unwrap();
    file["tokens"][1]["role"] = "analyze".into();
    file["tokens"][2]["expires_at"] = "2020-01-01T00:00:00Z".into();
    fs::write(fixture.path(), file.to_string()).unwrap();
    gate.look();
    assert_eq!(hold(&gate), [true, false, false, false]);
    // The first token ends the time of those who needed none.
    let fixture = Fixture::new();
    let gate = fixture.gate(Rules {
        insecure: true,
        ..REMOTE
    });
    assert!(gate.holds(&Caller::local(), PEER));
    fixture.token("first", Role::Admin);
    gate.look();
    assert!(!gate.holds(&Caller::local(), PEER) && gate.holds(&Caller::local(), SOCKET));
}

#[test]
fn the_file_is_looked_at_once_a_second_and_sooner_for_a_token_that_is_new() {
    let fixture = Fixture::new();
    let (_, known) = fixture.token("known", Role::Admin);
    let gate = fixture.gate(REMOTE);
    let new = Secret::random().unwrap();
    let (known, new) = (bearer(&known), bearer(&new));
    let is_due = |now, shown| gate.is_due_at(now, shown);
    assert!(
        !is_due(99, &new) && !is_due(999, &known),
        "it was read just now"
    );
    assert!(
        !is_due(5000, &Shown::Nothing),
        "the file says nothing of those"
    );
    assert!(!is_due(5000, &Shown::Other("another kind")));
    assert!(
        is_due(100, &new) && !is_due(100, &new),
        "it says so to one only"
    );
    assert!(!is_due(1099, &known));
    assert!(is_due(1100, &known) && !is_due(1100, &known));
}

#[test]
fn requests_of_a_token_have_a_pace() {
    let fixture = Fixture::new();
    let (_, paced) = fixture.token("paced", Role::Analyze);
    let any = New {
        name: "any".to_owned(),
        role: Role::Analyze,
        expires: None,
        rate: Some(0),
    };
    let (_, any) = create(&fixture.path(), any).unwrap();
    // So many at once that what is given back meanwhile does not count.
    let gate = fixture.gate(Rules {
        rate: 1,
        burst: 1000,
        ..REMOTE
    });
    let ask = |secret: &Secret| gate.admit(&bearer(secret), PEER);
    let refused: Vec<_> = (0..1500)
        .map(|_| ask(&paced))
        .filter(Result::is_err)
        .collect();
    assert!((400..=500).contains(&refused.len()), "{}", refused.len());
    for refused in refused {
        assert_eq!(code(&refused), Code::RateLimited);
        let wait = refused.unwrap_err().retry_after().unwrap();
        assert!(
            wait > Duration::ZERO && wait <= Duration::from_secs(1),
            "{wait:?}"
        );
    }
    assert!((0..1500).all(|_| ask(&any).is_ok()));
    // Another token in the file gives nobody a new start.
    fixture.token("third", Role::Analyze);
    gate.look();
    let passed = (0..1000).filter(|_| ask(&paced).is_ok()).count();
    assert!(passed < 500, "{passed}");
}

#[test]
fn another_pace_holds_at_once() {
    let fixture = Fixture::new();
    let (_, secret) = fixture.token("paced", Role::Analyze);
    let gate = fixture.gate(Rules {
        rate: 0,
        burst: 50,
        ..REMOTE
    });
    let passed = || {
        let admitted = (0..1500).map(|_| gate.admit(&bearer(&secret), PEER));
        admitted.filter(Result::is_ok).count()
    };
    assert_eq!(passed(), 1500);
    gate.set_pace(1, 1000);
    let some = passed();
    assert!((1000..1100).contains(&some), "{some}");
    // The same once more gives nobody a new start.
    gate.set_pace(1, 1000);
    let few = passed();
    assert!(few < 100, "{few}");
    gate.set_pace(0, 50);
    assert_eq!(passed(), 1500);
}

#[test]
fn guesses_are_slowed_down_and_right_tokens_are_not() {
    let fixture = Fixture::new();
    let (_, right) = fixture.token("right", Role::Analyze);
    let gate = fixture.gate(REMOTE);
    let guess = |peer| {
        let stranger = Secret::random().unwrap();
        gate.admit(&bearer(&stranger), peer).unwrap_err()
    };
    let mut codes = (0..50).map(|_| guess(PEER));
    let at_once = codes.by_ref().take(WRONG_AT_ONCE.get() as usize);
    assert!(
        at_once
            .map(|it| it.code())
            .all(|it| it == Code::Unauthorized)
    );
    for refused in codes {
        assert_eq!(refused.code(), Code::RateLimited);
        assert!(refused.retry_after().unwrap() <= Duration::from_secs(3));
    }
    assert!(gate.admit(&bearer(&right), PEER).is_ok());
    assert_eq!(
        guess(NEAR).code(),
        Code::Unauthorized,
        "others are told apart"
    );
}

#[test]
fn the_log_hears_of_an_address_once_a_minute() {
    let strangers = Strangers::new();
    let told = (0..1000).filter(|_| strangers.note(PEER).is_news);
    assert_eq!(told.count(), 1);
    assert!(strangers.note(NEAR).is_news);
}

#[test]
fn addresses_without_end_take_no_memory_without_end() {
    let strangers = Strangers::at_most(100);
    let mut refused = 0;
    for number in 0..10_000_u32 {
        let peer = IpAddr::V4(Ipv4Addr::from_bits(number));
        refused += usize::from(strangers.note(Some(peer)).wait.is_some());
    }
    assert!(strangers.known() <= 101, "{}", strangers.known());
    assert!(
        refused > 9000,
        "those for whom there is no room count as one: {refused}"
    );
    // Whoever has one address of IPv6 has 2^64 of them.
    let strangers = Strangers::new();
    let near = |last| {
        Some(IpAddr::V6(Ipv6Addr::new(
            0x2001, 0xdb8, 1, 2, 0, 0, 0, last,
        )))
    };
    let refused = (0..50).filter(|last| strangers.note(near(*last)).wait.is_some());
    assert_eq!(refused.count(), 40);
}
