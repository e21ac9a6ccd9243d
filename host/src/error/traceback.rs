//! What helps an operator to find the place of an error. Knows no error.

use std::fmt;
use std::sync::{Arc, LazyLock};

use serde::{Serialize, Serializer};

/// What helps an operator to find the place. Finding the names of a backtrace's functions takes
/// longer than a call may wait, so it is put off until somebody looks.
#[derive(Clone)]
pub struct Traceback(Arc<LazyLock<String, Box<dyn FnOnce() -> String + Send>>>);

impl Traceback {
    /// A text that is made when it is first looked at.
    pub fn later(make: impl FnOnce() -> String + Send + 'static) -> Self {
        Self(Arc::new(LazyLock::new(Box::new(make))))
    }

    /// The text. The first to ask may wait long for it: not for async code.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<String> for Traceback {
    fn from(text: String) -> Self {
        Self::later(move || text)
    }
}

impl Default for Traceback {
    fn default() -> Self {
        String::new().into()
    }
}

impl fmt::Debug for Traceback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Traceback")
    }
}

impl Serialize for Traceback {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}
