//! The checks that every call meets, whatever the plugin.

use super::image;
use crate::call::Call;
use crate::error::CallError;

/// What the host lets any plugin see.
#[derive(Clone, Copy, Debug)]
pub struct InputLimits {
    /// The most pixels that an image's header may claim.
    pub max_pixels: u64,
}

/// Checks that the call brings an image that is worth a plugin's time.
///
/// # Errors
/// `empty_image`, `missing_mime_type`, `image_mismatch` or `image_too_large`, in this order.
pub fn input(call: &Call, limits: InputLimits) -> Result<(), CallError> {
    let bytes = call.payload.as_slice();
    if bytes.is_empty() {
        return Err(CallError::EmptyImage);
    }
    if call.mime_type.is_empty() {
        return Err(CallError::MissingMimeType);
    }
    image::check_type(bytes, &call.mime_type)?;
    image::check_pixels(bytes, limits.max_pixels)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::call::Payload;
    use crate::names::PluginName;

    const PNG: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\x3e\x80\0\0\x3e\x80\x08\x02\0\0\0";

    fn check(image: &'static [u8], mime_type: &str, max_pixels: u64, expected: &str) {
        let name = PluginName::parse("any").unwrap();
        let payload = Payload::Heap(Bytes::from_static(image));
        let call = Call::new(name, payload, mime_type.to_owned());
        let found = input(&call, InputLimits { max_pixels });
        let found = found.map_or_else(|error| error.code().as_str(), |()| "fine");
        assert_eq!(
            found,
            expected,
            "{mime_type} {:?}",
            &image[..image.len().min(8)]
        );
    }

    #[test]
    fn input_is_checked_in_the_seeds_order() {
        check(b"", "", 1, "empty_image");
        check(b"123", "", 1, "missing_mime_type");
        check(b"123", "image/png", 1, "fine");
    }

    #[test]
    fn bytes_that_are_clearly_something_else_are_refused() {
        check(
            b"GIF89a\x01\0\x01\0\0\0\0",
            "image/png",
            9,
            "image_mismatch",
        );
        check(b"GIF89a\x01\0\x01\0\0\0\0", "image/gif", 9, "fine");
        check(b"\xff\xd8\xff\xe0\0\x10JFIF", "image/jpg", 9, "fine");
        check(b"%PDF-1.7", "image/png", 9, "image_mismatch");
        check(b"GIF89a\x01\0\x01\0\0\0\0", "application/x-ours", 9, "fine");
        check(b"no image at all, but who knows", "image/png", 9, "fine");
    }

    #[test]
    fn what_has_no_signature_of_its_own_is_not_contradicted() {
        check(b"<!-- by hand --><svg/>", "image/svg+xml", 9, "fine");
        check(b"%PDF-1.7", "application/pdf", 9, "fine");
        check(b"PK\x03\x04\x14\0\0\0\0\0", "image/openraster", 9, "fine");
    }

    #[test]
    fn a_bitmap_may_run_from_top_to_bottom() {
        let mut bitmap =
            *b"BM\x46\0\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0\x02\0\0\0\xfe\xff\xff\xff\x01\0\x18\0";
        check(Vec::leak(bitmap.to_vec()), "image/bmp", 4, "fine");
        bitmap[22..26].copy_from_slice(&3_i32.to_le_bytes());
        check(
            Vec::leak(bitmap.to_vec()),
            "image/bmp",
            4,
            "image_too_large",
        );
    }

    #[test]
    fn ht_12_a_header_that_claims_too_many_pixels_is_refused() {
        check(PNG, "image/png", 100_000_000, "image_too_large");
        check(PNG, "image/png", 256_000_000, "fine");
    }
}
