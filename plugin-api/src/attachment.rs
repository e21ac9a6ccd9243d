//! Binary data beside the JSON of an answer.

/// A file that a call gives back beside its JSON: a thumbnail, a mask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attachment {
    /// A file name for it, such as `thumbnail.webp`.
    pub name: String,
    /// The MIME type of `data`.
    pub mime_type: String,
    /// The bytes.
    pub data: Vec<u8>,
}
