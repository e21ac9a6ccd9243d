//! What the first bytes of an image tell, without decoding any of it.

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
    // The raw formats of cameras that are TIFF inside.
    ("image/tiff", "image/x-canon-cr2"),
];

/// Refuses bytes that are clearly of another type than `declared`: those with the signature of one
/// type, declared as another whose files always have one. What has no known signature passes, and so
/// does what is declared as a type without one (SVG is text, others are archives).
pub(super) fn check_type(bytes: &[u8], declared: &str) -> Result<(), CallError> {
    let Some(kind) = infer::get(bytes) else {
        return Ok(());
    };
    let found = kind.mime_type();
    if found == declared || !is_sniffable(declared) || canonical(found) == canonical(declared) {
        return Ok(());
    }
    Err(CallError::ImageMismatch {
        declared: declared.to_owned(),
        found,
    })
}

/// Refuses an image whose header claims more than `limit` pixels. No header, no claim.
pub(super) fn check_pixels(bytes: &[u8], limit: u64) -> Result<(), CallError> {
    let Some((width, height)) = claimed_size(bytes) else {
        return Ok(());
    };
    let pixels = (width as u64).saturating_mul(height as u64);
    if pixels > limit {
        return Err(CallError::ImageTooLarge {
            width,
            height,
            limit,
        });
    }
    Ok(())
}

/// Pixels across and down, as the header has them.
fn claimed_size(bytes: &[u8]) -> Option<(usize, usize)> {
    let size = imagesize::blob_size(bytes).ok()?;
    // A bitmap whose rows run from top to bottom has a negative height.
    let is_bitmap = bytes.starts_with(b"BM");
    let height = if is_bitmap {
        (size.height as u32).cast_signed().unsigned_abs() as usize
    } else {
        size.height
    };
    Some((size.width, height))
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
