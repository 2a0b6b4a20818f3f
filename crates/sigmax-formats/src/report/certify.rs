//! [`CertifyReport`]: what was proved of the classification of a set of images.

mod ends;
mod html;
mod json;

pub use ends::{Ends, SecondOrder};
pub use html::certify_html;
pub use json::certify_json;

use sigmax::Upper;

use crate::images::{Fit, Units};
use crate::report::ink::decimal::{Rounding, decimal, least};
use crate::report::ink::paint::{Style, YELLOW, paint};
use crate::report::ink::printable::printable;
use crate::report::ink::words::seconds;
use crate::report::ink::wrap::wrap;
use crate::report::network::text as network_text;
use crate::report::{NetworkBounds, NetworkReport};

/// A certification of a set of images.
#[derive(Clone, Debug)]
pub struct CertifyReport {
    /// The version of the program.
    pub version: String,
    /// The model file, as the user named it.
    pub file: String,
    /// The SHA-256 of the file in hexadecimal, where it was computed.
    pub sha256: Option<String>,
    /// Where the images come from, as the user named it.
    pub images: String,
    /// How they become inputs of the network.
    pub fit: Fit,
    /// What their values are: the units of radii.
    pub units: Units,
    /// Between which the pixels of the inputs are that radii speak of; `None`: of all inputs.
    pub range: Option<[f64; 2]>,
    /// The arithmetic that the radii speak of: `real` or `float32`.
    pub arithmetic: String,
    /// What is subtracted from each channel of an image; empty: nothing.
    pub mean: Vec<f64>,
    /// What each channel is divided by after that; empty: nothing.
    pub std: Vec<f64>,
    /// The Lipschitz constant of the network that the radii rest on.
    pub lipschitz: Upper,
    /// Which of how many parts of the images was asked for, where it is one of them.
    pub part: Option<(usize, usize)>,
    /// Number of images that were asked for.
    pub asked: usize,
    /// Number of images that were done.
    pub total: usize,
    /// How many of them were in the file of certificates already, and confirmed.
    pub resumed: usize,
    /// How many of those done were classified correctly, as evaluated.
    pub correct: usize,
    /// Whether radii follow from the curvature of the network too.
    pub second_order: SecondOrder,
    /// Seconds that bounds around images took, where they were used.
    pub local: Option<f64>,
    /// Of how many images these were given up because their time was over.
    pub unfinished: usize,
    /// What is proved of each image.
    pub ends: Vec<Ends>,
    /// The radii that were asked about.
    pub eps: Vec<f64>,
    /// Seconds in all.
    pub seconds: f64,
    /// The network.
    pub network: NetworkBounds,
    /// Whether every image that was asked for was done.
    pub complete: bool,
    /// What the radii rest on, one sentence each.
    pub assumptions: Vec<String>,
}

impl CertifyReport {
    /// The share of images that were classified correctly, as evaluated: 0 without images.
    #[must_use]
    pub fn clean_accuracy(&self) -> f64 {
        if self.total == 0 {
            return 0.0;
        }
        self.correct as f64 / self.total as f64
    }

    /// The number of images whose correct class is proved to be kept within distance `eps`, the
    /// decimal number as which it is printed; for `eps` ≤ 0 those whose class is proved at all
    /// (radius above 0).
    #[must_use]
    pub fn certified(&self, eps: f64) -> usize {
        self.reach(least(eps))
    }

    /// The number of images with a radius above 0 and of at least `distance`.
    pub(crate) fn reach(&self, distance: f64) -> usize {
        let reaches = |ends: &&Ends| ends.reaches(distance);
        self.ends.iter().filter(reaches).count()
    }

    /// A radius that at least half of the images have; 0 without images.
    #[must_use]
    pub fn median_radius(&self) -> f64 {
        self.quantile(1, 2)
    }

    /// The largest radius that at least `share.0`/`share.1` of the images have, 0 without images.
    pub(crate) fn quantile(&self, numerator: usize, denominator: usize) -> f64 {
        let mut radii: Vec<f64> = self.ends.iter().map(|ends| ends.radius).collect();
        radii.sort_by(|a, b| b.total_cmp(a));
        let count = (self.total * numerator).div_ceil(denominator).max(1);
        radii.get(count - 1).copied().unwrap_or(0.0)
    }

