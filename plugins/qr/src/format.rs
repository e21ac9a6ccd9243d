//! The kinds of codes, by the names that callers use. MaxiCode is missing on purpose: its reader in
//! `rxing` 0.9.3 never comes back from a narrow picture of noise.

use rxing::BarcodeFormat;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A kind of code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Format {
    Qr,
    MicroQr,
    Rmqr,
    Aztec,
    DataMatrix,
    #[serde(rename = "pdf_417")]
    Pdf417,
    Codabar,
    #[serde(rename = "code_39")]
    Code39,
    #[serde(rename = "code_93")]
    Code93,
    #[serde(rename = "code_128")]
    Code128,
    #[serde(rename = "ean_8")]
    Ean8,
    #[serde(rename = "ean_13")]
    Ean13,
    Itf,
    #[serde(rename = "rss_14")]
    Rss14,
    RssExpanded,
    Telepen,
    UpcA,
    UpcE,
}

impl Format {
    /// Whether it has the finder patterns of a QR code.
    pub(crate) fn is_qr(self) -> bool {
        matches!(self, Self::Qr | Self::MicroQr | Self::Rmqr)
    }

    pub(crate) fn to_rxing(self) -> BarcodeFormat {
        match self {
            Self::Qr => BarcodeFormat::QR_CODE,
            Self::MicroQr => BarcodeFormat::MICRO_QR_CODE,
            Self::Rmqr => BarcodeFormat::RECTANGULAR_MICRO_QR_CODE,
            Self::Aztec => BarcodeFormat::AZTEC,
            Self::DataMatrix => BarcodeFormat::DATA_MATRIX,
            Self::Pdf417 => BarcodeFormat::PDF_417,
            Self::Codabar => BarcodeFormat::CODABAR,
            Self::Code39 => BarcodeFormat::CODE_39,
            Self::Code93 => BarcodeFormat::CODE_93,
            Self::Code128 => BarcodeFormat::CODE_128,
            Self::Ean8 => BarcodeFormat::EAN_8,
            Self::Ean13 => BarcodeFormat::EAN_13,
            Self::Itf => BarcodeFormat::ITF,
            Self::Rss14 => BarcodeFormat::RSS_14,
            Self::RssExpanded => BarcodeFormat::RSS_EXPANDED,
            Self::Telepen => BarcodeFormat::TELEPEN,
            Self::UpcA => BarcodeFormat::UPC_A,
            Self::UpcE => BarcodeFormat::UPC_E,
        }
    }
}
