//! Many random layers, every bound against the dense oracle. Slow, hence ignored; CONTRIBUTING
//! has the command.

use std::sync::atomic::{AtomicU64, Ordering};

use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use rayon::prelude::*;

use crate::cases::layer;
use crate::laws::{check_layer, feasible};

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
