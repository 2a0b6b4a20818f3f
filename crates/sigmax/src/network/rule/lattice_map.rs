//! [`LatticeMap`]: a linear layer on the lattice whose kernel is known to within an error, and the
//! composition of two of them (T24).

use crate::bound::circular::circular_norm_if_periodic;
use crate::bound::options::Options;
use crate::claim::Upper;
use crate::conv::{Conv, MAX_EXTENT, PaddingMode};
use crate::error::Error;
use crate::kernel::Kernel;
use crate::layout::multi_index;
use crate::network::graph::{Network, Node};
use crate::network::op::Op;
use crate::network::op::affine::Affine;
use crate::network::op::pool::Pool;
use crate::network::rule::slack::Slack;
use crate::rounding::{U, add_up, gamma, ldexp, mul_up, scale_up};
use crate::verify::magnitude;

/// Most entries of a composed kernel, and most products to compute it.
const MAX_ENTRIES: usize = 1 << 22;
const MAX_PRODUCTS: usize = 1 << 31;

/// An entry times two fractions that is not below this was normal all the way: one fraction is in [1, 2),
/// the other in [½, 1].
const TINY: f64 = 4.0 * f64::MIN_POSITIVE;

/// A positive number `fraction`·2^`exponent`, in a range far beyond that of f64.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Factor {
    fraction: f64,
    exponent: i32,
}

impl Factor {
    /// About 2^x: whatever the power is rounded to is the number.
    pub(crate) fn near_power(x: f64) -> Self {
        const MOST: f64 = 4000.0;
        let x = if x.is_finite() {
            x.clamp(-MOST, MOST)
        } else {
            0.0
        };
        let (whole, power) = (x.floor() as i32, (x - x.floor()).exp2());
        let (fraction, exponent) = if power < 2.0 {
            (power.max(1.0), whole)
        } else {
            (1.0, whole + 1)
        };
        Self { fraction, exponent }
    }

    /// 1/λ, its fraction off by u at most, relatively.
    fn inverse(self) -> Self {
        Self {
            fraction: 1.0 / self.fraction,
            exponent: -self.exponent,
        }
    }
}

/// A convolution (or a matrix: no spatial axis) with a kernel known to within E.
#[derive(Clone, Debug)]
pub(crate) struct LatticeMap {
    kernel: Kernel,
    conv: Conv,
    /// S(E) ≤ `error`·2^e, e the exponent of the kernel.
    error: f64,
    /// Whether the kernel is that of a layer as the file states it.
    plain: bool,
}

impl LatticeMap {
    /// The layer that a node computes, if it is one on the lattice.
    pub(crate) fn of_node(network: &Network, node: &Node) -> Option<Self> {
        Self::of(node, &network.nodes[node.inputs.first()?.0].shape)
    }

    /// The same for an input of shape `input`.
    fn of(node: &Node, input: &[usize]) -> Option<Self> {
        match &node.op {
            Op::Conv { kernel, conv, .. } => Some(Self {
                kernel: kernel.clone(),
                conv: conv.clone(),
                error: scale_up(node.inexact, -kernel.exponent()),
                plain: true,
            }),
            Op::Dense { kernel, .. } if input.len() == 1 => {
                Some(Self::matrix(kernel, node.inexact))
            }
            Op::Separable(separable) => average(separable.windows.as_ref()?, input),
            _ => None,
        }
    }

    /// S(|K|) from above, in units of 2^e: ‖Σ_t|K_t|‖₂ by its rows and columns.
    fn size(&self) -> f64 {
        magnitude(&self.kernel)
    }

    /// An upper bound of the norm of the layer.
    pub(crate) fn norm(&self, options: &Options, slack: Slack) -> Result<Upper, Error> {
        let exact = match (self.plain, slack) {
            (true, Slack::None) => circular_norm_if_periodic(&self.kernel, &self.conv, options)?,
            _ => None,
        };
        let bound = match exact {
            Some(norm) => norm.bracket.upper(),
            None => slack.norm(&self.kernel, &self.conv, options)?,
        };
        // The error is enlarged with it: it may be all there is, and dividing a product by one of its
        // factors does not give back the other.
        let bound = bound.plus(Upper::claim(self.error_bound()));
        Ok(slack.enlarge(bound, &self.kernel, &self.conv))
    }