    /// The summary for a terminal.
    #[must_use]
    pub fn text(&self, style: Style) -> String {
        let width = style.width.unwrap_or(100).clamp(20, 100);
        let mut out = String::new();
        let mut paragraph = |text: &str| out.push_str(&wrap(text, width, 2));
        paragraph(&format!(
            "{} on {}: {} images{} in {}.",
            printable(&self.file),
            printable(&self.images),
            self.total,
            match self.part {
                Some((part, parts)) => format!(", part {part} of {parts},"),
                None => String::new(),
            },
            seconds(self.seconds)
        ));
        if !self.complete {
            let text = format!(
                "Stopped early: {} of {} images were not done, and the counts are of those that \
                 were.",
                self.asked.saturating_sub(self.total),
                self.asked
            );
            paragraph(&paint(&text, Some(YELLOW).filter(|_| style.colour)));
        }
        if self.total == 0 {
            paragraph("No image was certified.");
            return out;
        }
        paragraph(&format!(
            "Clean accuracy (as evaluated): {} of {} = {} %.",
            self.correct,
            self.total,
            percent_down(self.correct, self.total)
        ));
        for (eps, text) in self.claims() {
            let count = self.certified(eps);
            let by_methods = self.by_methods(eps);
            paragraph(&format!(
                "Certified {text}: {count} of {} = {} %{by_methods}. PROVED{}.",
                self.total,
                percent_down(count, self.total),
                self.among(" of "),
            ));
            if self.is_searched() && eps > 0.0 {
                let found = self.adversarial(eps);
                paragraph(&format!(
                    "Not certifiable {text}: {found} of {}, for which an input there is another class \
                     in real arithmetic; it may lie beyond the range of pixels. At most {} % can be \
                     certified. PROVED.",
                    self.total,
                    percent_up(self.total.saturating_sub(found), self.total)
                ));
            }
        }
        paragraph(&format!(
            "Median radius: {}. PROVED of at least half of the images{}.",
            decimal(self.median_radius(), 4, Rounding::Down),
            self.among(", and of "),
        ));
        if let Some(text) = self.two_sided_text() {
            paragraph(&format!("{text}."));
        }
        if let Some(text) = self.local_text() {
            paragraph(&text);
        }
        if let Some(text) = self.first_order_text() {
            paragraph(&format!("{}.", printable(text.trim_end_matches('.'))));
        }
        paragraph(&format!("Pixels: {}.", self.units_text()));
        paragraph(&format!("Inputs: {}.", self.range_text()));
        paragraph(&format!("Layout: {}.", self.fit));
        paragraph(&format!("Arithmetic: {}.", self.arithmetic_text()));
        let network = NetworkReport {
            bounds: Ok(NetworkBounds {
                upper: self.lipschitz,
                ..self.network.clone()
            }),
        };
        for text in network_text::paragraphs(&network, 5, width) {
            paragraph(&text);
        }
        for text in &self.assumptions {
            paragraph(&format!(
                "Assumed: {}.",
                printable(text.trim_end_matches('.'))
            ));
        }
        paragraph(
            "Percentages and radii are rounded down, constants and what is at most something up.",
        );
        out
    }

    /// Of the images certified at `eps`, how many need more than the constants.
    fn by_methods(&self, eps: f64) -> String {
        let mut text = String::new();
        if self.second_order == SecondOrder::Used {
            text += &format!(", {} by curvature", self.certified_by_curvature(eps));
        }
        match self.certified_locally(eps) {
            0 => {}
            count => text += &format!(", {count} by bounds around them"),
        }
        text
    }

    /// What bounds around images cost, in words.
    pub(crate) fn local_text(&self) -> Option<String> {
        let time = self.local?;
        Some(
            format!(
                "Bounds around images: {} in all, {} an image.",
                seconds(time),
                seconds(time / (self.total - self.resumed).max(1) as f64)
            ) + &match self.unfinished {
                0 => String::new(),
                count => {
                    format!(" Of {count} images they were not finished when their time was over.")
                }
            },
        )
    }

    /// The radii to speak of, each with its words; the first is 0.
    pub(crate) fn claims(&self) -> Vec<(f64, String)> {
        let asked = self.eps.iter().filter(|&&eps| eps > 0.0);
        std::iter::once((0.0, "at the image itself (radius above 0)".to_owned()))
            .chain(asked.map(|&eps| (eps, format!("within ε = {eps}"))))
            .collect()
    }

    /// The units in words.
    pub(crate) fn units_text(&self) -> String {
        format!("{}; radii and ε are in these units", self.units)
    }

    /// What inputs radii speak of, in words.
    pub(crate) fn range_text(&self) -> String {
        match self.range {
            None => "all, also those with pixels that no picture has".to_owned(),
            Some([least, most]) => {
                format!("only those whose pixels are all between {least} and {most}")
            }
        }
    }

    /// What a proof is of, where it is not of all inputs.
    pub(crate) fn among(&self, before: &str) -> String {
        match self.range {
            None => String::new(),
            Some([least, most]) => format!("{before}inputs with pixels between {least} and {most}"),
        }
    }

    /// The arithmetic in words.
    pub(crate) fn arithmetic_text(&self) -> String {
        match self.arithmetic.as_str() {
            "real" => "real numbers; nothing is claimed of an execution that rounds".to_owned(),
            "float32" => "real numbers, and any execution in float32 that forms inner products by \
                          sums of products"
                .to_owned(),
            other => printable(other),
        }
    }
}

/// 100·`count`/`of` with two decimals, rounded down.
pub(crate) fn percent_down(count: usize, of: usize) -> String {
    if of == 0 {
        return "0.00".to_owned();
    }
    let hundredths = count as u128 * 10_000 / of as u128;
    format!("{}.{:02}", hundredths / 100, hundredths % 100)
}

/// The same, rounded up.
pub(crate) fn percent_up(count: usize, of: usize) -> String {
    if of == 0 {
        return "0.00".to_owned();
    }
    let hundredths = (count as u128 * 10_000).div_ceil(of as u128);
    format!("{}.{:02}", hundredths / 100, hundredths % 100)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentages_are_rounded_down() {
        assert_eq!(percent_down(2, 3), "66.66");
        assert_eq!(percent_down(9999, 10_000), "99.99");
        assert_eq!(percent_down(99_999, 100_000), "99.99");
        assert_eq!(percent_down(7, 7), "100.00");
        assert_eq!(percent_down(0, 0), "0.00");
        assert_eq!(percent_up(1, 3), "33.34");
        assert_eq!(percent_up(7, 7), "100.00");
    }
}
