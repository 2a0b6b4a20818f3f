//! Times, sizes, ratios and lists in words.

use crate::report::ink::decimal::{Rounding, decimal};
use crate::report::ink::printable::printable;

/// Most names that are listed one by one.
const LISTED: usize = 20;

pub(crate) fn by(extents: &[usize]) -> String {
    let extents: Vec<_> = extents.iter().map(ToString::to_string).collect();
    extents.join("×")
}

/// Enough digits to tell the two ends apart.
pub(crate) fn digits(tolerance: f64) -> usize {
    let wanted = (1.0 / tolerance).log10().ceil() + 2.0;
    wanted.clamp(5.0, 12.0) as usize
}

pub(crate) fn ratio(x: f64) -> String {
    if x.is_finite() && x > 0.0 {
        decimal(x, 3, Rounding::Nearest)
    } else {
        "-".to_owned()
    }
}

pub(crate) fn seconds(s: f64) -> String {
    match s {
        s if s < 0.001 => "<1 ms".to_owned(),
        s if s < 0.9995 => format!("{:.0} ms", s * 1e3),
        s if s < 9.95 => format!("{s:.1} s"),
        s if s < 999.5 => format!("{s:.0} s"),
        s => format!("{:.0} min", s / 60.0),
    }
}

pub(crate) fn plural(count: usize, what: &str) -> String {
    if count == 1 {
        format!("1 {what}")
    } else {
        format!("{count} {what}s")
    }
}

/// Names, and how many more there are.
pub(crate) fn listed<T: AsRef<str>>(names: &[T]) -> String {
    let mut shown: Vec<String> = names
        .iter()
        .take(LISTED)
        .map(|name| printable(name.as_ref()))
        .collect();
    if names.len() > LISTED {
        shown.push(format!("and {} more", names.len() - LISTED));
    }
    shown.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_short() {
        let cases = [
            (0.0, "<1 ms"),
            (0.0123, "12 ms"),
            (0.9996, "1.0 s"),
            (1.26, "1.3 s"),
            (99.6, "100 s"),
            (3600.0, "60 min"),
        ];
        for (time, text) in cases {
            assert_eq!(seconds(time), text);
        }
    }

    #[test]
    fn digits_follow_the_tolerance() {
        assert_eq!(digits(1e-3), 5);
        assert_eq!(digits(0.5), 5);
        assert_eq!(digits(1e-6), 8);
        assert_eq!(digits(f64::MIN_POSITIVE), 12);
    }
}
