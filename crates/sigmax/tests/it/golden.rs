//! The golden suite `testdata/cases.toml`: norms known by hand or enclosed by an independent program.

use serde::Deserialize;
use sigmax::bound::{gram_iteration, norm_bracket};
use sigmax::{Conv, Kernel, Options, PaddingMode, audit};

#[derive(Deserialize)]
struct Suite {
    case: Vec<Case>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    shape: Vec<usize>,
    values: Vec<f64>,
    stride: Vec<usize>,
    padding: Vec<(usize, usize)>,
    padding_mode: String,
    dilation: Vec<usize>,
    groups: usize,
    transposed: bool,
    input_size: Option<Vec<usize>>,
    norm_lower: f64,
    norm_upper: f64,
    source: String,
}

impl Case {
    fn conv(&self) -> Conv {
        let mode = [
            PaddingMode::Zeros,
            PaddingMode::Circular,
            PaddingMode::Reflect,
            PaddingMode::Replicate,
        ]
        .into_iter()
        .find(|mode| mode.name() == self.padding_mode)
        .expect("a padding mode");
        let mut conv = Conv::new(self.stride.len())
            .with_stride(&self.stride)
            .with_padding(&self.padding)
            .with_padding_mode(mode)
            .with_dilation(&self.dilation)
            .with_groups(self.groups);
        conv.transposed = self.transposed;
        conv.input_size.clone_from(&self.input_size);
        conv
    }
}

fn suite() -> Vec<Case> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../testdata/cases.toml");
    let text = std::fs::read_to_string(path).unwrap();
    let suite: Suite = toml::from_str(&text).unwrap();
    suite.case
}

/// The bracket of S meets the independent enclosure, within the padding factor above.
#[test]
fn brackets_meet_the_golden_enclosures() {
    let cases = suite();
    assert!(cases.len() >= 50, "{} cases", cases.len());
    for case in cases {
        let kernel = Kernel::new(&case.shape, case.values.clone()).unwrap();
        let conv = case.conv();
        let options = Options {
            tolerance: 1e-5,
            ..Options::default()
        };
        let about = format!("{} ({})", case.name, case.source);
        let norm = norm_bracket(&kernel, &conv, &options).unwrap();
        let (lower, upper) = (norm.bracket().lower().get(), norm.bracket().upper().get());
        assert!(lower <= case.norm_upper, "{about}: lower end {lower:e}");
        assert!(case.norm_lower <= upper, "{about}: upper end {upper:e}");
        let audit = audit(&kernel, &conv, &options).unwrap();
        let factor = audit.padding_factor();
        // Subnormal numbers are too coarse for any relative tolerance.
        if case.norm_upper > 1e-300 {
            assert!(
                upper <= case.norm_upper * factor * (1.0 + 2e-5),
                "{about}: upper end {upper:e} is not tight"
            );
            assert!(
                lower >= case.norm_lower * (1.0 - 2e-5),
                "{about}: lower end {lower:e} is not tight"
            );
        }
        for (reshape, bound) in audit.four().bounds() {
            assert!(
                case.norm_lower <= bound.get(),
                "{about}: {} {bound:?}",
                reshape.name()
            );
        }
        assert!(
            case.norm_lower <= audit.weighted_four().upper().get(),
            "{about}"
        );
        let grid = case.shape[2..].iter().copied().max().unwrap_or(1) + 3;
        let gram = gram_iteration(&kernel, &conv, 6, grid).unwrap();
        assert!(case.norm_lower <= gram.get(), "{about}: Gram {gram:?}");
    }
}

/// How loose each method may be, as the largest and the mean ratio to the golden norm: the values
/// measured when the test was written. They may fall; they may not grow.
#[test]
fn tightness_does_not_get_worse() {
    let (mut four, mut weighted) = (Vec::new(), Vec::new());
    for case in suite() {
        let kernel = Kernel::new(&case.shape, case.values.clone()).unwrap();
        let mut conv = case.conv();
        conv.padding_mode = PaddingMode::Zeros;
        conv.input_size = None;
        let audit = audit(&kernel, &conv, &Options::default()).unwrap();
        if case.norm_upper > 1e-300 {
            four.push(audit.four().min().get() / case.norm_upper);
            weighted.push(audit.weighted_four().upper().get() / case.norm_upper);
        }
    }
    let mean = |ratios: &[f64]| ratios.iter().sum::<f64>() / ratios.len() as f64;
    let largest = |ratios: &[f64]| ratios.iter().copied().fold(0.0, f64::max);
    let seen = [
        mean(&four),
        largest(&four),
        mean(&weighted),
        largest(&weighted),
    ];
    let allowed = [1.4440, 5.0001, 1.1763, 3.0001];
    assert!(
        seen.iter()
            .zip(allowed)
            .all(|(seen, allowed)| *seen <= allowed),
        "mean and largest ratio of the four, of the weighted four: {seen:?}, allowed {allowed:?}"
    );
}
