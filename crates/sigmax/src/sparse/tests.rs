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
