//! Looks for codes, one kind after the other. Knows nothing of how the picture was decoded.

use std::collections::HashSet;

use bulkhead_plugin::{Context, Error};
use image::GrayImage;
use rxing::common::HybridBinarizer;
use rxing::multi::{GenericMultipleBarcodeReader, MultipleBarcodeReader};
use rxing::qrcode::cpp_port::QrReader;
use rxing::{
    BinaryBitmap, DecodeHints, Luma8Source, MultiUseMultiFormatReader, RXingResult,
    RXingResultMetadataType, RXingResultMetadataValue,
};

use crate::format::Format;
use crate::{Code, outline};

type Bitmap<'a> = BinaryBitmap<HybridBinarizer<Luma8Source<'a>>>;

pub(crate) struct Scan<'a> {
    pub(crate) luma: &'a GrayImage,
    pub(crate) try_harder: bool,
}

impl Scan<'_> {
    /// The codes of all these formats.
    pub(crate) fn all(
        &self,
        formats: &[Format],
        context: &Context<'_>,
    ) -> Result<Vec<Code>, Error> {
        let mut codes = Vec::new();
        let inversions: &[bool] = if self.try_harder {
            &[false, true]
        } else {
            &[false]
        };
        let passes = formats
            .iter()
            .flat_map(|format| inversions.iter().map(move |i| (*format, *i)));
        let count = formats.len() * inversions.len();
        for (done, (format, inverted)) in passes.enumerate() {
            context.check_cancelled()?;
            context.progress(done as f32 / count as f32);
            let found = self.pass(format, inverted);
            found.into_iter().for_each(|code| add_new(&mut codes, code));
        }
        Ok(codes)
    }

    fn pass(&self, format: Format, inverted: bool) -> Vec<Code> {
        let found = self.qr(format, inverted);
        if found.is_empty() {
            self.any(format, inverted)
        } else {
            found
        }
    }

    /// The reader that finds all QR codes at once, and their true corners.
    fn qr(&self, format: Format, inverted: bool) -> Vec<Code> {
        if !format.is_qr() {
            return Vec::new();
        }
        let found = self.bitmap(inverted).and_then(|mut bitmap| {
            QrReader.decode_multiple_with_hints(&mut bitmap, &self.hints(format))
        });
        let code = |result: &RXingResult| Code {
            bytes: unless_text(result.getText(), || Some(result.getRawBytes().to_vec())),
            ..code(format, result)
        };
        found.unwrap_or_default().iter().map(code).collect()
    }

    /// The reader that knows all formats, and looks for one code at a time: where one was found, it
    /// goes on left, right, above and below.
    fn any(&self, format: Format, inverted: bool) -> Vec<Code> {
        let mut reader = GenericMultipleBarcodeReader::new(MultiUseMultiFormatReader::default());
        let found = self.bitmap(inverted).and_then(|mut bitmap| {
            reader.decode_multiple_with_hints(&mut bitmap, &self.hints(format))
        });
        let code = |result: &RXingResult| Code {
            bytes: unless_text(result.getText(), || segments(result)),
            ..code(format, result)
        };
        found.unwrap_or_default().iter().map(code).collect()
    }

    fn bitmap(&self, inverted: bool) -> rxing::common::Result<Bitmap<'_>> {
        let (width, height) = self.luma.dimensions();
        let mut source = Luma8Source::new_with_slice(self.luma.as_raw(), width, height)?;
        if inverted {
            rxing::LuminanceSource::invert(&mut source);
        }
        Ok(BinaryBitmap::new(HybridBinarizer::new(source)))
    }

    fn hints(&self, format: Format) -> DecodeHints {
        DecodeHints {
            PossibleFormats: Some(HashSet::from([format.to_rxing()])),
            TryHarder: Some(self.try_harder),
            ..DecodeHints::default()
        }
    }
}

/// A code may be found again by a later pass.
fn add_new(codes: &mut Vec<Code>, code: Code) {
    let is_same = |other: &Code| {
        other.format == code.format
            && other.text == code.text
            && outline::overlap(&other.corners, &code.corners)
    };
    if !codes.iter().any(is_same) {
        codes.push(code);
    }
}

fn code(format: Format, result: &RXingResult) -> Code {
    Code {
        text: result.getText().to_owned(),
        format,
        corners: outline::of(result.getPoints()),
        bytes: None,
    }
}

fn unless_text(text: &str, bytes: impl FnOnce() -> Option<Vec<u8>>) -> Option<String> {
    let is_readable = |c: char| !c.is_control() && c != char::REPLACEMENT_CHARACTER;
    if text
        .chars()
        .all(|c| is_readable(c) || matches!(c, '\t' | '\n' | '\r'))
    {
        return None;
    }
    let bytes = bytes()?;
    Some(base64_simd::STANDARD.encode_to_string(bytes))
}

/// What the code holds byte by byte; the raw bytes of this reader would have headers and padding.
fn segments(result: &RXingResult) -> Option<Vec<u8>> {
    let segments = result
        .getRXingResultMetadata()
        .get(&RXingResultMetadataType::BYTE_SEGMENTS);
    match segments {
        Some(RXingResultMetadataValue::ByteSegments(segments)) => Some(segments.concat()),
        _ => None,
    }
}
