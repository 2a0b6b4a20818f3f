use super::*;
use crate::estimate::Operator;
use crate::krylov::quasi_random;

fn kernel(shape: &[usize], seed: u64) -> Kernel {
    Kernel::new(shape, quasi_random(shape.iter().product(), seed)).unwrap()
}

fn written_out(of: &Sparse) -> Vec<f64> {
    let mut matrix = vec![0.0; of.rows() * of.cols()];
    for row in 0..of.rows() {
        for (&c, &v) in of.columns(row).iter().zip(of.values(row)) {
            matrix[row * of.cols() + c as usize] = ldexp(v, of.exponent());
        }
    }
    matrix
}

fn layer(seed: u64) -> (Kernel, Conv) {
    let conv = Conv::new(2)
        .with_padding(&[(1, 2), (0, 1)])
        .with_input_size(&[5, 4]);
    (kernel(&[3, 2, 3, 2], seed), conv)
}

#[test]
fn maps_and_their_transposes() {
    let (kernel, conv) = layer(1);
    let operator = Operator::new(&kernel, &conv).unwrap();
    let sparse = Sparse::of_layer(&kernel, &conv).unwrap();
    assert_eq!(written_out(&sparse), operator.matrix());
    assert!(sparse.slack() <= 0.0 && sparse.len() <= sparse.rows() * 12);
    let (x, y) = (
        quasi_random(sparse.cols(), 2),
        quasi_random(sparse.rows(), 3),
    );
    let close = |a: &[f64], b: &[f64]| {
        a.len() == b.len()
            && a.iter()
                .zip(b)
                .all(|(a, b)| (ldexp(*a, sparse.exponent()) - b).abs() < 1e-13)
    };
    assert!(close(&sparse.apply(&x), &operator.apply(&x)));
    assert!(close(
        &sparse.apply_transposed(&y),
        &operator.apply_transpose(&y)
    ));
    let transposed = sparse.transpose();
    assert_eq!(transposed.apply(&y), sparse.apply_transposed(&y));
    assert_eq!(written_out(&transposed.transpose()), operator.matrix());
}

/// Products of integers are exact: whatever the slack says, the entries are right, and of a product of
/// rounded entries the slack says enough.
#[test]
fn products_are_those_of_the_matrices() {
    let (first, conv) = layer(4);
    let inner = Sparse::of_layer(&first, &conv).unwrap();
    let mean = Conv::new(2)
        .with_groups(3)
        .with_stride(&[2, 2])
        .with_input_size(&[6, 4]);
    let pool =
        Sparse::of_layer(&Kernel::new(&[3, 1, 2, 2], vec![0.25; 12]).unwrap(), &mean).unwrap();
    assert_eq!(pool.cols(), inner.rows());
    let both = pool.product(&inner).unwrap();
    assert_eq!(both.col_image(), inner.col_image());
    let (a, b, c) = (written_out(&pool), written_out(&inner), written_out(&both));
    let (rows, middle, cols) = (pool.rows(), pool.cols(), inner.cols());
    let mut apart = 0.0f64;
    for i in 0..rows {
        for j in 0..cols {
            let sum: f64 = (0..middle)
                .map(|k| a[i * middle + k] * b[k * cols + j])
                .sum();
            apart = apart.max((sum - c[i * cols + j]).abs());
        }
    }
    let slack = scale_up(both.slack(), both.exponent());
    assert!(
        apart < 1e-15 && slack > 0.0 && slack < 1e-13,
        "{apart} {slack}"
    );
}

/// 3·(1/3 rounded) − 1 is not 0: the slack of factors is in that of products.
#[test]
fn slack_is_carried_on() {
    let line = Image::line(2);
    let rows = |a: f64| vec![vec![(0, a), (1, 1.0)], vec![(1, a)]];
    let plain = Sparse::from_rows(line, line, rows(0.1));
    assert!(plain.slack() <= 0.0);
    let scaled = plain.scaled_rows(&[0.3, -7.0]);
    assert!(scaled.slack() > 1e-17 && scaled.slack() < 1e-14);
    let values = written_out(&scaled);
    assert!((values[0] - 0.03).abs() < 1e-16 && (values[3] + 0.7).abs() < 1e-15);
    let after = plain.product(&scaled).unwrap();
    assert!(
        ldexp(after.slack(), after.exponent()) > ldexp(0.09 * scaled.slack(), scaled.exponent())
    );
    let before = scaled.product(&plain).unwrap();
    assert!(
        ldexp(before.slack(), before.exponent()) > ldexp(0.9 * scaled.slack(), scaled.exponent())
    );
}

/// Rows of very different size with weights that make up for it.
#[test]
fn weights_are_as_wide_as_the_numbers() {
    let line = Image::line(2);
    let rows = vec![vec![(0, 1.0)], vec![(1, 1e-160)]];
    let sparse = Sparse::from_rows(line, line, rows);
    let weighted = sparse.weighted(&[1e-300, 1e19]);
    let values = written_out(&weighted);
    assert!((values[0] / 1e-150 - 1.0).abs() < 1e-14);
    assert!((values[3] / 10f64.sqrt() / 1e-151 - 1.0).abs() < 1e-14);
    assert!(weighted.slack() < 1e-14);
    let lower = scale_up(weighted.norm_lower(&[1.0, 0.0]), weighted.exponent());
    assert!(lower <= 1e-150 && lower > 0.999e-150);
}

#[test]
fn too_many_entries_are_refused_before_they_are_made() {
    let conv = Conv::new(2).with_input_size(&[4000, 4000]);
    let error = Sparse::of_layer(&kernel(&[16, 16, 3, 3], 1), &conv).unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("too large: the matrix of this layer"),
        "{error}"
    );
}
