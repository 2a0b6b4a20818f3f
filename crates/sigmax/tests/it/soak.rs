//! Many random layers, every bound against the dense oracle. Slow, hence ignored; CONTRIBUTING
//! has the command.

use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use rayon::prelude::*;

use crate::cases::layer;
use crate::laws::check_layer;

/// Layers checked, unless `SIGMAX_SOAK` says otherwise.
const LAYERS: u64 = 200_000;

#[test]
#[ignore = "many minutes"]
fn no_bound_is_ever_below_the_oracle() {
    let layers = std::env::var("SIGMAX_SOAK").map_or(LAYERS, |text| {
        text.parse().expect("SIGMAX_SOAK is a number")
    });
    let chunk = 500;
    (0..layers.div_ceil(chunk))
        .into_par_iter()
        .for_each(|part| {
            let mut seed = [7u8; 32];
            seed[..8].copy_from_slice(&part.to_le_bytes());
            let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &seed);
            let mut runner = TestRunner::new_with_rng(Config::default(), rng);
            let layers = layer();
            for index in 0..chunk.min(layers_left(part, chunk, LAYERS.max(1))) {
                let layer = layers.new_tree(&mut runner).unwrap().current();
                let tolerance = [1e-1, 1e-2, 1e-3, 1e-4][index as usize % 4];
                check_layer(&layer, tolerance);
            }
            if part % 20 == 0 {
                eprintln!("part {part}: {chunk} layers without a violation");
            }
        });
}

fn layers_left(part: u64, chunk: u64, total: u64) -> u64 {
    total.saturating_sub(part * chunk)
}
