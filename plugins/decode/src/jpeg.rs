//! Whether a JPEG is whole. Knows markers and lengths, nothing of pixels.

const END_OF_IMAGE: u8 = 0xD9;

/// Whether the file reaches its end-of-image marker. Markers inside a segment, such as those of an
/// embedded thumbnail, are stepped over with their segment.
pub(crate) fn has_end(file: &[u8]) -> bool {
    let mut rest = file.get(2..).unwrap_or_default();
    while let Some((marker, after)) = next_marker(rest) {
        if marker == END_OF_IMAGE {
            return true;
        }
        let Some(after) = skip_segment(after) else {
            return false;
        };
        rest = after;
    }
    false
}

/// The next marker that begins a segment, and what follows it. In picture data, `FF 00` is a
/// stuffed byte and `FF D0` to `FF D7` restart the coder; neither has a length.
fn next_marker(bytes: &[u8]) -> Option<(u8, &[u8])> {
    let is_marker =
        |pair: &[u8]| pair[0] == 0xFF && !matches!(pair[1], 0x00 | 0x01 | 0xD0..=0xD7 | 0xFF);
    let at = bytes.windows(2).position(is_marker)?;
    Some((bytes[at + 1], &bytes[at + 2..]))
}

fn skip_segment(after_marker: &[u8]) -> Option<&[u8]> {
    let (length, _) = after_marker.split_first_chunk()?;
    after_marker.get(usize::from(u16::from_be_bytes(*length))..)
}
