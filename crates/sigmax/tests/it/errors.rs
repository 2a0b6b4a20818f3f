//! Why something is refused, as a program can tell and as a person reads it.

use sigmax::bound::circular_norm;
use sigmax::error::{Expected, Misfit, NotCovered, WrongShape};
use sigmax::network::{Activation, NetworkBuilder, Op, Pick, Pool, StatedBound, confirm_bounds};
use sigmax::weight::{Updates, Weight};
use sigmax::{Conv, Error, Kernel, Options, PaddingMode};

fn kernel(shape: &[usize]) -> Kernel {
    Kernel::new(shape, vec![0.5; shape.iter().product()]).unwrap()
}

fn check<T: std::fmt::Debug>(found: Result<T, Error>, expected: &Error, text: &str) {
    let error = found.unwrap_err();
    assert_eq!(&error, expected);
    assert_eq!(error.to_string(), text);
}

#[test]
fn what_is_not_covered_says_what_and_by_how_much() {
    let covered = |what: NotCovered| Error::NotCovered(what);
    check(
        circular_norm(&kernel(&[1, 1, 3]), &Conv::new(1), &Options::default()),
        &covered(NotCovered::CircularNorm),
        "not covered: the exact circular norm needs circular padding, a known input size that the \
         stride divides, and as many outputs as the periodic layer has",
    );
    let reflect = Conv::new(1)
        .transposed(&[0])
        .with_padding_mode(PaddingMode::Reflect);
    check(
        reflect.check(&kernel(&[1, 1, 3])),
        &covered(NotCovered::TransposedPadding { mode: "reflect" }),
        "not covered: reflect padding on a transposed convolution",
    );
    check(
        Weight::masked(&kernel(&[2, 2]), &[1.0; 3]),
        &covered(NotCovered::Entries {
            what: "the mask",
            got: 3,
            expected: Expected::Count(4),
        }),
        "not covered: the mask has 3 entries; expected 4",
    );
    check(
        Weight::masked(&kernel(&[1, 1]), &[f64::INFINITY]),
        &covered(NotCovered::NotFinite {
            what: "the mask",
            value: f64::INFINITY,
        }),
        "not covered: the mask has an entry inf; every entry must be finite",
    );
    let update = |a: &[f64], b: &[f64]| Weight::low_rank_update(&kernel(&[2, 3]), a, b, 1, 1.0);
    check(
        update(&[0.0; 2], &[0.0; 2]),
        &covered(NotCovered::Entries {
            what: "A",
            got: 2,
            expected: Expected::Matrix { rows: 1, cols: 3 },
        }),
        "not covered: A has 2 entries; expected 1×3",
    );
    check(
        update(&[0.0; 3], &[0.0; 3]),
        &covered(NotCovered::Entries {
            what: "B",
            got: 3,
            expected: Expected::Matrix { rows: 2, cols: 1 },
        }),
        "not covered: B has 3 entries; expected 2×1",
    );
    check(
        update(&[f64::NAN; 3], &[0.0; 2]),
        &covered(NotCovered::UpdateNotFinite),
        "not covered: α/r, A or B has an entry that is not finite",
    );
    let spectral =
        |u: &[f64], v: &[f64]| Weight::spectral_norm(&kernel(&[2, 3]), u, v, Updates::None);
    check(
        spectral(&[1.0], &[1.0]),
        &covered(NotCovered::NoAxis {
            u: 1,
            v: 1,
            shape: vec![2, 3],
        }),
        "not covered: u and v have 1 and 1 entries, which fit no axis of the shape [2, 3]",
    );
    check(
        spectral(&[1.0, -1.0], &[1.0, 0.0, 0.0]),
        &covered(NotCovered::ZeroSigma),
        "not covered: uᵀMv is not bounded away from 0, and the weight is divided by it",
    );
    check(
        Weight::power_step(&kernel(&[2, 3]), &[1.0]),
        &covered(NotCovered::Entries {
            what: "u",
            got: 1,
            expected: Expected::Rows(2),
        }),
        "not covered: u has 1 entries; expected 2, one per row",
    );
    check(
        Weight::power_step(&kernel(&[2, 3]), &[1.0, -1.0]),
        &covered(NotCovered::Short {
            vector: "Mᵀu",
            least: 1e-3,
        }),
        "not covered: ‖Mᵀu‖ is not proved to be above 0.001, where what is added to it before the \
         division matters",
    );
    check(
        Weight::weight_norm(&kernel(&[2, 3]), &[1.0; 3], Some(0)),
        &covered(NotCovered::Entries {
            what: "g",
            got: 3,
            expected: Expected::Slices {
                axis: 0,
                shape: vec![2, 3],
            },
        }),
        "not covered: g has 3 entries; expected one per slice along axis 0 of [2, 3]",
    );
    let zero = Kernel::new(&[2, 1], vec![1.0, 0.0]).unwrap();
    check(
        Weight::weight_norm(&zero, &[1.0; 2], Some(0)),
        &covered(NotCovered::ZeroSlice),
        "not covered: v is 0 in a slice, and the weight is divided by its length",
    );
}

