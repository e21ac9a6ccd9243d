//! The trait that an author implements, and what a call brings. Knows nothing of the ABI.

use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{Context, Error};

/// A plugin: one tool that looks at an image and answers with a JSON object.
///
/// The host makes an instance with [`new`](Self::new) and calls [`run`](Self::run) on it, one call
/// at a time unless [`export_plugin!`](crate::export_plugin) says `thread_safe: true`. An instance
/// that has panicked is dropped and replaced.
pub trait Plugin: Send + Sized + 'static {
    /// What the operator configures (`[plugin.NAME] settings = …`). `()` takes none.
    type Settings: DeserializeOwned;
    /// What a caller sends with each image; [`NoOptions`](crate::NoOptions) takes none. The host
    /// refuses options that break its schema before the plugin sees them.
    type Options: DeserializeOwned + JsonSchema;
    /// What a call answers: a struct that serializes as a JSON object. A number in it that is not
    /// finite becomes null, which breaks the schema: the host refuses that answer.
    type Output: Serialize + JsonSchema;

    /// Makes an instance.
    ///
    /// # Errors
    /// When the settings make no sense. The plugin is then not served, and the message tells why.
    fn new(settings: Self::Settings) -> Result<Self, Error>;

    /// Answers one call.
    ///
    /// # Errors
    /// [`Error::invalid_input`] when the image is at fault, [`Error::failed`] for all else.
    fn run(
        &self,
        request: &Request<'_>,
        options: Self::Options,
        context: &Context<'_>,
    ) -> Result<Self::Output, Error>;

    /// Tells whether a fresh instance is fit to serve, for instance by running a known image. The
    /// host asks once per build, before the first call.
    ///
    /// # Errors
    /// When it is not: the build is then not served, and the message tells why.
    fn self_test(&self) -> Result<(), Error> {
        Ok(())
    }
}

/// One call: an image and its type. Both are borrowed from the host; nothing is copied.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    image: &'a [u8],
    mime_type: &'a str,
    extensions: &'a [(&'a str, &'a str)],
}

impl<'a> Request<'a> {
    pub(crate) fn new(
        image: &'a [u8],
        mime_type: &'a str,
        extensions: &'a [(&'a str, &'a str)],
    ) -> Self {
        Self {
            image,
            mime_type,
            extensions,
        }
    }

    /// The bytes of the image file, as the caller sent them. Never empty.
    pub fn image(&self) -> &'a [u8] {
        self.image
    }

    /// The MIME type that the caller gave, lower case and without parameters: `image/png`.
    pub fn mime_type(&self) -> &'a str {
        self.mime_type
    }

    /// What a newer host may say of the call beyond this SDK, by name.
    pub fn extension(&self, name: &str) -> Option<&'a str> {
        self.extensions
            .iter()
            .find(|(key, _)| *key == name)
            .map(|(_, value)| *value)
    }
}
