//! Residuals x − AᵀDσ(Ax + b): what is subtracted is monotone, and the sum of branches is not needed
//! (T42).

use crate::bound::options::Options;
use crate::claim::Upper;
use crate::conv::PaddingMode;
use crate::error::Error;
use crate::kernel::Kernel;
use crate::network::graph::{Network, NodeId};
use crate::network::op::Op;
use crate::network::op::affine::Affine;
use crate::network::rule::lattice_map::LatticeMap;
use crate::network::rule::slack::Slack;
use crate::rounding::{add_up, gamma, mul_up, scale_up, sqrt_up};
use crate::verify::magnitude;

/// Exponents of kernels between which no product here leaves the range.
const EXPONENTS: std::ops::Range<i32> = -200..200;

/// Most diagonal maps on either side of a layer.
const LONGEST: usize = 4;

/// A sum that is a residual: the first node of its branch, which reads what the other one is, and the
/// constant from there.
pub(crate) fn residual(
    network: &Network,
    index: usize,
    options: &Options,
) -> Result<Option<(NodeId, Upper)>, Error> {
    let node = &network.nodes[index];
    let (Op::Add, &[a, b]) = (&node.op, &node.inputs[..]) else {
        return Ok(None);
    };
    for (kept, branch) in [(a, b), (b, a)] {
        if let Some(found) = Residual::new(network, kept, branch) {
            return Ok(found.norm(options)?.map(|norm| (found.start, norm)));
        }
    }
    Ok(None)
}

/// x + Bσ(Ax + b) with 0 ≤ σ' ≤ 1.
struct Residual {
    start: NodeId,
    first: LatticeMap,
    second: LatticeMap,
}

impl Residual {
    /// The branch that ends at `branch` and reads `kept`.
    fn new(network: &Network, kept: NodeId, branch: NodeId) -> Option<Self> {
        let only = |id: NodeId| match network.node(id).inputs[..] {
            [input] => Some(input),
            _ => None,
        };
        let diagonals = |mut id: NodeId| {
            let mut found: Vec<&Affine> = Vec::new();
            while let Op::Affine(affine) = &network.node(id).op {
                found.push(affine);
                id = only(id).filter(|_| found.len() <= LONGEST)?;
            }
            Some((found, id))
        };
        let layer = |id: NodeId| match &network.node(id).op {
            Op::Conv { .. } | Op::Dense { .. } => LatticeMap::of_node(network, network.node(id)),
            _ => None,
        };
        let (after, end) = diagonals(branch)?;
        let mut second = layer(end)?;
        let (before, activation) = diagonals(only(end)?)?;
        for affine in after {
            second = second.before_affine(affine)?;
        }
        for affine in before {
            second = second.after_affine(affine)?;
        }
        let rises = match &network.node(activation).op {
            Op::Activation(activation) => activation.rises_by_at_most_1(),
            Op::PRelu(slopes) => slopes.values().iter().all(|a| (0.0..=1.0).contains(a)),
            _ => false,
        };
        if !rises {
            return None;
        }
        let (shifts, start) = diagonals(only(activation)?)?;
        let first = layer(start)?;
        (shifts.iter().all(|affine| affine.is_shift()) && only(start)? == kept).then_some(())?;
        Some(Self {
            start,
            first,
            second,
        })
    }

    /// max(1, ‖D^½A‖² − 1) + ‖B + AᵀD‖·‖A‖ for the D ≥ 0 that makes B + AᵀD small.
    fn norm(&self, options: &Options) -> Result<Option<Upper>, Error> {
        let Some(pairs) = self.pairs() else {
            return Ok(None);
        };
        let rows = self.first.kernel().shape()[0];
        let mut products = vec![(0.0, 0.0); rows];
        for &(row, a, b) in &pairs {
            products[row].0 -= a * b;
            products[row].1 += a * a;
        }
        // Whatever these are rounded to, they are the numbers of the theorem.
        let factors: Vec<f64> = products
            .iter()
            .map(|&(inner, square)| if inner > 0.0 { inner / square } else { 0.0 })
            .collect();
        if !factors
            .iter()
            .all(|d| d.is_finite() && (*d <= 0.0 || d.is_normal()))
        {
            return Ok(None);
        }
        // Entry by entry an upper bound of |B + AᵀD|, two roundings included.
        let rest = pairs.iter().map(|&(row, a, b)| {
            let (a, b) = (factors[row] * a, b);
            let rounding = mul_up(2.0 * gamma(3), add_up(a.abs(), b.abs()));
            add_up(add_up((a + b).abs(), rounding), 1e-300)
        });
        let Ok(rest) = Kernel::new(self.first.kernel().shape(), rest.collect()) else {
            return Ok(None);
        };
        let rest = scale_up(add_up(magnitude(&rest), rest.lost()), rest.exponent());
        // What entries lost when kernels were stored beside larger ones: ‖L_B + L_AᵀD‖, and ‖D^½L_A‖.
        let lost = |kernel: &Kernel| scale_up(kernel.lost(), kernel.exponent());
        let (lost_a, lost_b) = (lost(self.first.kernel()), lost(self.second.kernel()));
        let largest = factors.iter().copied().fold(0.0, f64::max);
        let rest = add_up(rest, add_up(lost_b, mul_up(largest, lost_a)));
        let rest = add_up(rest, self.second.error_bound());
        let roots: Vec<f64> = factors.iter().map(|d| d.sqrt()).collect();
        let Some(scaled) = self.first.rows_scaled(&roots, 1) else {
            return Ok(None);
        };
        let norm = scaled.norm(options, Slack::None)?.get();
        let norm = add_up(norm, mul_up(sqrt_up(largest), lost_a));
        let steep = add_up(mul_up(norm, norm), -1.0).max(1.0);
        let first = self.first.kernel();
        let first = scale_up(add_up(magnitude(first), first.lost()), first.exponent());
        Ok(Some(Upper::claim(add_up(steep, mul_up(rest, first)))))
    }

    /// Of every entry of A its row, itself and the entry of B in its place in Aᵀ; `None` where B has not
    /// the geometry of Aᵀ.
    fn pairs(&self) -> Option<Vec<(usize, f64, f64)>> {
        let (first, second) = (self.first.kernel(), self.second.kernel());
        let ranges = [first, second].map(|kernel| EXPONENTS.contains(&kernel.exponent()));
        if ranges != [true, true] {
            return None;
        }
        // A is known exactly; what B is off by is part of what is left.
        if self.first.error_bound() > 0.0 {
            return None;
        }
        let (a, b) = (first.values(), second.values());
        let each = a.len() / first.shape()[0];
        let conv = self.first.conv();
        if conv.axes() == 0 {
            let [rows, cols] = [first.shape()[0], first.shape()[1]];
            let pair = |i: usize| (i / cols, a[i], b[i % cols * rows + i / cols]);
            return (second.shape() == [cols, rows]).then(|| (0..a.len()).map(pair).collect());
        }
        let other = self.second.conv();
        let fits = !conv.transposed
            && other.transposed
            && conv.padding_mode == PaddingMode::Zeros
            && other.padding_mode == PaddingMode::Zeros
            && conv.stride.iter().chain(&other.stride).all(|&s| s == 1)
            && other.output_padding.iter().all(|&p| p == 0)
            && (conv.groups, &conv.padding, &conv.dilation)
                == (other.groups, &other.padding, &other.dilation)
            && first.shape() == second.shape();
        fits.then(|| (0..a.len()).map(|i| (i / each, a[i], b[i])).collect())
    }
}
