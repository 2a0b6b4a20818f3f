//! Digits of base 64.

pub(super) const DIGITS: &[u8; 64] =
    b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Of a digit.
pub(super) fn value(digit: u8) -> Option<i32> {
    let place = DIGITS.iter().position(|&known| known == digit)?;
    i32::try_from(place).ok()
}
