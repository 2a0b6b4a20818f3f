//! Many random layers, every bound against the dense oracle. Slow, hence ignored; CONTRIBUTING
//! has the command.

use std::sync::atomic::{AtomicU64, Ordering};

use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use rayon::prelude::*;

use crate::cases::layer;
use crate::curvature_laws::{check_curvature, check_gradient, check_tangents, check_tightness};
use crate::graphs::Kinds;
use crate::laws::{check_layer, feasible};
use crate::network_laws::{check_certificates, check_error, check_matrices, check_pairs};

/// Layers checked, unless the environment variable `SIGMAX_SOAK` says otherwise.
const LAYERS: u64 = 200_000;
/// Layers that share a random seed.
const CHUNK: u64 = 500;

#[test]
#[ignore = "about half an hour"]
fn no_bound_is_ever_below_the_oracle() {
    let layers = std::env::var("SIGMAX_SOAK").map_or(LAYERS, |text| {
        text.parse().expect("SIGMAX_SOAK is a number")
    });
    let checked = AtomicU64::new(0);
    (0..layers.div_ceil(CHUNK))
        .into_par_iter()
        .for_each(|part| {
            let mut seed = [7u8; 32];
            seed[..8].copy_from_slice(&part.to_le_bytes());
            let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &seed);
            let mut runner = TestRunner::new_with_rng(Config::default(), rng);
            let strategy = layer();
            for index in 0..CHUNK.min(layers - part * CHUNK) {
                let layer = strategy.new_tree(&mut runner).unwrap().current();
                let tolerance = [1e-1, 1e-2, 1e-3, 1e-4][index as usize % 4];
                check_layer(&layer, feasible(&layer, tolerance));
                let checked = checked.fetch_add(1, Ordering::Relaxed) + 1;
                if checked.is_multiple_of(10_000) {
                    eprintln!("{checked} layers without a violation");
                }
            }
        });
    let checked = checked.into_inner();
    assert_eq!(checked, layers);
    eprintln!("{checked} layers without a violation: done");
}

/// Networks checked, unless the environment variable `SIGMAX_SOAK` says otherwise.
const NETWORKS: u64 = 200_000;

/// Random networks: pairs of points, Jacobians, matrices, errors of evaluation, certificates.
/// `SIGMAX_SEED` makes them other networks.
#[test]
#[ignore = "about half an hour"]
fn no_claim_about_a_network_is_wrong() {
    let number = |name: &str, default: u64| {
        std::env::var(name).map_or(default, |text| text.parse().expect("a number"))
    };
    let networks = number("SIGMAX_SOAK", NETWORKS);
    let base = number("SIGMAX_SEED", 0).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let (checked, certified) = (AtomicU64::new(0), AtomicU64::new(0));
    let useful = AtomicU64::new(0);
    (0..networks).into_par_iter().for_each(|i| {
        let seed = base.wrapping_add(i.wrapping_mul(0xD134_2543_DE82_EF95));
        check_pairs(seed);
        check_matrices(seed, [Kinds::Linear, Kinds::Algebraic][i as usize % 2]);
        useful.fetch_add(u64::from(check_error(seed)), Ordering::Relaxed);
        certified.fetch_add(check_certificates(seed) as u64, Ordering::Relaxed);
        let checked = checked.fetch_add(1, Ordering::Relaxed) + 1;
        if checked.is_multiple_of(2_000) {
            eprintln!("{checked} networks without a violation");
        }
    });
    assert_eq!(checked.into_inner(), networks);
    eprintln!(
        "{networks} networks without a violation: done; {} error bounds of use, {} radii attacked",
        useful.into_inner(),
        certified.into_inner()
    );
}

/// Random smooth networks: second differences, gradients, eigenvalues, certificates by tangents.
/// `SIGMAX_SEED` makes them other networks.
#[test]
#[ignore = "about half an hour"]
fn no_claim_about_curvature_is_wrong() {
    let number = |name: &str, default: u64| {
        std::env::var(name).map_or(default, |text| text.parse().expect("a number"))
    };
    let networks = number("SIGMAX_SOAK", CURVED);
    let base = number("SIGMAX_SEED", 0).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let [checked, bounded, tight, useful, certified] = [const { AtomicU64::new(0) }; 5];
    let count = |counter: &AtomicU64, more: u64| counter.fetch_add(more, Ordering::Relaxed) + more;
    (0..networks).into_par_iter().for_each(|i| {
        let seed = base.wrapping_add(i.wrapping_mul(0xD134_2543_DE82_EF95));
        let kinds = [Kinds::SmoothOnce, Kinds::Smooth][i as usize % 2];
        count(&bounded, u64::from(check_curvature(seed, kinds)));
        count(&useful, u64::from(check_gradient(seed, Kinds::Smooth)));
        count(&tight, u64::from(check_tightness(seed) == Some(true)));
        count(&certified, check_tangents(seed, kinds) as u64);
        let checked = count(&checked, 1);
        if checked.is_multiple_of(500) {
            eprintln!("{checked} smooth networks without a violation");
        }
    });
    eprintln!(
        "{networks} smooth networks without a violation: done; {} bounds, {} of one layer tight, {} \
         gradients of use, {} radii by tangents",
        bounded.into_inner(),
        tight.into_inner(),
        useful.into_inner(),
        certified.into_inner()
    );
}

/// Smooth networks checked, unless the environment variable `SIGMAX_SOAK` says otherwise.
const CURVED: u64 = 10_000;
