//! The page that shows operators the whole host: its files, as they lie in the binary. Knows nothing of the host, and
//! the page knows only its HTTP interface.

use std::sync::LazyLock;

use sha2::{Digest, Sha256};

/// What the page may load and do: nothing from elsewhere, no script and no style but those of its files, and no text
/// that becomes markup.
pub const CONTENT_SECURITY_POLICY: &str = "default-src 'self'; img-src 'self' blob: data:; object-src 'none'; base-uri 'none'; \
     form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'";

/// One file of the page.
#[derive(Debug)]
pub struct Asset {
    /// The last part of its path.
    pub name: &'static str,
    /// Its media type, with its charset.
    pub media_type: &'static str,
    /// What is in it.
    pub text: &'static str,
    /// Stands for its content, in the quotes of an `ETag`.
    pub tag: String,
}

/// The page itself.
pub fn page() -> &'static Asset {
    &PAGE
}

/// What the page loads by this name, if it does.
pub fn asset(name: &str) -> Option<&'static Asset> {
    ASSETS.iter().find(|asset| asset.name == name)
}

const HTML: &str = "text/html; charset=utf-8";
const STYLE: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const PICTURE: &str = "image/svg+xml";

static PAGE: LazyLock<Asset> = LazyLock::new(|| asset_of("", HTML, include_str!("page.html")));

macro_rules! assets {
    ($($media_type:ident: $($name:literal)+;)+) => {
        static ASSETS: LazyLock<Vec<Asset>> = LazyLock::new(|| {
            vec![$($(asset_of($name, $media_type, include_str!($name)),)+)+]
        });
    };
}

assets! {
    STYLE: "style.css";
    PICTURE: "icon.svg";
    SCRIPT: "access.js" "api.js" "dialog.js" "dom.js" "draw.js" "events.js" "form.js" "front.js" "jobs.js"
        "main.js" "plugin.js" "result.js" "schema.js" "spark.js" "state.js" "theme.js" "try.js" "words.js";
}

fn asset_of(name: &'static str, media_type: &'static str, text: &'static str) -> Asset {
    let digest = Sha256::digest(text);
    let hex: String = digest[..8].iter().map(|it| format!("{it:02x}")).collect();
    Asset {
        name,
        media_type,
        text,
        tag: format!("\"{hex}\""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a file names of the others.
    fn named(text: &str) -> impl Iterator<Item = &str> {
        let marks = ["'./", "\"assets/"];
        let after = marks.into_iter().flat_map(|mark| text.split(mark).skip(1));
        after.filter_map(|rest| rest.split(['\'', '"']).next())
    }

    #[test]
    fn every_file_that_is_named_is_there_and_every_other_is_not() {
        let all = || ASSETS.iter().chain([page()]);
        for name in all().flat_map(|it| named(it.text)) {
            assert!(asset(name).is_some(), "{name} is named, and is not there");
        }
        for Asset { name, .. } in ASSETS.iter() {
            let is_named = all().any(|it| named(it.text).any(|found| found == *name));
            assert!(is_named, "nothing names {name}");
        }
        assert!(asset("page.html").is_none() && asset("../mod.rs").is_none());
    }

    #[test]
    fn the_page_is_small_and_asks_nobody_else() {
        let all = || ASSETS.iter().chain([page()]);
        let size: usize = all().map(|it| it.text.len()).sum();
        assert!(size < 104 << 10, "the page has grown to {size} bytes");
        for Asset { name, text, .. } in all() {
            // The name of a vocabulary is no address.
            let text = text.replace("http://www.w3.org/2000/svg", "");
            assert!(
                !text.contains("http://") && !text.contains("https://"),
                "{name}"
            );
            assert!(
                !text.contains("innerHTML") && !text.contains("style="),
                "{name}"
            );
        }
    }

    #[test]
    fn tags_tell_contents_apart() {
        let mut tags: Vec<_> = ASSETS.iter().map(|it| &it.tag).collect();
        tags.sort();
        tags.dedup();
        assert_eq!(tags.len(), ASSETS.len());
    }
}