    /// An upper bound of what the error of the kernel adds to the norm of the layer.
    pub(crate) fn error_bound(&self) -> f64 {
        if self.error > 0.0 {
            let error = mul_up(self.error, self.conv.padding_factor());
            scale_up(error, self.kernel.exponent())
        } else {
            0.0
        }
    }

    pub(crate) fn kernel(&self) -> &Kernel {
        &self.kernel
    }

    pub(crate) fn conv(&self) -> &Conv {
        &self.conv
    }

    /// This layer after multiplying its input by the diagonal of `affine`; `None` where that is not
    /// one number per channel.
    pub(crate) fn after_affine(&self, affine: &Affine) -> Option<Self> {
        self.scaled_by_channel(affine, self.conv.transposed)
    }

    /// This layer with its output multiplied by the diagonal of `affine`.
    pub(crate) fn before_affine(&self, affine: &Affine) -> Option<Self> {
        self.scaled_by_channel(affine, !self.conv.transposed)
    }

    /// This dense layer after `affine` on a tensor of shape `input` and flattening.
    pub(crate) fn after_flattened(&self, affine: &Affine, input: &[usize]) -> Option<Self> {
        if self.conv.axes() > 0 {
            return None;
        }
        self.scaled(&affine.scale.expanded(input), affine.roundings, false)
    }

    /// This layer with every entry of the kernel multiplied by one number per entry of its first axis;
    /// these are known to within γ_k, k = `roundings`.
    pub(crate) fn rows_scaled(&self, scale: &[f64], roundings: usize) -> Option<Self> {
        self.scaled(scale, roundings, true)
    }

    fn scaled_by_channel(&self, affine: &Affine, first: bool) -> Option<Self> {
        let channels = self.channels(first);
        let scale = affine.scale.per_channel(channels)?;
        self.scaled(&scale, affine.roundings, first)
    }

    /// Channels on the side of the kernel's first axis, or on the other.
    fn channels(&self, first: bool) -> usize {
        if first {
            self.kernel.shape()[0]
        } else {
            self.kernel.shape()[1] * self.conv.groups
        }
    }

    /// Channels of the output.
    pub(crate) fn outputs(&self) -> usize {
        self.channels(!self.conv.transposed)
    }

    /// Channels of the input.
    pub(crate) fn inputs(&self) -> usize {
        self.channels(self.conv.transposed)
    }

    /// The channel of an entry of an input or output of `len` entries: convolutions have them along the
    /// first axis, dense layers along the last.
    pub(crate) fn channel(&self, entry: usize, len: usize, channels: usize) -> usize {
        if self.conv.axes() > 0 {
            entry / (len / channels)
        } else {
            entry % channels
        }
    }

    /// The matrix of a dense layer, whatever the other axes of its input are: the whole is block
    /// diagonal, with this block. Its norm is off by `inexact` at most.
    pub(crate) fn matrix(kernel: &Kernel, inexact: f64) -> Self {
        Self {
            kernel: kernel.clone(),
            conv: Conv::new(0),
            error: scale_up(inexact, -kernel.exponent()),
            plain: true,
        }
    }

