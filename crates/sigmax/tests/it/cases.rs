//! Random layers: every geometry, scale and kind of spectrum, small enough for the dense oracle.

use proptest::prelude::*;
use sigmax::{Conv, Kernel, PaddingMode};

/// A layer that is small enough for the oracle.
#[derive(Clone, Debug)]
pub(crate) struct Layer {
    pub(crate) kernel: Kernel,
    pub(crate) conv: Conv,
    pub(crate) values: Vec<f64>,
}

/// How the entries are drawn.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Spectrum {
    Gaussian,
    /// Outer product in the channels, plus noise of the given size.
    RankOne(f64),
    /// ±1 and 0 only: many exact ties.
    Signs,
    /// Orthogonal-like taps: nearly equal top singular values.
    Clustered(f64),
    /// One entry dominates by the given factor.
    Spike(f64),
    Ones,
    /// Entries over many orders of magnitude.
    Wild,
    /// A delta per channel: the norm is constant in θ.
    Delta,
}

fn spectrum() -> impl Strategy<Value = Spectrum> {
    prop_oneof![
        4 => Just(Spectrum::Gaussian),
        1 => prop_oneof![Just(0.0), Just(1e-9), Just(1e-2)].prop_map(Spectrum::RankOne),
        1 => Just(Spectrum::Signs),
        2 => prop_oneof![Just(0.0), Just(1e-12), Just(1e-7), Just(1e-3)]
            .prop_map(Spectrum::Clustered),
        1 => prop_oneof![Just(1e3), Just(1e8), Just(1e200)].prop_map(Spectrum::Spike),
        1 => Just(Spectrum::Ones),
        1 => Just(Spectrum::Wild),
        1 => Just(Spectrum::Delta),
    ]
}

fn scale() -> impl Strategy<Value = f64> {
    prop_oneof![
        6 => Just(1.0),
        1 => Just(1e-300),
        1 => Just(1e-310),
        1 => Just(5e-324),
        1 => Just(1e300),
        1 => Just(1e-20),
        1 => Just(3e5),
    ]
}

/// splitmix64 to [−1, 1).
pub(crate) fn uniform(seed: &mut u64) -> f64 {
    *seed = seed.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mut z = *seed;
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 52) as f64 - 1.0
}

/// About normal: the sum of three uniforms.
pub(crate) fn gaussian(seed: &mut u64) -> f64 {
    uniform(seed) + uniform(seed) + uniform(seed)
}

fn fill(shape: &[usize], spectrum: Spectrum, scale: f64, mut seed: u64) -> Vec<f64> {
    let seed = &mut seed;
    let (rows, cols) = (shape[0], shape[1]);
    let taps: usize = shape[2..].iter().product();
    let total = rows * cols * taps;
    let mut values: Vec<f64> = match spectrum {
        Spectrum::Gaussian => (0..total).map(|_| gaussian(seed)).collect(),
        Spectrum::RankOne(noise) => {
            let u: Vec<f64> = (0..rows).map(|_| gaussian(seed)).collect();
            let v: Vec<f64> = (0..cols * taps).map(|_| gaussian(seed)).collect();
            u.iter()
                .flat_map(|a| v.iter().map(move |b| a * b))
                .collect::<Vec<_>>()
                .into_iter()
                .map(|x| x + noise * gaussian(seed))
                .collect()
        }
        Spectrum::Signs => (0..total).map(|_| (1.5 * uniform(seed)).round()).collect(),
        Spectrum::Clustered(noise) => (0..total)
            .map(|i| {
                let (row, col) = (i / taps / cols, i / taps % cols);
                f64::from(u8::from(row % cols == col)) + noise * gaussian(seed)
            })
            .collect(),
        Spectrum::Spike(factor) => {
            let mut values: Vec<f64> = (0..total).map(|_| gaussian(seed)).collect();
            let place = ((uniform(seed) + 1.0) / 2.0 * total as f64) as usize;
            values[place.min(total - 1)] = factor;
            values
        }
        Spectrum::Ones => vec![1.0; total],
        Spectrum::Wild => (0..total)
            .map(|_| gaussian(seed) * 10f64.powi((uniform(seed) * 30.0) as i32))
            .collect(),
        Spectrum::Delta => (0..total)
            .map(|i| {
                let (channel, tap) = (i / taps, i % taps);
                f64::from(u8::from(tap == channel % taps)) * uniform(seed)
            })
            .collect(),
    };
    for v in &mut values {
        *v = (*v * scale).clamp(-1e305, 1e305);
    }
    values
}

