//! [`Float8`]: the five 8-bit floats that files hold.

/// Sign, exponent and significand in one byte; or an exponent alone (E8M0).
///
/// `fn` has no infinities and one NaN per sign, `fnuz` no infinities, no −0, and the code of −0 as
/// its only NaN. E5M2 is f16 cut short, with infinities and NaNs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Float8 {
    /// 4 and 3 bits, bias 7, largest value 448.
    E4m3Fn,
    /// 4 and 3 bits, bias 8, largest value 240.
    E4m3Fnuz,
    /// 5 and 2 bits, bias 15, largest value 57344.
    E5m2,
    /// 5 and 2 bits, bias 16, largest value 57344.
    E5m2Fnuz,
    /// Powers of two from 2⁻¹²⁷ to 2¹²⁷, no sign and no 0; a type of scales.
    E8m0Fnu,
}

impl Float8 {
    /// Bits of the significand, the hidden one included.
    pub(crate) fn precision(self) -> u32 {
        match self {
            Self::E4m3Fn | Self::E4m3Fnuz => 4,
            Self::E5m2 | Self::E5m2Fnuz => 3,
            Self::E8m0Fnu => 1,
        }
    }

    /// The value of a code, exactly.
    pub(crate) fn widen(self, code: u8) -> f64 {
        let (bits, bias) = match self {
            Self::E4m3Fn => (3, 7),
            Self::E4m3Fnuz => (3, 8),
            Self::E5m2 => (2, 15),
            Self::E5m2Fnuz => (2, 16),
            Self::E8m0Fnu if code == 0xff => return f64::NAN,
            Self::E8m0Fnu => return power_of_two(i32::from(code) - 127),
        };
        let size = code & 0x7f;
        match self {
            Self::E4m3Fn if size == 0x7f => return f64::NAN,
            Self::E4m3Fnuz | Self::E5m2Fnuz if code == 0x80 => return f64::NAN,
            Self::E5m2 if size > 0x7c => return f64::NAN,
            Self::E5m2 if size == 0x7c => return sign(code) * f64::INFINITY,
            _ => {}
        }
        let exponent = i32::from(size >> bits);
        let fraction = i32::from(size & ((1 << bits) - 1));
        // Subnormal: no hidden bit, and the exponent of the smallest normal number.
        let (significand, exponent) = if exponent == 0 {
            (fraction, 1)
        } else {
            (fraction + (1 << bits), exponent)
        };
        sign(code) * f64::from(significand) * power_of_two(exponent - bias - bits)
    }
}

fn sign(code: u8) -> f64 {
    if code & 0x80 == 0 { 1.0 } else { -1.0 }
}

/// 2^e for −1022 ≤ e ≤ 1023, by its bits.
fn power_of_two(e: i32) -> f64 {
    f64::from_bits(u64::from((e + 1023).unsigned_abs()) << 52)
}

#[cfg(test)]
#[allow(clippy::float_cmp, reason = "these values are exact")]
mod tests {
    use super::*;

    /// Codes and their values as the definitions of the formats list them.
    #[test]
    fn the_ends_of_every_range() {
        let cases = [
            (Float8::E4m3Fn, 0x01, 2f64.powi(-9)),
            (Float8::E4m3Fn, 0x08, 2f64.powi(-6)),
            (Float8::E4m3Fn, 0x38, 1.0),
            (Float8::E4m3Fn, 0x7e, 448.0),
            (Float8::E4m3Fn, 0xfe, -448.0),
            (Float8::E4m3Fnuz, 0x01, 2f64.powi(-10)),
            (Float8::E4m3Fnuz, 0x40, 1.0),
            (Float8::E4m3Fnuz, 0x7f, 240.0),
            (Float8::E5m2, 0x01, 2f64.powi(-16)),
            (Float8::E5m2, 0x3c, 1.0),
            (Float8::E5m2, 0x7b, 57344.0),
            (Float8::E5m2, 0xfc, f64::NEG_INFINITY),
            (Float8::E5m2Fnuz, 0x01, 2f64.powi(-17)),
            (Float8::E5m2Fnuz, 0x40, 1.0),
            (Float8::E5m2Fnuz, 0xff, -57344.0),
            (Float8::E8m0Fnu, 0x00, 2f64.powi(-127)),
            (Float8::E8m0Fnu, 0x7f, 1.0),
            (Float8::E8m0Fnu, 0xfe, 2f64.powi(127)),
        ];
        for (format, code, value) in cases {
            assert_eq!(format.widen(code), value, "{format:?} {code:#x}");
        }
        for (format, nans) in [
            (Float8::E4m3Fn, &[0x7f, 0xff][..]),
            (Float8::E4m3Fnuz, &[0x80]),
            (Float8::E5m2, &[0x7d, 0x7e, 0x7f, 0xfd, 0xfe, 0xff]),
            (Float8::E5m2Fnuz, &[0x80]),
            (Float8::E8m0Fnu, &[0xff]),
        ] {
            let found: Vec<u8> = (0..=255).filter(|&c| format.widen(c).is_nan()).collect();
            assert_eq!(found, nans, "{format:?}");
        }
        assert!(Float8::E4m3Fn.widen(0x80).is_sign_negative());
    }

    #[test]
    fn codes_are_in_the_order_of_their_values() {
        for format in [
            Float8::E4m3Fn,
            Float8::E4m3Fnuz,
            Float8::E5m2,
            Float8::E5m2Fnuz,
        ] {
            let values: Vec<f64> = (0..0x80).map(|c| format.widen(c)).collect();
            let numbers: Vec<f64> = values.into_iter().filter(|v| !v.is_nan()).collect();
            assert!(numbers.windows(2).all(|w| w[0] < w[1]), "{format:?}");
        }
    }
}