    /// This layer with its output multiplied by one factor per channel, and its input divided by one
    /// (T37); `None` where entries are too small for their rounding to be relative to them.
    pub(crate) fn between(&self, after: &[Factor], before: &[Factor]) -> Option<Self> {
        if after.len() != self.outputs() || before.len() != self.inputs() {
            return None;
        }
        let before: Vec<Factor> = before.iter().map(|factor| factor.inverse()).collect();
        let (first, second) = if self.conv.transposed {
            (&before[..], after)
        } else {
            (after, &before[..])
        };
        let [rows, cols] = [self.kernel.shape()[0], self.kernel.shape()[1]];
        let taps: usize = self.kernel.spatial().iter().product();
        let per_group = rows / self.conv.groups;
        // Fractions and exponents apart: nothing leaves the range before the largest is known.
        let mut scaled = Vec::with_capacity(self.kernel.scaled().len());
        let mut largest = i32::MIN;
        for (i, &v) in self.kernel.scaled().iter().enumerate() {
            let (row, col) = (i / (cols * taps), i / taps % cols);
            let (a, b) = (first[row], second[row / per_group * cols + col]);
            let (value, shift) = (v * a.fraction * b.fraction, a.exponent + b.exponent);
            if v != 0.0 {
                if !(value.abs() >= TINY) {
                    return None;
                }
                largest = largest.max(crate::rounding::exponent(value) + shift);
            }
            scaled.push((value, shift));
        }
        if largest == i32::MIN {
            return None;
        }
        let values = scaled.into_iter().map(|(v, e)| ldexp(v, e - largest));
        let unit = self.kernel.exponent().checked_add(largest)?;
        let kernel = Kernel::from_scaled(self.kernel.shape(), values.collect(), unit).ok()?;
        // |K̂ − K| ≤ γ_3·|K| ≤ γ_4·|K̂|: the fraction of 1/λ and two products are rounded. What leaves the
        // range below is off by less than 2⁻¹⁰⁷³ per entry.
        let rounding = mul_up(2.0 * gamma(4), magnitude(&kernel));
        // ‖Λ'·E·Λ⁻¹‖ ≤ max λ'·‖E‖·max 1/λ; fractions of λ' are below 2, those of 1/λ at most 1.
        let most = |factors: &[Factor]| factors.iter().map(|f| f.exponent).max();
        // What the kernel lost when it was stored grows as the error does.
        let carried = mul_up(2.0, add_up(self.error, self.kernel.lost()));
        let carried = scale_up(carried, most(first)? + most(second)? - largest);
        let tiny = self.kernel.scaled().len() as f64 * 1e-320;
        let unit = unit.saturating_sub(kernel.exponent());
        Some(Self {
            error: add_up(rounding, scale_up(add_up(carried, tiny), unit)),
            kernel,
            conv: self.conv.clone(),
            plain: self.plain,
        })
    }

    /// Every entry times one number per channel, on the side of the kernel's first axis or on the
    /// other; the numbers are known to within γ_k, k = `roundings`.
    fn scaled(&self, scale: &[f64], roundings: usize, first: bool) -> Option<Self> {
        let [rows, cols] = [self.kernel.shape()[0], self.kernel.shape()[1]];
        let largest = scale.iter().fold(0.0f64, |m, s| m.max(s.abs()));
        if largest <= 0.0 || scale.len() != self.channels(first) {
            return None;
        }
        // By a power of two, so that products with entries below 1 stay in range.
        let exponent = crate::rounding::exponent(largest);
        let taps: usize = self.kernel.spatial().iter().product();
        let per_group = rows / self.conv.groups;
        let values: Vec<f64> = self
            .kernel
            .scaled()
            .iter()
            .enumerate()
            .map(|(i, &v)| {
                let (row, col) = (i / (cols * taps), i / taps % cols);
                let channel = if first {
                    row
                } else {
                    row / per_group * cols + col
                };
                v * ldexp(scale[channel], -exponent)
            })
            .collect();
        // Each entry has the relative error of s and one rounding more; where it underflows it is off
        // by less than 2⁻¹⁰⁷³, and S of that is below the number of entries times it. The error that
        // was there is multiplied by at most 2^exponent.
        let entries = values.len() as f64;
        let rounding = mul_up(2.0 * gamma(roundings + 2), self.size());
        let error = add_up(
            add_up(mul_up(self.error, 1.0 + 1e-9), rounding),
            entries * 1e-320,
        );
        self.rebuilt(values, exponent, error)
    }