fn mode() -> impl Strategy<Value = PaddingMode> {
    prop_oneof![
        3 => Just(PaddingMode::Zeros),
        2 => Just(PaddingMode::Circular),
        1 => Just(PaddingMode::Reflect),
        1 => Just(PaddingMode::Replicate),
    ]
}

#[derive(Clone, Debug)]
struct Axis {
    k: usize,
    stride: usize,
    dilation: usize,
    padding: (usize, usize),
    output_padding: usize,
    size: usize,
}

fn axis() -> impl Strategy<Value = Axis> {
    (
        1usize..=5,
        prop_oneof![3 => Just(1usize), 2 => Just(2), 1 => Just(3)],
        prop_oneof![3 => Just(1usize), 1 => Just(2), 1 => Just(3)],
        0usize..=4,
        0usize..=4,
        0usize..=1,
        1usize..=9,
    )
        .prop_map(
            |(k, stride, dilation, before, after, output_padding, size)| Axis {
                k,
                stride,
                dilation,
                padding: (before, after),
                output_padding,
                size,
            },
        )
}

/// Any layer that sigmax covers.
pub(crate) fn layer() -> impl Strategy<Value = Layer> {
    (0usize..=3)
        .prop_flat_map(|axes| {
            (
                prop::collection::vec(axis(), axes),
                (1usize..=3, 1usize..=3, 1usize..=3),
                mode(),
                prop::bool::weighted(0.2),
                spectrum(),
                scale(),
                any::<u64>(),
            )
        })
        .prop_filter_map(
            "an output",
            |(mut axes, channels, mode, transposed, spectrum, scale, seed)| {
                if axes.len() == 3 {
                    for axis in &mut axes {
                        axis.k = axis.k.min(3);
                        axis.size = axis.size.min(4);
                    }
                } else if axes.len() == 2 {
                    for axis in &mut axes {
                        axis.size = axis.size.min(6);
                    }
                }
                build(&axes, channels, mode, transposed, spectrum, scale, seed)
            },
        )
}

fn build(
    axes: &[Axis],
    (rows, cols, groups): (usize, usize, usize),
    mode: PaddingMode,
    transposed: bool,
    spectrum: Spectrum,
    scale: f64,
    seed: u64,
) -> Option<Layer> {
    let mut shape = vec![rows * groups, cols];
    shape.extend(axes.iter().map(|a| a.k));
    let of = |f: fn(&Axis) -> usize| axes.iter().map(f).collect::<Vec<_>>();
    let mut conv = Conv::new(axes.len())
        .with_stride(&of(|a| a.stride))
        .with_dilation(&of(|a| a.dilation))
        .with_groups(groups)
        .with_input_size(&of(|a| a.size));
    let padding: Vec<(usize, usize)> = axes
        .iter()
        .map(|a| {
            let limit = match mode {
                PaddingMode::Circular => a.size,
                PaddingMode::Reflect => a.size - 1,
                _ => usize::MAX,
            };
            (a.padding.0.min(limit), a.padding.1.min(limit))
        })
        .collect();
    conv = conv.with_padding(&padding);
    if transposed {
        let limit = |a: &Axis| a.output_padding.min(a.stride.max(a.dilation) - 1);
        conv = conv.transposed(&axes.iter().map(limit).collect::<Vec<_>>());
    } else {
        conv = conv.with_padding_mode(mode);
    }
    let values = fill(&shape, spectrum, scale, seed);
    let kernel = Kernel::new(&shape, values.clone()).unwrap();
    conv.check(&kernel).ok()?;
    Some(Layer {
        kernel,
        conv,
        values,
    })
}
