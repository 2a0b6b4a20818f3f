//! Pieces of inline SVG: escaping, scales and their ticks.

use crate::report::ink::decimal::{Rounding, decimal};

/// Text with the characters that mark up replaced.
#[must_use]
pub fn escape(text: &str) -> String {
    text.chars().fold(String::new(), |mut out, c| {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
        out
    })
}

/// A share of a length, as a percentage with two decimals.
pub(crate) fn percent(share: f64) -> String {
    let text = format!("{:.2}", 100.0 * share);
    let text = text.trim_end_matches('0').trim_end_matches('.');
    format!("{}%", if text == "-0" { "0" } else { text })
}

/// A place on an axis: its share of the length, and its label.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Tick {
    pub(crate) share: f64,
    pub(crate) label: String,
}

/// An axis with equal steps.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Linear {
    low: f64,
    high: f64,
}

impl Linear {
    /// The axis from `low` to `high`; one of length 1 where they are no interval.
    pub(crate) fn new(low: f64, high: f64) -> Self {
        let is_interval = low.is_finite() && high.is_finite() && low < high;
        if is_interval && (high - low).is_finite() {
            Self { low, high }
        } else {
            let low = if low.is_finite() {
                low.clamp(-1e300, 1e300)
            } else {
                0.0
            };
            Self {
                low,
                high: low + low.abs().max(1.0),
            }
        }
    }

    /// Where a value lies, 0 at the low end and 1 at the high one; never outside.
    pub(crate) fn share(&self, x: f64) -> f64 {
        let share = (x - self.low) / (self.high - self.low);
        if share.is_nan() {
            0.0
        } else {
            share.clamp(0.0, 1.0)
        }
    }

    /// About `count` round numbers.
    pub(crate) fn ticks(&self, count: usize) -> Vec<Tick> {
        self.round_values(count)
            .into_iter()
            .map(|x| Tick {
                share: self.share(x),
                label: label(x),
            })
            .collect()
    }

    /// About `count` whole numbers.
    pub(crate) fn whole_ticks(&self, count: usize) -> Vec<Tick> {
        // Steps of at least 1 are whole.
        let most = (self.high - self.low).clamp(1.0, count as f64);
        self.ticks(most as usize)
    }

    /// The multiples of a round step within the axis.
    fn round_values(&self, count: usize) -> Vec<f64> {
        let wanted = (self.high - self.low) / count.max(1) as f64;
        let power = 10f64.powi(wanted.log10().floor() as i32);
        let step = [1.0, 2.0, 5.0, 10.0]
            .into_iter()
            .map(|factor| factor * power)
            .find(|step| *step >= wanted * (1.0 - 1e-9))
            .unwrap_or(wanted);
        let first = (self.low / step - 1e-9).ceil();
        (0..=2 * count)
            .map(|i| (first + i as f64) * step)
            .take_while(|x| *x <= self.high + 1e-9 * step)
            .collect()
    }
}

/// An axis with equal factors.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Log(Linear);

impl Log {
    /// An axis that has all these values that are positive and finite, with some room; `None`
    /// where there are none.
    pub(crate) fn around(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
        for x in values.into_iter().filter(|x| *x > 0.0 && x.is_finite()) {
            low = low.min(x.log10());
            high = high.max(x.log10());
        }
        if low > high {
            return None;
        }
        let room = (0.04 * (high - low)).max(0.05);
        Some(Self(Linear::new(low - room, high + room)))
    }

    /// Where a value lies: 0 and negative ones at the low end, ∞ at the high one.
    pub(crate) fn share(&self, x: f64) -> f64 {
        if x > 0.0 {
            self.0.share(x.log10())
        } else {
            0.0
        }
    }