    /// The same geometry with new values, in units of 2^(e + `exponent`) as `error` is too.
    fn rebuilt(&self, values: Vec<f64>, exponent: i32, error: f64) -> Option<Self> {
        let before = self.kernel.exponent().saturating_add(exponent);
        let kernel = Kernel::from_scaled(self.kernel.shape(), values, before).ok()?;
        let error = scale_up(error, before.saturating_sub(kernel.exponent()));
        Some(Self {
            kernel,
            conv: self.conv.clone(),
            error,
            plain: false,
        })
    }

    /// `second` after `first` as one layer, where what `second` reads of the output of `first` are
    /// values of its convolution on the lattice (T24): where `second` has no padding, or `first` is
    /// a 1×1 convolution.
    pub(crate) fn composed(first: &Self, second: &Self) -> Option<Self> {
        let axes = first.conv.axes();
        if first.conv.transposed || second.conv.transposed || second.conv.axes() != axes {
            return None;
        }
        let one = |values: &[usize]| values.iter().all(|&v| v == 1);
        let none = |conv: &Conv| conv.padding.iter().all(|&p| p == (0, 0));
        let pointwise = one(first.kernel.spatial()) && one(&first.conv.stride) && none(&first.conv);
        let mut conv = Conv::new(axes);
        let mut k = Vec::new();
        if pointwise {
            conv.clone_from(&second.conv);
            conv.groups = 1;
            k = second.kernel.spatial().to_vec();
        } else if none(&second.conv) {
            conv.padding.clone_from(&first.conv.padding);
            conv.padding_mode = first.conv.padding_mode;
            conv.input_size.clone_from(&first.conv.input_size);
            for axis in 0..axes {
                let (s1, e1, k1) = first.along(axis);
                let (s2, e2, k2) = second.along(axis);
                conv.stride[axis] = s1.checked_mul(s2)?;
                let reach = s1.checked_mul(e2)?.checked_mul(k2 - 1)?;
                k.push(reach.checked_add(e1.checked_mul(k1 - 1)?)? + 1);
            }
        } else {
            return None;
        }
        if conv.stride.iter().any(|&s| s > MAX_EXTENT) {
            return None;
        }
        let kernel = compose_kernels(first, second, &k, pointwise)?;
        // Σ over c_mid and the taps of both: at most that many products in an entry, each rounded.
        let taps: usize = [&first.kernel, &second.kernel]
            .iter()
            .flat_map(|kernel| kernel.spatial())
            .product();
        let terms = second.kernel.shape()[1] * second.conv.groups * taps;
        let (a, b) = (first.size(), second.size());
        let rounding = mul_up(mul_up(gamma(terms + 2), a), b);
        let carried = add_up(
            add_up(mul_up(first.error, b), mul_up(second.error, a)),
            mul_up(first.error, second.error),
        );
        let error = add_up(add_up(rounding, carried), 1e-290);
        let before = first
            .kernel
            .exponent()
            .saturating_add(second.kernel.exponent());
        let entries = kernel.0.iter().product::<usize>() as f64;
        let values = kernel.1;
        let kernel = Kernel::from_scaled(&kernel.0, values, before).ok()?;
        let error = add_up(error, entries * 1e-300);
        Some(Self {
            error: scale_up(error, before.saturating_sub(kernel.exponent())),
            kernel,
            conv,
            plain: false,
        })
    }

    /// Stride, dilation and extent along an axis.
    fn along(&self, axis: usize) -> (usize, usize, usize) {
        let k = self.kernel.spatial()[axis];
        (self.conv.stride[axis], self.conv.dilation[axis], k)
    }
}

