//! Resize and Upsample.

use super::{assert_constant, at, one, reason, shape};
use crate::proto::{Message, f32s, list, node, tensor, text};

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

#[test]
fn what_is_not_covered() {
    for (scale, attributes, part) in [
        ([1.0, 1.0, 2.0], vec![text("mode", "cubic")], "cubic"),
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
