//! Decimal rounding in a stated direction, exact.

use std::cmp::Ordering;
use std::fmt::Write as _;

/// Which way a number is rounded at the last digit shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Rounding {
    /// Towards +∞: for upper bounds.
    Up,
    /// Towards 0: for lower bounds.
    Down,
    /// To nearest: for estimates.
    Nearest,
}

/// A non-negative number with `digits` significant decimal digits, at most `digits + 4` characters.
///
/// Plain notation from 0.001 up to 10^`digits`, otherwise `1.2346e-7`, with one or two digits less
/// where the exponent is long. `∞` for infinity, `-` for NaN. A negative number (there is none among
/// norms) is shown as it is, all digits.
///
/// # Example
/// ```
/// use sigmax_formats::report::{Rounding, decimal};
/// assert_eq!(decimal(9.9999995, 5, Rounding::Up), "10.000");
/// assert_eq!(decimal(9.9999995, 5, Rounding::Down), "9.9999");
/// assert_eq!(decimal(0.1, 5, Rounding::Up), "0.10001"); // the double 0.1 is above one tenth
/// ```
#[must_use]
pub fn decimal(x: f64, digits: usize, rounding: Rounding) -> String {
    if x.is_nan() {
        return "-".to_owned();
    }
    if x.is_infinite() && x > 0.0 {
        return "∞".to_owned();
    }
    if x < 0.0 {
        return x.to_string();
    }
    if x == 0.0 {
        return "0".to_owned();
    }
    let digits = digits.max(3);
    let width = digits + 4;
    let mut text = String::new();
    for kept in (digits - 2..=digits).rev() {
        text = Scientific::round(x, kept, rounding).text(digits);
        if text.chars().count() <= width {
            break;
        }
    }
    text
}

/// The float that stands for a decimal number, in text, of at least 0: itself where its shortest text
/// says the same, otherwise the next one in the direction asked for. `None` for what is no such
/// number, or none that is finite.
///
/// A limit is meant as it is typed and printed. See [`most`] and [`least`].
#[must_use]
pub fn limit(text: &str, rounding: Rounding) -> Option<f64> {
    let nearest: f64 = text.parse().ok()?;
    let typed = Scientific::of(text)?;
    let stands = match typed.compare(&Scientific::shortest(nearest)) {
        _ if nearest.is_infinite() && rounding == Rounding::Down => f64::MAX,
        Ordering::Equal => nearest,
        _ => match (rounding, typed.compare(&Scientific::exact(nearest))) {
            (Rounding::Down, Ordering::Less) => nearest.next_down(),
            (Rounding::Up, Ordering::Greater) => nearest.next_up(),
            _ => nearest,
        },
    };
    (stands >= 0.0 && stands.is_finite()).then_some(stands)
}

/// The largest float that is at most the decimal number as which a limit is printed: the float 0.1
/// is printed as 0.1, and lies above one tenth.
#[must_use]
pub fn most(limit: f64) -> f64 {
    match Scientific::exact(limit).compare(&Scientific::shortest(limit)) {
        Ordering::Greater if limit > 0.0 => limit.next_down(),
        _ => limit,
    }
}

/// The smallest float that is at least the decimal number as which a limit is printed.
#[must_use]
pub fn least(limit: f64) -> f64 {
    match Scientific::exact(limit).compare(&Scientific::shortest(limit)) {
        Ordering::Less if limit > 0.0 => limit.next_up(),
        _ => limit,
    }
}

/// d.ddd… · 10^exponent.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Scientific {
    digits: Vec<u8>,
    exponent: i32,
}

impl Scientific {
    /// Rounds a positive finite number.
    fn round(x: f64, count: usize, rounding: Rounding) -> Self {
        if rounding == Rounding::Nearest {
            return Self::parse(&format!("{x:.*e}", count - 1));
        }
        let mut exact = Self::exact(x);
        let rest = exact.digits.split_off(count);
        if rounding == Rounding::Up && rest.iter().any(|&digit| digit > 0) {
            exact.increment();
        }
        exact
    }

    /// A finite number of at least 0.
    fn exact(x: f64) -> Self {
        // An f64 has at most 767 significant decimal digits, so this expansion is exact.
        Self::parse(&format!("{x:.800e}"))
    }

    /// The shortest number that reads back as `x`.
    fn shortest(x: f64) -> Self {
        Self::parse(&format!("{x:e}"))
    }

