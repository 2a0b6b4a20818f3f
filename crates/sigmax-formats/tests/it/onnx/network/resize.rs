//! Resize and Upsample.

use super::{assert_constant, at, one, reason, shape, values};
use crate::proto::{Message, f32s, float, int, list, node, tensor, text};

fn scales(name: &str, values: [f32; 3]) -> Message {
    tensor(name, 1, &[3], &f32s(&values))
}

#[test]
fn nearest_pixels() {
    let double = scales("s", [1.0, 1.0, 2.0]);
    let mode = text("nearest_mode", "floor");
    for coordinates in ["half_pixel", "asymmetric", "pytorch_half_pixel"] {
        let attributes = [
            text("coordinate_transformation_mode", coordinates),
            mode.clone(),
        ];
        let found = one(
            &[-1, 1, 3],
            std::slice::from_ref(&double),
            "Resize",
            "x _ s",
            &attributes,
        )
        .unwrap();
        assert_eq!(shape(&found), [1, 6]);
    }
    let found = one(
        &[-1, 1, 3],
        std::slice::from_ref(&double),
        "Resize",
        "x _ s",
        &[],
    )
    .unwrap();
    assert_constant(&found, 2f64.sqrt());
    let nodes = [node("Upsample", "x s", "y", &[])];
    let found = at(9, &[-1, 1, 3], &[double], &nodes, &["y"])
        .network()
        .unwrap();
    assert_constant(&found, 2f64.sqrt());
    // As an attribute, one field per number or all in one.
    let apart = [1.0, 1.0, 2.0]
        .iter()
        .fold(Message::new(), |m, &s| m.float(7, s));
    let packed = Message::new().bytes(7, &f32s(&[1.0, 1.0, 2.0]));
    for numbers in [apart, packed] {
        let attribute =
            Message([Message::new().text(1, "scales").int(20, 6).0, numbers.0].concat());
        let nodes = [node("Upsample", "x", "y", &[attribute])];
        let found = at(7, &[-1, 1, 3], &[], &nodes, &["y"]).network().unwrap();
        assert_eq!(shape(&found), [1, 6]);
    }
}

#[test]
fn linear_interpolation() {
    let sizes = list("n", &[1, 1, 5]);
    for coordinates in [
        "half_pixel",
        "align_corners",
        "asymmetric",
        "half_pixel_symmetric",
    ] {
        let attributes = [
            text("mode", "linear"),
            text("coordinate_transformation_mode", coordinates),
        ];
        let found = one(
            &[1, 1, 3],
            std::slice::from_ref(&sizes),
            "Resize",
            "x _ _ n",
            &attributes,
        )
        .unwrap();
        assert_eq!(shape(&found), [1, 5]);
    }
    // An output of one pixel is the first one.
    let attributes = [
        text("mode", "linear"),
        text("coordinate_transformation_mode", "align_corners"),
    ];
    let one_pixel = list("n", &[1, 1, 1]);
    let found = one(&[1, 1, 3], &[one_pixel], "Resize", "x _ _ n", &attributes).unwrap();
    assert_constant(&found, 1.0);
}

/// The matrix of a Resize of one axis.
fn matrix(n: usize, m: usize, attributes: &[Message]) -> Vec<Vec<f64>> {
    let sizes = list("n", &[1, 1, m as i64]);
    let found = one(&[1, 1, n as i64], &[sizes], "Resize", "x _ _ n", attributes).unwrap();
    let columns: Vec<Vec<f64>> = (0..n)
        .map(|j| {
            let unit: Vec<f64> = (0..n).map(|i| f64::from(u8::from(i == j))).collect();
            values(&found.network, &unit)
        })
        .collect();
    (0..m)
        .map(|i| columns.iter().map(|column| column[i]).collect())
        .collect()
}

fn assert_rows(matrix: &[Vec<f64>], expected: &[&[f64]]) {
    assert_eq!(matrix.len(), expected.len());
    for (row, expected) in matrix.iter().zip(expected) {
        for (a, b) in row.iter().zip(*expected) {
            assert!((a - b).abs() < 1e-14, "{row:?} instead of {expected:?}");
        }
    }
}

