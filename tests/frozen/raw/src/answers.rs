//! The ways to answer.

use abi_stable::std_types::{RString, RVec};

use crate::abi::{Failure, FailureKind};

/// The bytes of an answer, or a failure that no SDK would make.
pub(crate) fn answer(way: &str) -> Result<Vec<u8>, Box<Failure>> {
    let answer = match way {
        "fine" => br#"{"fixture": "raw"}"#.to_vec(),
        "invalid-utf8" => b"{\"text\": \"\xff\xfe\"}".to_vec(),
        "nan" => br#"{"score": NaN}"#.to_vec(),
        "infinity" => br#"{"score": Infinity}"#.to_vec(),
        "null" => b"null".to_vec(),
        "text" => br#""not a dict""#.to_vec(),
        "list" => b"[]".to_vec(),
        "empty" => Vec::new(),
        "two" => b"{} {}".to_vec(),
        "half" => br#"{"fixture": "ra"#.to_vec(),
        "lie" => br#"{"fixture": 7}"#.to_vec(),
        "deep" => nested(10_000),
        "many" => labels(1_000_001),
        "megabyte" => text(1 << 20),
        "huge" => text(64 << 20),
        "foreign-failure" => return Err(Box::new(foreign_failure())),
        other => format!(r#"{{"fixture": "raw", "no_such_way": {}}}"#, other.len()).into_bytes(),
    };
    Ok(answer)
}

fn nested(depth: usize) -> Vec<u8> {
    format!(r#"{{"a": {}1{}}}"#, "[".repeat(depth), "]".repeat(depth)).into_bytes()
}

fn labels(count: usize) -> Vec<u8> {
    format!(r#"{{"labels": ["l"{}]}}"#, r#","l""#.repeat(count - 1)).into_bytes()
}

fn text(size: usize) -> Vec<u8> {
    format!(r#"{{"text": "{}"}}"#, "x".repeat(size)).into_bytes()
}

/// A kind that nobody knows, a message that is no UTF-8, and details that are no JSON.
fn foreign_failure() -> Failure {
    // SAFETY: none for who reads it as text; that is what is tested.
    let message = unsafe { RString::from_utf8_unchecked(b"bad \xff words".to_vec().into()) };
    Failure {
        kind: FailureKind(99),
        message,
        details: "no JSON".into(),
        location: RString::new(),
        backtrace: RVec::new(),
        ext: RVec::new(),
    }
}