    /// Reads a decimal number that Rust reads as a float.
    fn of(text: &str) -> Option<Self> {
        let text = text.strip_prefix('+').unwrap_or(text);
        let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
        let (whole, part) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let mut digits = format!("{whole}{part}").into_bytes();
        if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
            return None;
        }
        let zeros = digits.iter().take_while(|&&digit| digit == b'0').count();
        digits.drain(..zeros);
        // Beyond this no digits matter that fit into a command.
        let exponent: i64 = exponent.parse::<i64>().ok()?.clamp(-1 << 24, 1 << 24);
        let first = exponent + whole.len() as i64 - 1 - zeros as i64;
        Some(Self {
            digits: digits.iter().map(|digit| digit - b'0').collect(),
            exponent: i32::try_from(first).ok()?,
        })
    }

    /// Which of two numbers is larger.
    fn compare(&self, other: &Self) -> Ordering {
        let significant = |number: &Self| -> Vec<u8> {
            let end = number.digits.iter().rposition(|&digit| digit > 0);
            number.digits[..end.map_or(0, |end| end + 1)].to_vec()
        };
        let (a, b) = (significant(self), significant(other));
        match (a.is_empty(), b.is_empty()) {
            (true, true) => Ordering::Equal,
            (true, false) => Ordering::Less,
            (false, true) => Ordering::Greater,
            (false, false) => (self.exponent, a).cmp(&(other.exponent, b)),
        }
    }

    /// Reads the output of `{:e}`.
    fn parse(text: &str) -> Self {
        let (mantissa, exponent) = text.split_once('e').unwrap_or((text, "0"));
        Self {
            digits: mantissa
                .bytes()
                .filter(u8::is_ascii_digit)
                .map(|byte| byte - b'0')
                .collect(),
            exponent: exponent.parse().unwrap_or(0),
        }
    }

    /// Adds one unit of the last digit.
    fn increment(&mut self) {
        for digit in self.digits.iter_mut().rev() {
            if *digit < 9 {
                *digit += 1;
                return;
            }
            *digit = 0;
        }
        self.digits.insert(0, 1);
        self.digits.pop();
        self.exponent += 1;
    }

    /// Plain notation where all digits before the point are known and few zeros follow it.
    fn text(&self, plain_below: usize) -> String {
        let mut digits = String::with_capacity(self.digits.len());
        for digit in &self.digits {
            digits.push(char::from(b'0' + digit));
        }
        let before = self.exponent + 1;
        if (-2..=0).contains(&before) {
            return format!("0.{}{digits}", "0".repeat(before.unsigned_abs() as usize));
        }
        if before > 0 && before as usize <= plain_below.min(digits.len()) {
            let (whole, part) = digits.split_at(before as usize);
            let point = if part.is_empty() { "" } else { "." };
            return format!("{whole}{point}{part}");
        }
        let (whole, part) = digits.split_at(1);
        let point = if part.is_empty() { "" } else { "." };
        let mut text = format!("{whole}{point}{part}");
        let _ = write!(text, "e{}", self.exponent);
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use proptest::prelude::*;

    /// The value of a printed number: digits without leading and trailing zeros, and the exponent
    /// of the first.
    fn exact(text: &str) -> (i32, Vec<u8>) {
        let (mantissa, exponent) = text.split_once('e').unwrap_or((text, "0"));
        let point = mantissa.find('.').unwrap_or(mantissa.len()) as i32;
        let all: Vec<u8> = mantissa.bytes().filter(|&b| b != b'.').collect();
        let zeros = all.iter().take_while(|&&b| b == b'0').count();
        let mut digits = all[zeros..].to_vec();
        while digits.last() == Some(&b'0') {
            digits.pop();
        }
        let exponent: i32 = exponent.parse().unwrap();
        (exponent + point - 1 - zeros as i32, digits)
    }

    fn compare(a: &str, b: &str) -> Ordering {
        exact(a).cmp(&exact(b))
    }

    /// Rounded the right way, by less than one unit of the last digit, in the promised width.
    fn check(x: f64, digits: usize) {
        let truth = format!("{x:.800e}");
        let up = decimal(x, digits, Rounding::Up);
        let down = decimal(x, digits, Rounding::Down);
        assert_ne!(compare(&up, &truth), Ordering::Less, "{x:e}: {up}");
        assert_ne!(compare(&down, &truth), Ordering::Greater, "{x:e}: {down}");
        for text in [&up, &down, &decimal(x, digits, Rounding::Nearest)] {
            assert!(text.len() <= digits + 4, "{x:e}: {text}");
        }
        // At least digits − 2 digits are kept: the two differ by less than 10^(3 − digits) relative.
        let (low, high): (f64, f64) = (down.parse().unwrap(), up.parse().unwrap());
        if high.is_finite() && low > 1e-300 {
            let unit = 10f64.powi(3 - digits as i32);
            assert!(high / low <= 1.0 + 1.001 * unit, "{x:e}: {down} {up}");
        }
    }

    const EXTREMES: [f64; 16] = [
        5e-324,
        f64::MIN_POSITIVE,
        f64::MAX,
        9.9999995,
        9.9999,
        99_999.0,
        99_999.5,
        100_000.0,
        0.001,
        0.000_999_999_9,
        0.1,
        1.0,
        1.0 + f64::EPSILON,
        1.0 - f64::EPSILON / 2.0,
        1e22,
        123_456_789.0,
    ];

    #[test]
    fn extremes_are_rounded_the_right_way() {
        for x in EXTREMES {
            for digits in [3, 5, 8, 17] {
                check(x, digits);
            }
        }
    }

    #[test]
    fn texts_known_by_hand() {
        let cases = [
            (5e-324, "4.95e-324", "4.94e-324", "4.94e-324"),
            (f64::MAX, "1.798e308", "1.797e308", "1.798e308"),
            (9.9999995, "10.000", "9.9999", "10.000"),
            (1.0 + f64::EPSILON, "1.0001", "1.0000", "1.0000"),
            (1.0, "1.0000", "1.0000", "1.0000"),
            (0.001, "0.0010001", "0.0010000", "0.0010000"),
            (99_999.5, "1.0000e5", "99999", "1.0000e5"),
            (2.5e-5, "2.5001e-5", "2.5000e-5", "2.5000e-5"),
            (0.0, "0", "0", "0"),
            (f64::INFINITY, "∞", "∞", "∞"),
        ];
        for (x, up, down, nearest) in cases {
            assert_eq!(decimal(x, 5, Rounding::Up), up);
            assert_eq!(decimal(x, 5, Rounding::Down), down);
            assert_eq!(decimal(x, 5, Rounding::Nearest), nearest);
        }
        assert_eq!(decimal(f64::NAN, 5, Rounding::Nearest), "-");
    }

    /// n/10^k against the float m·2^−e, as the integers n·2^e and m·10^k.
    fn against(n: u64, k: u32, x: f64) -> Ordering {
        let bits = x.to_bits();
        let e = 1075 - (bits >> 52) as i32;
        let m = u128::from(bits & ((1 << 52) - 1) | 1 << 52);
        assert!((0..64).contains(&e) && k <= 15, "{x:e}");
        (u128::from(n) << e).cmp(&(m * 10u128.pow(k)))
    }

    #[test]
    fn limits_known_by_hand() {
        // The float 0.1 is above one tenth, the floats 0.3 and 1.58 below.
        assert_eq!(limit("0.1", Rounding::Down), Some(0.1));
        assert!(most(0.1) < 0.1 && least(0.1) <= 0.1);
        assert!(most(0.3) >= 0.3 && least(0.3) > 0.3);
        for exact in [0.0, 0.5, 1.0, 3.0, 1e15, 0.375] {
            assert_eq!((most(exact), least(exact)), (exact, exact), "{exact}");
        }
        // More digits than are printed: the float 0.1 is 0.1000000000000000055…
        let long = "0.100000000000000005";
        assert_eq!(limit(long, Rounding::Down), Some(0.1f64.next_down()));
        assert_eq!(limit(long, Rounding::Up), Some(0.1));
        let long = "0.100000000000000006";
        assert_eq!(limit(long, Rounding::Up), Some(0.1f64.next_up()));
        assert_eq!(limit(long, Rounding::Down), Some(0.1));
        assert_eq!(limit("1e-400", Rounding::Down), Some(0.0));
        assert_eq!(limit("1e-400", Rounding::Up), Some(5e-324));
        assert_eq!(limit("1e999", Rounding::Down), Some(f64::MAX));
        assert_eq!(limit("1e999", Rounding::Up), None);
        for same in ["0.1", "+.1", "1e-1", "0.10", "00.1E0", "10000e-5"] {
            assert_eq!(limit(same, Rounding::Down), Some(0.1), "{same}");
        }
        for none in [
            "",
            ".",
            "-1",
            "inf",
            "NaN",
            "1e",
            "0x1",
            "1,5",
            "-0.1",
            "1e99999999999999999999",
        ] {
            assert_eq!(limit(none, Rounding::Down), None, "{none}");
        }
        assert_eq!(limit("0", Rounding::Up), Some(0.0));
    }

    proptest! {
        /// What is typed, n/10^k, against exact integers.
        #[test]
        fn limits_lie_on_the_safe_side(n in 1u64..1 << 56, k in 0u32..15) {
            let text = format!("{n}e-{k}");
            prop_assume!((1e-3..9e15).contains(&text.parse::<f64>().unwrap()));
            let below = most(limit(&text, Rounding::Down).unwrap());
            let above = least(limit(&text, Rounding::Up).unwrap());
            prop_assert_ne!(against(n, k, below), Ordering::Less);
            prop_assert_ne!(against(n, k, above), Ordering::Greater);
            prop_assert!(above.to_bits() - below.to_bits() <= 3, "{} {}", below, above);
            // What is printed is what was typed, where floats tell it from others.
            if n < 1_000_000_000_000_000 {
                prop_assert_eq!(limit(&text, Rounding::Down), text.parse().ok());
                prop_assert_eq!(against(n, k, below.next_up()), Ordering::Less);
            }
        }

        #[test]
        fn every_positive_number_is_rounded_the_right_way(
            bits in 1..0x7ff0_0000_0000_0000u64,
            digits in 3usize..12,
        ) {
            check(f64::from_bits(bits), digits);
        }

        #[test]
        fn numbers_near_powers_of_ten_are_rounded_the_right_way(
            e in -8i32..12,
            ulps in -40i64..40,
            digits in 3usize..12,
        ) {
            let bits = 10f64.powi(e).to_bits() as i64 + ulps;
            check(f64::from_bits(bits as u64), digits);
        }
    }
}
