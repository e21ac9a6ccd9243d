//! Binary data beside the JSON of an answer.

use std::fmt;

/// A file that a call gives back beside its JSON: a thumbnail, a mask.
#[derive(Clone, PartialEq, Eq)]
pub struct Attachment {
    /// A file name for it, such as `thumbnail.webp`.
    pub name: String,
    /// The MIME type of `data`.
    pub mime_type: String,
    /// The bytes.
    pub data: Vec<u8>,
}

/// Tells how many bytes there are: a picture in a failed test is no help to anybody.
impl fmt::Debug for Attachment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Attachment")
            .field("name", &self.name)
            .field("mime_type", &self.mime_type)
            .field("data", &format_args!("{} bytes", self.data.len()))
            .finish()
    }
}
