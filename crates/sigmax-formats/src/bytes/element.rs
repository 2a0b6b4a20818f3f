//! [`Element`]: the float types that are read, and how they widen to f64.

use half::{bf16, f16};

use crate::bytes::float8::Float8;

/// The type of a tensor's entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Element {
    F8(Float8),
    F16,
    Bf16,
    F32,
    F64,
}

impl Element {
    /// Bytes per entry.
    pub(crate) fn size(self) -> usize {
        match self {
            Self::F8(_) => 1,
            Self::F16 | Self::Bf16 => 2,
            Self::F32 => 4,
            Self::F64 => 8,
        }
    }

    /// Bits of the significand, the hidden one included.
    fn precision(self) -> u32 {
        match self {
            Self::F8(format) => format.precision(),
            Self::F16 => 11,
            Self::Bf16 => 8,
            Self::F32 => 24,
            Self::F64 => 53,
        }
    }

    /// Whether every value of `self` is a value of `other`.
    pub(crate) fn widens_to(self, other: Self) -> bool {
        // f16 and bf16 do not hold each other, nor f16 the powers of two from 2⁻¹²⁷ to 2¹²⁷; beyond
        // that, size and precision order the types.
        self == other
            || (other.size() > self.size()
                && other.precision() > self.precision()
                && (self, other) != (Self::F8(Float8::E8m0Fnu), Self::F16))
    }

    /// Whether a weight of this type is of a quantised model.
    pub(crate) fn is_eight_bit(self) -> bool {
        matches!(self, Self::F8(_))
    }

    /// Appends little-endian entries to `values`, exactly. Bytes of an incomplete last entry are
    /// left out.
    pub(crate) fn widen(self, bytes: &[u8], values: &mut Vec<f64>) {
        match self {
            Self::F8(format) => values.extend(bytes.iter().map(|&code| format.widen(code))),
            Self::F16 => extend(bytes, values, |b| f16::from_le_bytes(b).to_f64()),
            Self::Bf16 => extend(bytes, values, |b| bf16::from_le_bytes(b).to_f64()),
            Self::F32 => extend(bytes, values, |b| f64::from(f32::from_le_bytes(b))),
            Self::F64 => extend(bytes, values, f64::from_le_bytes),
        }
    }

    /// `value` rounded to nearest, ties to even, as a cast does; `value` is an f32 where `self` is
    /// narrower than f32 (a cast from f64 to a 16-bit type would round twice on some hardware). NaN,
    /// which no kernel takes, where `self` has 8 bits: what happens beyond the largest value is not
    /// the same everywhere.
    pub(crate) fn round(self, value: f64) -> f64 {
        #[allow(
            clippy::cast_possible_truncation,
            reason = "rounding to f32 is what is asked for"
        )]
        let single = value as f32;
        match self {
            Self::F8(_) => f64::NAN,
            Self::F16 => f16::from_f32(single).to_f64(),
            Self::Bf16 => bf16::from_f32(single).to_f64(),
            Self::F32 => f64::from(single),
            Self::F64 => value,
        }
    }
}

fn extend<const N: usize>(bytes: &[u8], values: &mut Vec<f64>, widen: impl Fn([u8; N]) -> f64) {
    let (entries, _) = bytes.as_chunks::<N>();
    values.extend(entries.iter().map(|&entry| widen(entry)));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn widening_is_exact() {
        let mut values = Vec::new();
        Element::F16.widen(&[0x01, 0x00, 0xff, 0x7b], &mut values); // 2⁻²⁴ and 65504
        Element::Bf16.widen(&[0x80, 0x3f, 0x01, 0x00], &mut values); // 1 and 2⁻¹³³
        Element::F32.widen(&f32::MIN_POSITIVE.to_le_bytes(), &mut values);
        let expected = [
            2f64.powi(-24),
            65504.0,
            1.0,
            2f64.powi(-133),
            2f64.powi(-126),
        ];
        assert!(
            values
                .iter()
                .zip(expected)
                .all(|(a, b)| a.to_bits() == b.to_bits())
        );
        assert_eq!(values.len(), expected.len());
    }

    #[test]
    fn sixteen_bit_types_do_not_hold_each_other() {
        assert!(!Element::F16.widens_to(Element::Bf16));
        assert!(!Element::Bf16.widens_to(Element::F16));
        assert!(Element::Bf16.widens_to(Element::F32));
        assert!(!Element::F64.widens_to(Element::F32));
        assert!(Element::F8(Float8::E5m2).widens_to(Element::F16));
        assert!(!Element::F8(Float8::E8m0Fnu).widens_to(Element::F16));
        assert!(Element::F8(Float8::E8m0Fnu).widens_to(Element::Bf16));
    }

    #[test]
    fn rounding_ties_to_even() {
        let tie = 1.0 + 2f64.powi(-11);
        assert_eq!(Element::F16.round(tie).to_bits(), 1f64.to_bits());
        assert!(Element::F16.round(1e6).is_infinite());
    }
}
