//! Colours in Oklab, as Björn Ottosson defined it: lightness and two axes of hue, in which equal
//! distances look equal. His matrices are in the public domain.

/// A colour.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Lab(pub(crate) [f64; 3]);

type Matrix = [[f64; 3]; 3];

const RGB_TO_LMS: Matrix = [
    [0.412_221_470_8, 0.536_332_536_3, 0.051_445_992_9],
    [0.211_903_498_2, 0.680_699_545_1, 0.107_396_956_6],
    [0.088_302_461_9, 0.281_718_837_6, 0.629_978_700_5],
];
const LMS_TO_LAB: Matrix = [
    [0.210_454_255_3, 0.793_617_785_0, -0.004_072_046_8],
    [1.977_998_495_1, -2.428_592_205_0, 0.450_593_709_9],
    [0.025_904_037_1, 0.782_771_766_2, -0.808_675_766_0],
];
const LAB_TO_LMS: Matrix = [
    [1.0, 0.396_337_777_4, 0.215_803_757_3],
    [1.0, -0.105_561_345_8, -0.063_854_172_8],
    [1.0, -0.089_484_177_5, -1.291_485_548_0],
];
const LMS_TO_RGB: Matrix = [
    [4.076_741_662_1, -3.307_711_591_3, 0.230_969_929_2],
    [-1.268_438_004_6, 2.609_757_401_1, -0.341_319_396_5],
    [-0.004_196_086_3, -0.703_418_614_7, 1.707_614_701_0],
];

impl Lab {
    pub(crate) fn from_rgb(rgb: [u8; 3]) -> Self {
        let lms = apply(RGB_TO_LMS, rgb.map(to_linear));
        Self(apply(LMS_TO_LAB, lms.map(f64::cbrt)))
    }

    /// The nearest colour that a screen has.
    pub(crate) fn to_rgb(self) -> [u8; 3] {
        let lms = apply(LAB_TO_LMS, self.0).map(|root| root.powi(3));
        apply(LMS_TO_RGB, lms).map(from_linear)
    }

    /// The square of the distance.
    pub(crate) fn distance(self, other: Self) -> f64 {
        let squares = self.0.iter().zip(other.0).map(|(a, b)| (a - b).powi(2));
        squares.sum()
    }
}

fn apply(matrix: Matrix, [x, y, z]: [f64; 3]) -> [f64; 3] {
    matrix.map(|[a, b, c]| a * x + b * y + c * z)
}

fn to_linear(channel: u8) -> f64 {
    let value = f64::from(channel) / 255.0;
    if value <= 0.040_45 {
        value / 12.92
    } else {
        ((value + 0.055) / 1.055).powf(2.4)
    }
}

fn from_linear(value: f64) -> u8 {
    let value = if value <= 0.003_130_8 {
        value * 12.92
    } else {
        1.055 * value.powf(1.0 / 2.4) - 0.055
    };
    // A cast saturates: what no screen can show is moved to the edge of what it can.
    (value * 255.0).round() as u8
}
