//! Images as inputs of a model: which fit, in which order, and which are refused.

use png::{BitDepth, ColorType};
use sigmax::network::Channels::{self, First, Last};
use sigmax_formats::Images;
use sigmax_formats::images::{Inputs, Units};

use crate::images::{cifar, idx, npy, png_of, read, same, says};

/// `count` bytes that count from 0.
fn counting(count: u8) -> Vec<u8> {
    (0..count).collect()
}

/// A colour picture, 6 pixels high and 4 wide: sample c of pixel p is 3·p + c, so the order of its
/// bytes by pixels is that of the numbers.
fn picture() -> Images {
    let data = counting(72);
    let png = png_of([4, 6], ColorType::Rgb, BitDepth::Eight, &data);
    read(png, idx(&[1], &[0]))
}

/// An array of one image with this shape.
fn array(shape: &str) -> Images {
    read(
        npy("|u1", &format!("(1, {shape})"), &counting(72)),
        idx(&[1], &[0]),
    )
}

#[track_caller]
fn bytes(inputs: &Inputs) -> Vec<u8> {
    let bytes = inputs.bytes(0).unwrap().into_owned();
    let values: Vec<f64> = bytes.iter().map(|&b| f64::from(b) / 255.0).collect();
    same(&inputs.values(0), &values);
    bytes
}

#[track_caller]
fn refused(images: Images, input: &[usize], layout: Option<Channels>, parts: &[&str]) {
    let error = images.fit(input, layout).unwrap_err().to_string();
    says(&error, &["images: expected"]);
    says(&error, parts);
}

/// 0, 3, 6, …, 1, 4, 7, …: the planes of the picture.
fn planes() -> Vec<u8> {
    (0..3)
        .flat_map(|c| (0..24).map(move |p| 3 * p + c))
        .collect()
}

#[test]
fn pictures_are_transposed_for_channels_last() {
    let first = picture().fit(&[3, 6, 4], None).unwrap();
    assert_eq!(bytes(&first), planes());
    assert_eq!(first.fit().layout(), Some(First));
    let last = picture().fit(&[6, 4, 3], None).unwrap();
    assert_eq!(bytes(&last), counting(72));
    assert_eq!(last.fit().layout(), Some(Last));
    assert_eq!(last.fit().picture(), Some([3, 6, 4]));
    let text = last.fit().to_string();
    says(
        &text,
        &["height 6 and width 4", "[6, 4, 3] (hwc), transposed"],
    );
}

#[test]
fn cifar_records_are_transposed_for_channels_last() {
    let mut batch = cifar(&[7]);
    let red = 1;
    batch[red..red + 2].copy_from_slice(&[255, 100]);
    let images = Images::from_bytes(("images", batch), None, None).unwrap();
    let inputs = images.clone().fit(&[32, 32, 3], None).unwrap();
    let last = inputs.bytes(0).unwrap();
    assert_eq!(last[..7], [255, 7, 7, 100, 7, 7, 7]);
    let inputs = images.fit(&[3, 32, 32], None).unwrap();
    assert_eq!(inputs.bytes(0).unwrap()[..4], [255, 100, 7, 7]);
}

#[test]
fn height_and_width_are_not_swapped() {
    for input in [[3, 4, 6], [4, 6, 3], [6, 3, 4], [4, 3, 6]] {
        let both = ["[3, 6, 4] (chw)", "[6, 4, 3] (hwc)", "height 6 and width 4"];
        refused(picture(), &input, None, &both);
    }
    let grey = || read(idx(&[1, 6, 12], &counting(72)), idx(&[1], &[0]));
    for input in [&[1, 12, 6][..], &[12, 6, 1], &[12, 6], &[6, 1, 12], &[73]] {
        refused(
            grey(),
            input,
            None,
            &["height 6 and width 12", "[1, 6, 12]"],
        );
    }
    refused(
        array("6, 12"),
        &[1, 12, 6],
        None,
        &["[6, 12]", "[1, 12, 6]"],
    );
}

#[test]
fn one_channel_needs_no_layout() {
    for input in [&[1, 6, 12][..], &[6, 12, 1], &[6, 12], &[72], &[1, 72]] {
        let images = read(idx(&[1, 6, 12], &counting(72)), idx(&[1], &[0]));
        for images in [images, array("6, 12"), array("1, 6, 12"), array("6, 12, 1")] {
            let inputs = images.fit(input, None).unwrap();
            assert_eq!(bytes(&inputs), counting(72));
        }
    }
}

