//! What benchmarks have in common.

/// Numbers in [−½, ½) that look random.
pub(crate) fn numbers(count: usize) -> Vec<f64> {
    let mut state = 1u64;
    let step = |_| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 11) as f64 / (1u64 << 53) as f64 - 0.5
    };
    (0..count).map(step).collect()
}