    /// Powers of ten; where there are few of them, also their doubles and fives.
    pub(crate) fn ticks(&self) -> Vec<Tick> {
        let span = self.0.high - self.0.low;
        if span < 0.6 {
            return self.at(self.plain().round_values(5));
        }
        let factors: &[f64] = if span < 2.2 { &[1.0, 2.0, 5.0] } else { &[1.0] };
        let every = (span / 9.0).ceil().max(1.0) as i32;
        let (first, last) = (self.0.low.floor() as i32, self.0.high.ceil() as i32);
        let decades = (first..=last).filter(|k| k.rem_euclid(every) == 0);
        self.at(decades
            .flat_map(|k| factors.iter().map(move |f| f * 10f64.powi(k)))
            .collect())
    }

    /// The same interval with equal steps.
    #[allow(
        clippy::disallowed_methods,
        reason = "it says which round numbers get a tick, nothing more"
    )]
    fn plain(&self) -> Linear {
        Linear::new(10f64.powf(self.0.low), 10f64.powf(self.0.high))
    }

    fn at(&self, values: Vec<f64>) -> Vec<Tick> {
        values
            .into_iter()
            .filter(|x| x.is_normal() && (self.0.low..=self.0.high).contains(&x.log10()))
            .map(|x| Tick {
                share: self.share(x),
                label: label(x),
            })
            .collect()
    }
}

/// A round number, short.
pub(crate) fn label(x: f64) -> String {
    if x < 0.0 {
        return format!("−{}", label(-x));
    }
    let text = decimal(x, 5, Rounding::Nearest);
    let (mantissa, exponent) = match text.split_once('e') {
        Some((mantissa, exponent)) => (mantissa, format!("e{exponent}")),
        None => (text.as_str(), String::new()),
    };
    if mantissa.contains('.') {
        let short = mantissa.trim_end_matches('0').trim_end_matches('.');
        format!("{short}{exponent}")
    } else {
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(ticks: &[Tick]) -> Vec<&str> {
        ticks.iter().map(|tick| tick.label.as_str()).collect()
    }

    #[test]
    fn markup_is_text() {
        assert_eq!(escape("<a b='c'>&\""), "&lt;a b=&#39;c&#39;&gt;&amp;&quot;");
    }

    #[test]
    fn ticks_are_round_and_few() {
        assert_eq!(
            labels(&Linear::new(0.0, 1.0).ticks(5)),
            ["0", "0.2", "0.4", "0.6", "0.8", "1"]
        );
        assert_eq!(
            labels(&Linear::new(-0.3, 0.31).ticks(4)),
            ["−0.2", "0", "0.2"]
        );
        let wide = Log::around([1e-30, 1e30]).unwrap();
        assert!((5..=10).contains(&wide.ticks().len()), "{:?}", wide.ticks());
        let narrow = Log::around([3.0, 4.0]).unwrap();
        assert_eq!(labels(&narrow.ticks()), ["3", "3.5", "4"]);
        let usual = Log::around([0.8, 30.0]).unwrap();
        assert_eq!(labels(&usual.ticks()), ["1", "2", "5", "10", "20"]);
    }

    #[test]
    fn no_value_leaves_an_axis() {
        assert_eq!(Log::around([0.0, f64::INFINITY, f64::NAN]), None);
        for axis in [Log::around([1.0]), Log::around([5e-324, f64::MAX])] {
            let axis = axis.unwrap();
            for x in [0.0, 5e-324, 1.0, f64::MAX, f64::INFINITY, f64::NAN, -1.0] {
                assert!((0.0..=1.0).contains(&axis.share(x)), "{x}");
            }
            assert!(axis.ticks().len() < 20);
        }
        for (low, high) in [
            (0.0, 0.0),
            (f64::NAN, 1.0),
            (f64::NEG_INFINITY, f64::INFINITY),
            (-f64::MAX, f64::MAX),
            (f64::MAX, f64::MAX),
        ] {
            let axis = Linear::new(low, high);
            assert!((0.0..=1.0).contains(&axis.share(0.5)));
            assert!(axis.ticks(5).len() < 20);
        }
    }

    #[test]
    fn percentages_are_short() {
        assert_eq!(percent(0.5), "50%");
        assert_eq!(percent(0.12345), "12.35%");
        assert_eq!(percent(-1e-9), "0%");
    }
}
