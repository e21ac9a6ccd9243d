//! What the first bytes of an image tell, without decoding any of it.

use infer::MatcherType;

use crate::error::CallError;

/// Types that say the same: registered ones first, what is still sent for them second.
const ALIASES: &[(&str, &str)] = &[
    ("image/jpeg", "image/jpg"),
    ("image/jpeg", "image/pjpeg"),
    ("image/png", "image/x-png"),
    ("image/png", "image/apng"),
    ("image/png", "image/vnd.mozilla.apng"),
    ("image/bmp", "image/x-ms-bmp"),
    ("image/bmp", "image/x-bmp"),
    ("image/vnd.microsoft.icon", "image/x-icon"),
    ("image/heif", "image/heic"),
];

/// Refuses bytes that are clearly of another type than `declared`. What has no known signature
/// passes, and so does what is declared as no image: such types are between caller and plugin.
pub(super) fn check_type(bytes: &[u8], declared: &str) -> Result<(), CallError> {
    if !declared.starts_with("image/") {
        return Ok(());
    }
    let Some(kind) = infer::get(bytes) else {
        return Ok(());
    };
    let found = kind.mime_type();
    if found == declared {
        return Ok(());
    }
    // Many cameras' raw formats are TIFF inside, and SVG is text: only like can contradict like.
    let known = kind.matcher_type() != MatcherType::Image || is_sniffable(declared);
    if known && canonical(found) != canonical(declared) && found != "text/xml" {
        return Err(CallError::ImageMismatch {
            declared: declared.to_owned(),
            found,
        });
    }
    Ok(())
}

/// Refuses an image whose header claims more than `limit` pixels. No header, no claim.
pub(super) fn check_pixels(bytes: &[u8], limit: u64) -> Result<(), CallError> {
    let Ok(size) = imagesize::blob_size(bytes) else {
        return Ok(());
    };
    let pixels = (size.width as u64).saturating_mul(size.height as u64);
    if pixels > limit {
        let (width, height) = (size.width, size.height);
        return Err(CallError::ImageTooLarge {
            width,
            height,
            limit,
        });
    }
    Ok(())
}

fn canonical(mime_type: &str) -> &str {
    ALIASES
        .iter()
        .find(|(_, alias)| *alias == mime_type)
        .map_or(mime_type, |(name, _)| name)
}

/// Types whose files always begin with a signature that is known here.
fn is_sniffable(declared: &str) -> bool {
    let known = [
        "jpeg",
        "png",
        "gif",
        "webp",
        "bmp",
        "tiff",
        "vnd.microsoft.icon",
        "avif",
        "jxl",
    ];
    canonical(declared)
        .strip_prefix("image/")
        .is_some_and(|subtype| known.contains(&subtype))
}
