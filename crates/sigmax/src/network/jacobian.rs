//! The norm of a network's Jacobian at a point, by power iteration through the graph.

use rayon::prelude::*;

use crate::claim::Estimate;
use crate::error::Error;
use crate::krylov;
use crate::network::eval::backward::differentials;
use crate::network::eval::forward::Forward;

/// Estimates the largest ‖J(x)‖₂ over the given inputs, J the Jacobian of the map from the input to
/// all outputs, by `steps` steps of power iteration at each.
///
/// The Lipschitz constant is the supremum of ‖J(x)‖₂ over all x, so this shows from below, without
/// proof, how loose a proved upper bound may be.
///
/// # Errors
/// As [`Forward::evaluate`].
///
/// # Example
/// ```
/// use sigmax::network::{Activation, Forward, NetworkBuilder, Op, jacobian_norm, lipschitz};
/// use sigmax::{Kernel, Options};
/// let mut net = NetworkBuilder::new(&[2])?;
/// let kernel = Kernel::new(&[2, 2], vec![3.0, 0.0, 0.0, 4.0])?;
/// let y = net.add("dense", Op::dense(kernel), &[net.input()])?;
/// let y = net.add("relu", Op::Activation(Activation::Relu), &[y])?;
/// let net = net.finish(&[y])?;
/// let bounds = lipschitz(&net, &Options::default())?;
/// let forward = Forward::new(&bounds)?;
/// let norm = jacobian_norm(&forward, &[1.0, -1.0], 20)?.get(); // the second unit is off
/// assert!((norm - 3.0).abs() < 1e-9 && bounds.upper().get() >= 4.0);
/// # Ok::<(), sigmax::Error>(())
/// ```
pub fn jacobian_norm(forward: &Forward, inputs: &[f64], steps: usize) -> Result<Estimate, Error> {
    let length = forward.network().input().len();
    let norms: Vec<f64> = differentials(forward, inputs)?
        .par_iter()
        .map(|differential| {
            let mut v = krylov::quasi_random(length, 3);
            let mut norm = 0.0;
            for _ in 0..steps {
                krylov::normalise(&mut v);
                let u = differential.apply(&v);
                norm = krylov::dot(&u, &u).sqrt();
                v = differential.apply_transpose(&u);
            }
            norm
        })
        .collect();
    Ok(Estimate::new(norms.into_iter().fold(0.0, f64::max)))
}
