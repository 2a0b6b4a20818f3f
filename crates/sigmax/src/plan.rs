//! Which method for this kernel, geometry, tolerance and budget: pure data, computed from shapes alone.

use crate::bound::bracket::Cell;
use crate::bound::circular::is_periodic;
use crate::bound::options::Options;
use crate::conv::Conv;
use crate::error::Error;
use crate::kernel::Kernel;
use crate::symbol::Lattice;

/// How the norm of a layer will be bracketed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Method {
    /// The kernel has one tap (per phase): the norm is that of one matrix per group.
    Matrix,
    /// Branch and bound over all frequencies.
    Lattice,
    /// Branch and bound over the frequencies of the periodic layer at its input size.
    Circular,
}

impl Method {
    /// A short name: `matrix`, `lattice`, `circular`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Matrix => "matrix",
            Self::Lattice => "lattice",
            Self::Circular => "circular",
        }
    }
}

/// What [`audit`](crate::audit) will do with a layer.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// How the norm will be bracketed.
    pub method: Method,
    /// Why that one.
    pub why: &'static str,
    /// Order of the symbol's Gram matrix: the smaller channel count of the polyphase kernel.
    pub order: usize,
    /// Number of groups, each an operator of its own.
    pub groups: usize,
    /// Taps per axis of the polyphase kernel.
    pub taps: Vec<usize>,
    /// Cells that cover the torus when the branch and bound starts, per group; symmetry saves half.
    pub first_cells: f64,
    /// Tolerances worked through in turn.
    pub passes: Vec<f64>,
    /// Floating-point operations of one test (one Cholesky factorisation and its set-up).
    pub operations_per_test: f64,
}

/// Plans a layer.
///
/// # Errors
/// [`Error`] where kernel and geometry do not fit.
///
/// # Example
/// ```
/// use sigmax::{Conv, Kernel, Method, Options, plan};
/// let kernel = Kernel::new(&[8, 4, 1, 1], vec![0.5; 32])?;
/// let plan = plan(&kernel, &Conv::new(2), &Options::default())?;
/// assert_eq!(plan.method, Method::Matrix);
/// # Ok::<(), sigmax::Error>(())
/// ```
pub fn plan(kernel: &Kernel, conv: &Conv, options: &Options) -> Result<Plan, Error> {
    let lattice = Lattice::new(kernel, conv)?;
    let (method, why) = if lattice.taps() == 1 {
        (
            Method::Matrix,
            "one tap per phase: the symbol is the same at every frequency",
        )
    } else if is_periodic(kernel, conv) {
        (
            Method::Circular,
            "circular padding at a known input size: the frequencies are a finite grid",
        )
    } else {
        (
            Method::Lattice,
            "the supremum over all frequencies bounds the layer at every input size",
        )
    };
    let order = lattice.rows.min(lattice.cols);
    let k: Vec<usize> = lattice.k.iter().copied().filter(|&k| k > 1).collect();
    let shifts = k.iter().map(|&k| 2 * k - 1).product::<usize>().div_ceil(2);
    let n = order as f64;
    Ok(Plan {
        method,
        why,
        order,
        groups: lattice.groups,
        first_cells: Cell::covering(&k),
        taps: lattice.k.clone(),
        passes: options.passes(order),
        operations_per_test: 2.0 * n * n * shifts as f64 + 4.0 / 3.0 * n * n * n,
    })
}