#[test]
fn a_node_that_does_not_fit_says_where_and_why() {
    let node = |node: &str, reason| Error::Node {
        node: node.to_owned(),
        reason,
    };
    let mut net = NetworkBuilder::new(&[2, 5]).unwrap();
    let input = net.input();
    let mut add = |name: &str, op: Op| net.add(name, op, &[input]);
    check(
        add("d", Op::dense(kernel(&[3, 4]))),
        &node(
            "d",
            Misfit::LastAxis {
                got: 5,
                expected: 4,
            },
        ),
        "node \"d\": its input has 5 entries on the last axis; its weight needs 4",
    );
    check(
        add("c", Op::conv(kernel(&[1, 3, 1]), Conv::new(1))),
        &node(
            "c",
            Misfit::Channels {
                got: 2,
                expected: 3,
            },
        ),
        "node \"c\": its input has 2 channels; its weight needs 3",
    );
    check(
        add("p", Op::MaxPool(Pool::new(&[6]))),
        &node(
            "p",
            Misfit::NoWindow {
                pixels: 5,
                axis: 0,
                extent: 6,
            },
        ),
        "node \"p\": 5 pixels on axis 0 give no window of 6",
    );
    let pick = Pick::reshape(&[10], &[5, 2]).unwrap();
    check(
        add("r", Op::Pick(pick)),
        &node(
            "r",
            Misfit::PickInput {
                expected: vec![10],
                got: vec![2, 5],
            },
        ),
        "node \"r\": made for an input of shape [10], got [2, 5]",
    );
    // What is wrong whatever the network is.
    let alpha = Activation::Celu { alpha: -1.0 };
    check(
        add("a", Op::Activation(alpha)),
        &Error::Layer {
            node: "a".to_owned(),
            source: Box::new(alpha.check().unwrap_err()),
        },
        "node \"a\": alpha: expected a positive number for Celu, got -1",
    );
    check(
        add(
            "s",
            Op::conv(kernel(&[1, 2, 1]), Conv::new(1).with_stride(&[0])),
        ),
        &Error::Layer {
            node: "s".to_owned(),
            source: Box::new(Error::Geometry {
                field: "stride",
                expected: "values of at least 1".to_owned(),
                got: "[0]".to_owned(),
            }),
        },
        "node \"s\": stride: expected values of at least 1, got [0]",
    );
    check(
        Pick::transpose(&[2, 5], &[0, 0]),
        &node(
            "transpose",
            Misfit::NoPermutation {
                axes: vec![0, 0],
                input: vec![2, 5],
            },
        ),
        "node \"transpose\": [0, 0] is no permutation of the axes of [2, 5]",
    );
    let net = net.finish(&[input]).unwrap();
    let stated = StatedBound {
        own: 1.0,
        through: 0.5,
        together_from: None,
    };
    check(
        confirm_bounds(&net, &[stated]),
        &node(
            "input",
            Misfit::NotConfirmed {
                what: "the constant from the input to it",
                value: 0.5,
            },
        ),
        "node \"input\": the constant from the input to it is stated as 0.5, which is not confirmed",
    );
}

#[test]
fn a_shape_that_is_no_weight_says_what_is_wrong_with_it() {
    for (shape, reason, text) in [
        (
            &[3][..],
            WrongShape::Rank,
            "kernel shape [3]: expected 2 channel axes and 0 to 3 spatial axes",
        ),
        (
            &[3, 0],
            WrongShape::Empty,
            "kernel shape [3, 0]: every axis must be at least 1 long",
        ),
        (
            &[usize::MAX, 2],
            WrongShape::TooLarge,
            "kernel shape [18446744073709551615, 2]: the number of entries does not fit in memory",
        ),
    ] {
        let expected = Error::Shape {
            shape: shape.to_vec(),
            reason,
        };
        check(Kernel::new(shape, Vec::new()), &expected, text);
    }
}
