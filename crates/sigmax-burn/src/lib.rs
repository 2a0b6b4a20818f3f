//! Differentiable bounds on the norms of convolution layers, for [Burn](burn).
//!
//! [`SpectralPenalty`] adds a term to the loss that keeps the norms of a model's layers small, for
//! well under 1 % of a ResNet-32's training step (docs/experiments.md): power iterations stay warm
//! from step to step, layers of one shape are computed together, and the gradient is written down
//! instead of traced.
//!
//! ```
//! use burn::nn::conv::{Conv2d, Conv2dConfig};
//! use burn::prelude::*;
//! use burn::optim::{GradientsParams, SgdConfig};
//! use sigmax::{Conv, Options};
//! use sigmax_burn::{SpectralPenaltyConfig, prove};
//!
//! #[derive(Module, Debug)]
//! struct Net {
//!     stem: Conv2d,
//!     blocks: Vec<Conv2d>,
//! }
//!
//! let device = Device::default().autodiff();
//! let mut net = Net {
//!     stem: Conv2dConfig::new([1, 4], [3, 3]).with_stride([2, 2]).init(&device),
//!     blocks: vec![Conv2dConfig::new([4, 4], [3, 3]).init(&device)],
//! };
//! // Strides are not visible from outside: without this line the bound is for any stride.
//! let config = SpectralPenaltyConfig::new()
//!     .with_geometry("stem", Conv::new(2).with_stride(&[2, 2]))
//!     .with_beta(1e-2);
//! let mut penalty = config.init(&net)?;
//! let mut optimizer = SgdConfig::new().init();
//! for _ in 0..3 {
//!     let images = Tensor::<4>::ones([2, 1, 8, 8], &device);
//!     let output = net.blocks[0].forward(net.stem.forward(images));
//!     let loss = output.square().mean() + penalty.step(&net)?.loss();
//!     let gradients = GradientsParams::from_grads(loss.backward(), &net);
//!     net = optimizer.step(0.1, net, gradients);
//! }
//! // Training sees estimates. What is proved comes from the core, for the weights as they are.
//! let estimates = penalty.evaluate(&net)?.layers();
//! let proved = prove(&net, config.layer_selection(), &Options::default())?;
//! assert_eq!(estimates[0].path, proved[0].layer().path);
//! assert!(proved[0].audit().upper() <= proved[0].audit().four().min());
//! # Ok::<(), sigmax_burn::Error>(())
//! ```
//!
//! What the other parts do:
//!
//! - [`Measure`] says what is penalised: one of the bounds, or an estimate of the norm itself that
//!   follows its peak frequency. [`Form`] says how the layers are summed up.
//! - [`CurvaturePenalty`] penalises the curvature of a network with one hidden layer.
//! - [`SpectralReparam`] divides the weights by what they exceed a target by, inside the forward
//!   pass; [`finish`] then rescales by what the core proves, so that every layer is at most its
//!   target for certain.
//! - [`prove`] hands the layers of a model to the core.
//!
//! # What is proved and what is not
//!
//! Everything that happens on tensors is power iteration in floating point: an
//! [`Estimate`](sigmax::Estimate), below what it estimates. Only [`prove`] and [`finish`] return
//! proved bounds.
//!
//! Theorem numbers (T1 …) refer to [`sigmax::theory`].
//!
//! # Features
//!
//! `cuda`, `vulkan`, `wgpu` and `x86-v4` are passed through to Burn. The tests of this crate run
//! on the CPU (`flex`); nothing is claimed for other devices.
#![cfg_attr(
    test,
    allow(clippy::unwrap_used, reason = "a panic is how a test fails")
)]

mod buffer;
mod config;
mod curvature;
mod error;
mod form;
mod geometry;
mod group;
mod layer;
mod linalg;
mod measure;
mod operator;
mod peak;
mod penalty;
mod prove;
mod reparam;
mod reshapes;
mod selection;
mod state;
mod tracked;
mod unfolding;
mod weighted;

pub use config::SpectralPenaltyConfig;
pub use curvature::CurvaturePenalty;
pub use error::Error;
pub use form::Form;
pub use geometry::LayerGeometry;
pub use layer::{Layer, LayerKind, layers};
pub use measure::Measure;
pub use penalty::{LayerEstimate, SpectralLoss, SpectralPenalty};
pub use prove::{ProvedLayer, finish, kernels, prove};
pub use reparam::{SpectralReparam, SpectralReparamConfig, SpectralScale};
pub use selection::LayerSelection;
