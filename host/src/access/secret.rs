//! The text that a caller shows: `bhk_`, the token's id, `_`, and 256 random bits. Knows no file.

use std::fmt;

use sha2::{Digest as _, Sha256};

const PREFIX: &str = "bhk_";
/// 48 bits, in hex.
pub(super) const ID_LENGTH: usize = 12;
/// 256 bits, in base64.
const SECRET_LENGTH: usize = 43;

/// A token as a caller shows it. Only its digest is kept; `Debug` does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// A new one, which nobody can guess.
    ///
    /// # Errors
    /// When the system has no random bits to give.
    pub(super) fn random() -> Result<Self, getrandom::Error> {
        let (mut id, mut secret) = ([0; ID_LENGTH / 2], [0; 32]);
        getrandom::fill(&mut id)?;
        getrandom::fill(&mut secret)?;
        let id: String = id.iter().map(|byte| format!("{byte:02x}")).collect();
        let secret = base64_simd::URL_SAFE_NO_PAD.encode_to_string(secret);
        Ok(Self(format!("{PREFIX}{id}_{secret}")))
    }

    /// What `text` is if it has the form of a token; whether there is such a one is not for here to say.
    pub(super) fn parse(text: &[u8]) -> Option<Self> {
        let text = str::from_utf8(text).ok()?;
        let (id, secret) = text.strip_prefix(PREFIX)?.split_once('_')?;
        let is_sign = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        let is_whole = is_id(id) && secret.len() == SECRET_LENGTH && secret.bytes().all(is_sign);
        is_whole.then(|| Self(text.to_owned()))
    }

    /// The public part.
    pub(super) fn id(&self) -> &str {
        &self.0[PREFIX.len()..PREFIX.len() + ID_LENGTH]
    }

    /// What is kept of the secret part. It is random enough for a fast hash.
    pub(super) fn digest(&self) -> [u8; 32] {
        let secret = &self.0[PREFIX.len() + ID_LENGTH + 1..];
        Sha256::digest(secret.as_bytes()).into()
    }

    /// The whole, for who made it: it is shown once.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}{}_…", self.id())
    }
}

/// Whether a text has the form of an id.
pub(super) fn is_id(text: &str) -> bool {
    let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    text.len() == ID_LENGTH && text.bytes().all(is_digit)
}