/// The kernel of the composition in units of both exponents: its shape and values.
fn compose_kernels(
    first: &LatticeMap,
    second: &LatticeMap,
    k: &[usize],
    pointwise: bool,
) -> Option<(Vec<usize>, Vec<f64>)> {
    let (groups1, groups2) = (first.conv.groups, second.conv.groups);
    let (rows2, cols2) = (second.kernel.shape()[0], second.kernel.shape()[1]);
    let (rows1, cols1) = (first.kernel.shape()[0], first.kernel.shape()[1]);
    if cols2 * groups2 != rows1 {
        return None;
    }
    let inputs = cols1.checked_mul(groups1)?;
    let taps: usize = k.iter().try_fold(1usize, |n, &k| n.checked_mul(k))?;
    let entries = [rows2, inputs, taps]
        .iter()
        .try_fold(1usize, |n, &k| n.checked_mul(k))?;
    let (taps1, taps2): (usize, usize) = (
        first.kernel.spatial().iter().product(),
        second.kernel.spatial().iter().product(),
    );
    let products = [rows2, cols2, cols1, taps1, taps2]
        .iter()
        .try_fold(1usize, |n, &k| n.checked_mul(k))?;
    if entries > MAX_ENTRIES || products > MAX_PRODUCTS {
        return None;
    }
    let axes = k.len();
    let mut values = vec![0.0; entries];
    for t2 in 0..taps2 {
        let at2 = multi_index(t2, second.kernel.spatial());
        for t1 in 0..taps1 {
            let at1 = multi_index(t1, first.kernel.spatial());
            let mut tap = 0;
            for axis in 0..axes {
                let place = if pointwise {
                    at2[axis]
                } else {
                    let (s1, e1, _) = first.along(axis);
                    s1 * second.conv.dilation[axis] * at2[axis] + e1 * at1[axis]
                };
                tap = tap * k[axis] + place;
            }
            for o in 0..rows2 {
                let from = o / (rows2 / groups2) * cols2;
                for m in 0..cols2 {
                    let w = second.kernel.scaled()[(o * cols2 + m) * taps2 + t2];
                    let middle = from + m;
                    let input = middle / (rows1 / groups1) * cols1;
                    for i in 0..cols1 {
                        let v = first.kernel.scaled()[(middle * cols1 + i) * taps1 + t1];
                        values[(o * inputs + input + i) * taps + tap] += w * v;
                    }
                }
            }
        }
    }
    Some(([&[rows2, inputs][..], k].concat(), values))
}

/// Average pooling with windows inside of the image as a grouped convolution with entries 1/Πk.
fn average(pool: &Pool, input: &[usize]) -> Option<LatticeMap> {
    let taps: usize = pool.kernel.iter().product();
    let channels = input[0];
    let weight = 1.0 / taps as f64;
    let shape = [&[channels, 1][..], &pool.kernel].concat();
    let kernel = Kernel::new(&shape, vec![weight; channels.checked_mul(taps)?]).ok()?;
    let error = if taps.is_power_of_two() {
        0.0
    } else {
        // One rounding of each of Πk equal entries, one per row and column.
        mul_up(2.0 * U, magnitude(&kernel))
    };
    let conv = Conv {
        stride: pool.stride.clone(),
        dilation: pool.dilation.clone(),
        padding: vec![(0, 0); pool.kernel.len()],
        padding_mode: PaddingMode::Zeros,
        groups: channels,
        input_size: Some(input[1..].to_vec()),
        ..Conv::new(pool.kernel.len())
    };
    Some(LatticeMap {
        kernel,
        conv,
        error,
        plain: false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2⁻⁵⁰⁰ beside 2⁶⁰⁰ is stored as 0. Factors that make it the larger one make a norm of 2¹⁰⁰.
    #[test]
    fn what_a_kernel_lost_grows_with_its_factors() {
        let two = |e: f64| Factor::near_power(e);
        let values = vec![2f64.powi(600), 0.0, 0.0, 2f64.powi(-500)];
        let map = LatticeMap::matrix(&Kernel::new(&[2, 2], values).unwrap(), 0.0);
        let scaled = map
            .between(&[two(-900.0), two(200.0)], &[two(0.0), two(-400.0)])
            .unwrap();
        let norm = scaled.norm(&Options::default(), Slack::None).unwrap();
        assert!(norm.get() >= 2f64.powi(100), "{}", norm.get());
    }
}