#[test]
fn cubic_interpolation() {
    let cubic = text("mode", "cubic");
    // Positions −¼, ¼, ¾, …: W(¼), W(¾), W(1¼), W(1¾) for a = −¾.
    let w = [225.0, 67.0, -27.0, -9.0].map(|w| w / 256.0);
    assert!((w.iter().sum::<f64>() - 1.0).abs() < 1e-15);
    let found = matrix(4, 8, std::slice::from_ref(&cubic));
    assert_rows(
        &found[2..4],
        &[&[w[1] + w[3], w[0], w[2], 0.0], &[w[2], w[0], w[1], w[3]]],
    );
    // Copies of the first pixel lie to its left; without them the rest is divided by its sum.
    assert_rows(&found[..1], &[&[w[0] + w[1] + w[3], w[2], 0.0, 0.0]]);
    let without = matrix(4, 8, &[cubic.clone(), int("exclude_outside", 1)]);
    let rest = w[0] + w[2];
    assert_rows(&without[..1], &[&[w[0] / rest, w[2] / rest, 0.0, 0.0]]);
    // The other coefficient in use, a = −½: W(½) = 9/16, W(1½) = −1/16.
    let halves = matrix(4, 2, &[cubic, float("cubic_coeff_a", -0.5)]);
    let (near, far) = (9.0 / 16.0, -1.0 / 16.0);
    assert_rows(&halves[..1], &[&[near + far, near, far, 0.0]]);
}

#[test]
fn antialiasing_widens_where_an_axis_shrinks() {
    let linear = [text("mode", "linear"), int("antialias", 1)];
    // From ½, with the hat of radius 2: ¼, ¾, ¾, ¼, of which the first is a copy.
    let found = matrix(4, 2, &linear);
    assert_rows(
        &found,
        &[&[0.5, 0.375, 0.125, 0.0], &[0.0, 0.125, 0.375, 0.5]],
    );
    let inside = [
        linear[0].clone(),
        linear[1].clone(),
        int("exclude_outside", 1),
    ];
    let found = matrix(4, 2, &inside);
    assert_rows(
        &found,
        &[
            &[3.0 / 7.0, 3.0 / 7.0, 1.0 / 7.0, 0.0],
            &[0.0, 1.0 / 7.0, 3.0 / 7.0, 3.0 / 7.0],
        ],
    );
    let sizes = list("n", &[1, 1, 2]);
    let found = one(&[1, 1, 4], &[sizes], "Resize", "x _ _ n", &linear).unwrap();
    assert_constant(&found, 0.5f64.sqrt());
    // Where it grows nothing changes.
    let plain = matrix(3, 5, &linear[..1]);
    let rows: Vec<&[f64]> = plain.iter().map(Vec::as_slice).collect();
    assert_rows(&matrix(3, 5, &linear), &rows);
}

#[test]
fn what_is_not_covered() {
    for (scale, attributes, part) in [
        ([1.0, 1.0, 2.0], vec![text("mode", "spline")], "spline"),
        ([1.0, 1.0, 1.25], vec![text("mode", "linear")], "differ"),
        ([1.0, 1.0, 1.25], vec![], "differ"),
        ([1.0, 1.0, 2.0], vec![int("antialias", 1)], "nearest"),
        (
            [1.0, 1.0, 2.0],
            vec![text("mode", "linear"), int("exclude_outside", 1)],
            "exclude_outside",
        ),
        (
            [1.0, 1.0, 2.0],
            vec![text("mode", "cubic"), float("cubic_coeff_a", -3.0)],
            "scale 2",
        ),
        (
            [1.0, 1.0, 0.5],
            vec![
                text("mode", "cubic"),
                text("coordinate_transformation_mode", "pytorch_half_pixel"),
            ],
            "differ",
        ),
        (
            [1.0, 1.0, 2.0],
            vec![text("coordinate_transformation_mode", "tf_crop_and_resize")],
            "size",
        ),
        ([1.0, 1.0, 1.0 / 3.0], vec![], "size"),
        ([2.0, 1.0, 2.0], vec![], "batch"),
        (
            [1.0, 1.0, 2.0],
            vec![text("nearest_mode", "furthest")],
            "nearest_mode",
        ),
        (
            [1.0, 1.0, 2.0],
            vec![text("coordinate_transformation_mode", "polar")],
            "polar",
        ),
    ] {
        let result = one(
            &[4, 1, 3],
            &[scales("s", scale)],
            "Resize",
            "x _ s",
            &attributes,
        );
        let reason = reason(result);
        assert!(reason.contains(part), "{part}: {reason}");
    }
}