#[test]
fn arrays_fit_where_their_shapes_say_how() {
    for (shape, input) in [
        ("3, 6, 4", &[3, 6, 4][..]),
        ("6, 4, 3", &[6, 4, 3]),
        ("24, 3", &[24, 3]),
        ("72", &[72]),
        ("72", &[1, 72]),
    ] {
        let inputs = array(shape).fit(input, None).unwrap();
        assert_eq!(bytes(&inputs), counting(72));
        assert_eq!(
            (inputs.fit().layout(), inputs.fit().picture()),
            (None, None)
        );
    }
    let first = array("6, 4, 3").fit(&[3, 6, 4], None).unwrap();
    assert_eq!(bytes(&first), planes());
    assert_eq!(first.fit().layout(), Some(First));
    let last = array("3, 6, 4").fit(&[6, 4, 3], None).unwrap();
    let pixels: Vec<u8> = (0..24)
        .flat_map(|p| (0..3).map(move |c| 24 * c + p))
        .collect();
    assert_eq!(bytes(&last), pixels);
    assert_eq!(last.fit().picture(), Some([3, 6, 4]));
}

#[test]
fn arrays_with_as_many_entries_are_not_enough() {
    let both = ["arrays of shape [24, 3]", "[1, 24, 3]", "[24, 3, 1]"];
    for input in [&[3, 4, 6][..], &[4, 6, 3], &[3, 24], &[3, 1, 24]] {
        refused(array("24, 3"), input, None, &both);
    }
    refused(
        array("72"),
        &[3, 4, 6],
        None,
        &["[72]", "shape of the input"],
    );
    refused(array("72"), &[3, 24], None, &["[72]", "shape of the input"]);
    for input in [[4, 6, 3], [3, 4, 6], [6, 3, 4]] {
        refused(
            array("6, 4, 3"),
            &input,
            None,
            &["[6, 4, 3]", "[3, 6, 4] (chw, if", "[4, 3, 6] (hwc, if"],
        );
    }
    // The order of the channels is known of neither side.
    for layout in [None, Some(First), Some(Last)] {
        refused(array("3, 6, 4"), &[72], layout, &["neither", "flat"]);
    }
    refused(array("6, 4, 3"), &[72], None, &["neither", "flat"]);
}

#[test]
fn a_cube_and_a_flat_input_need_a_layout() {
    let pixels: Vec<u8> = counting(27);
    let planes: Vec<u8> = (0..3)
        .flat_map(|c| (0..9).map(move |p| 3 * p + c))
        .collect();
    let cube = || {
        let png = png_of([3, 3], ColorType::Rgb, BitDepth::Eight, &pixels);
        read(png, idx(&[1], &[0]))
    };
    for input in [&[3, 3, 3][..], &[27], &[1, 27]] {
        refused(cube(), input, None, &["chw", "hwc", "--layout"]);
        let first = cube().fit(input, Some(First)).unwrap();
        assert_eq!(bytes(&first), planes);
        let last = cube().fit(input, Some(Last)).unwrap();
        assert_eq!(bytes(&last), pixels);
    }
    // An array of just this shape is the input, whatever its axes are called.
    let array = || read(npy("|u1", "(1, 3, 3, 3)", &pixels), idx(&[1], &[0]));
    for layout in [None, Some(First), Some(Last)] {
        let inputs = array().fit(&[3, 3, 3], layout).unwrap();
        assert_eq!(bytes(&inputs), pixels);
        assert_eq!(inputs.fit().layout(), layout);
    }
}

#[test]
fn a_layout_that_the_shape_contradicts_is_refused() {
    for (input, layout) in [([3, 6, 4], Last), ([6, 4, 3], First)] {
        let name = layout.name();
        refused(
            picture(),
            &input,
            Some(layout),
            &[name, "height 6 and width 4"],
        );
        refused(array("72"), &input, Some(layout), &[name]);
    }
    refused(array("6, 4, 3"), &[3, 6, 4], Some(Last), &["(hwc)"]);
    refused(array("3, 6, 4"), &[6, 4, 3], Some(First), &["(chw)"]);
    refused(array("6, 12"), &[1, 6, 12], Some(Last), &["(hwc)"]);
}

#[test]
fn units_are_those_of_the_file() {
    assert_eq!(picture().units(), Units::Bytes);
    let word = png_of([1, 1], ColorType::Grayscale, BitDepth::Sixteen, &[1, 2]);
    assert_eq!(read(word, idx(&[1], &[0])).units(), Units::Words);
    let floats: Vec<u8> = [-0.5f32, 3.0, 255.0, 7.0]
        .iter()
        .flat_map(|v| v.to_le_bytes())
        .collect();
    let array = npy("<f4", "(2, 2)", &floats);
    let whole = read(array.clone(), idx(&[2], &[0, 1]));
    let units = |least, most| Units::Floats { least, most };
    assert_eq!(whole.units(), units(-0.5, 255.0));
    let labels = Some(("labels", idx(&[2], &[0, 1])));
    let one = Images::from_bytes(("images", array), labels, Some(1)).unwrap();
    assert_eq!(one.units(), units(-0.5, 3.0), "of the images that are read");
    assert_eq!(one.units().to_string(), "floats from -0.5 to 3");
}
