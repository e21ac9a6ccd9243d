//! Every EXIF tag as text, each cut to a length that an answer can bear.

use std::collections::BTreeMap;
use std::fmt::{self, Write};

use exif::{Exif, Field, In};

/// The most characters of one value: a maker's private block may have megabytes.
const LONGEST: usize = 256;

/// The tags of the picture itself, not those of its embedded thumbnail.
pub(crate) fn all(exif: &Exif) -> BTreeMap<String, String> {
    let fields = exif.fields().filter(|field| field.ifd_num == In::PRIMARY);
    fields
        .map(|field| (field.tag.to_string(), text(field, exif)))
        .collect()
}

fn text(field: &Field, exif: &Exif) -> String {
    let mut brief = Brief(String::new());
    match write!(brief, "{}", field.display_value().with_unit(exif)) {
        // The crate puts ASCII values in quotes.
        Ok(()) => brief.0.trim_matches('"').to_owned(),
        // Only a full `Brief` refuses to be written to.
        Err(fmt::Error) => brief.0 + "…",
    }
}

/// Takes [`LONGEST`] characters, then ends the formatting.
struct Brief(String);

impl Write for Brief {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for character in text.chars() {
            if self.0.len() >= LONGEST {
                return Err(fmt::Error);
            }
            self.0.push(character);
        }
        Ok(())
    }
}
