//! Decimal numbers that keep a bound a bound: uppers are rounded up, lowers down, exactly.

/// `value` with `digits` digits after the point, rounded up.
#[must_use]
pub fn up(value: f64, digits: usize) -> String {
    fixed(value, digits, true)
}

/// `value` with `digits` digits after the point, rounded down.
#[must_use]
pub fn down(value: f64, digits: usize) -> String {
    fixed(value, digits, false)
}

/// `value` ≥ 0 in scientific notation with `digits` digits after the point, rounded up.
#[must_use]
pub fn up_scientific(value: f64, digits: usize) -> String {
    if !value.is_finite() || value <= 0.0 {
        return format!("{value}");
    }
    // An f64 has fewer than 800 significant decimal digits: this is exact.
    let exact = format!("{value:.800e}");
    let Some((mantissa, exponent)) = exact.split_once('e') else {
        return exact;
    };
    let cut = 2 + digits;
    let mut kept = mantissa[..cut].to_owned();
    let mut exponent: i32 = exponent.parse().unwrap_or(0);
    if mantissa[cut..].bytes().any(|b| b != b'0') {
        kept = successor(&kept);
        if kept.starts_with("10.") {
            kept = format!("1.{}", "0".repeat(digits));
            exponent += 1;
        }
    }
    format!("{kept}e{exponent}")
}

fn fixed(value: f64, digits: usize, upwards: bool) -> String {
    if !value.is_finite() {
        return format!("{value}");
    }
    debug_assert!(value >= 0.0, "norms are not negative");
    // The last binary digit of an f64 is 2⁻¹⁰⁷⁴ at the smallest: this is exact.
    let exact = format!("{value:.1080}");
    let point = exact.find('.').unwrap_or(exact.len());
    let cut = point + 1 + digits;
    let kept = &exact[..cut];
    if upwards && exact[cut..].bytes().any(|b| b != b'0') {
        successor(kept)
    } else {
        kept.to_owned()
    }
}

/// The number that is one unit in the last place larger.
fn successor(decimal: &str) -> String {
    let mut digits: Vec<u8> = decimal.bytes().collect();
    for digit in digits.iter_mut().rev() {
        match *digit {
            b'.' => {}
            b'9' => *digit = b'0',
            _ => {
                *digit += 1;
                return String::from_utf8_lossy(&digits).into_owned();
            }
        }
    }
    format!("1{}", String::from_utf8_lossy(&digits))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounds_in_the_safe_direction() {
        // 0.1 as an f64 is a little above 1/10, 0.3 a little below 3/10.
        assert_eq!(up(0.1, 1), "0.2");
        assert_eq!(down(0.1, 1), "0.1");
        assert_eq!(up(0.3, 1), "0.3");
        assert_eq!(down(0.3, 1), "0.2");
        assert_eq!(up(9.999, 2), "10.00");
        assert_eq!(up(2.5, 3), "2.500");
        assert_eq!(down(2.5, 3), "2.500");
        assert_eq!(up(f64::INFINITY, 3), "inf");
    }

    #[test]
    fn rounds_scientific_numbers_up() {
        assert_eq!(up_scientific(1500.0, 1), "1.5e3");
        assert_eq!(up_scientific(1501.0, 1), "1.6e3");
        assert_eq!(up_scientific(9.99, 1), "1.0e1");
        assert_eq!(up_scientific(0.1, 2), "1.01e-1");
        assert_eq!(up_scientific(1e300, 2), "1.01e300");
    }
}
