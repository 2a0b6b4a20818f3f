//! Networks: a graph of layers, its Lipschitz constant, its values with a proved error, and radii
//! inside which a classification cannot change.
//!
//! [`Network`] is a graph that was checked when it was built. [`lipschitz`] bounds the map from its
//! input to every node; [`Forward`] evaluates it in f64 with a bound of the error of every value;
//! [`Certifier`] puts both together. The rules are T21 to T29 of `docs/theory.md`.

mod bounds;
mod builder;
mod certificate;
mod certify;
mod check;
mod curvature;
mod eval;
mod gradient;
mod graph;
mod hessian;
mod jacobian;
mod last_layer;
mod lipschitz;
mod local;
mod logits;
mod op;
mod rule;
mod second_order;
mod tangent;

pub use bounds::{Lipschitz, NodeBound, Rule};
pub use builder::NetworkBuilder;
pub use certificate::{Certificate, Method};
pub use certify::{Arithmetic, Certifier};
pub use check::{StatedBound, confirm_bounds, confirm_bounds_until};
pub use curvature::{Curvature, CurvatureRule, curvature, curvature_by_four_bounds};
pub use eval::forward::{Evaluated, Forward};
pub use gradient::Gradient;
pub use graph::{Network, Node, NodeId};
pub use hessian::{Hessian, LogitHessian, hessian, hessian_norms};
pub use jacobian::jacobian_norm;
pub use lipschitz::{lipschitz, lipschitz_with_audits};
pub use local::slopes::Slopes;
pub use local::{Distances, Limits};
pub use op::Op;
pub use op::activation::Activation;
pub use op::activation::curvature::NoCurvature;
pub use op::affine::{Affine, PerEntry};
pub use op::axis::{AxisMatrix, Filter, Interpolation};
pub use op::channels::Channels;
pub use op::fold::Fold;
pub use op::normalisation::Normalisation;
pub use op::pick::Pick;
pub use op::pool::Pool;
pub use op::separable::Separable;
pub use rule::slack::CERTIFICATE_SLACK;
pub use tangent::Tangent;
pub use tangent::search::Effort;
