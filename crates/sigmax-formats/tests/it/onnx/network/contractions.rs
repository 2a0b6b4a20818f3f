//! Einsum, and MatMul with a batch of matrices (T45).

use super::{at, blockers, constant, one, reason, values};
use crate::onnx::{graph, read};
use crate::proto::{Message, counting, f32s, model, node, tensor, text};
use sigmax::bound::dense_norm;
use sigmax::{Conv, Kernel};
use sigmax_formats::NetworkModel;

/// Entries that are neither symmetric nor equal.
fn entries(count: usize) -> Vec<f32> {
    let entry = |i: usize| ((i * i * 7 + i * 13 + 5) % 19) as f32 / 8.0 - 1.0;
    (0..count).map(entry).collect()
}

fn weight(dims: &[i64]) -> Message {
    let count = dims.iter().product::<i64>() as usize;
    tensor("w", 1, dims, &f32s(&entries(count)))
}

/// The sum over all letters that the result lacks, entry by entry.
fn einsum(equation: &str, inputs: [(&[i64], &[f64]); 2]) -> Vec<f64> {
    let (terms, output) = equation.split_once("->").unwrap();
    let terms: Vec<&str> = terms.split(',').collect();
    let mut letters: Vec<(char, usize)> = Vec::new();
    for (term, (dims, _)) in terms.iter().zip(inputs) {
        for (letter, &n) in term.chars().zip(dims) {
            if !letters.contains(&(letter, n as usize)) {
                letters.push((letter, n as usize));
            }
        }
    }
    let length = |c: char| letters.iter().find(|letter| letter.0 == c).unwrap().1;
    let place = |term: &str, at: &[usize]| {
        term.chars().fold(0, |flat, c| {
            let index = letters.iter().position(|letter| letter.0 == c).unwrap();
            flat * length(c) + at[index]
        })
    };
    let mut out = vec![0.0; output.chars().map(length).product()];
    for mut flat in 0..letters.iter().map(|letter| letter.1).product::<usize>() {
        let mut at = vec![0; letters.len()];
        for (at, letter) in at.iter_mut().zip(&letters) {
            (*at, flat) = (flat % letter.1, flat / letter.1);
        }
        out[place(output, &at)] +=
            inputs[0].1[place(terms[0], &at)] * inputs[1].1[place(terms[1], &at)];
    }
    out
}

/// Values are those of the sums, and the constant is the norm of the whole matrix.
#[track_caller]
fn assert_is(found: &NetworkModel, equation: &str, x: &[i64], w: &[i64]) {
    let count = |dims: &[i64]| dims.iter().product::<i64>() as usize;
    let weight: Vec<f64> = entries(count(w)).into_iter().map(f64::from).collect();
    let expected = |point: &[f64]| einsum(equation, [(x, point), (w, &weight)]);
    let point: Vec<f64> = (0..count(x)).map(|i| 0.25 * i as f64 - 1.5).collect();
    for (value, expected) in values(&found.network, &point).iter().zip(expected(&point)) {
        assert!(
            (value - expected).abs() < 1e-12,
            "{equation}: {value}, {expected}"
        );
    }
    let n = count(x);
    let unit = |j: usize| -> Vec<f64> { (0..n).map(|i| f64::from(u8::from(i == j))).collect() };
    let columns: Vec<Vec<f64>> = (0..n).map(|j| expected(&unit(j))).collect();
    let flat: Vec<f64> = columns.concat();
    let matrix = Kernel::new(&[n, columns[0].len()], flat).unwrap();
    let norm = dense_norm(&matrix, &Conv::new(0)).unwrap().upper().get();
    let upper = constant(&found.network);
    assert!(
        (norm * (1.0 - 1e-9)..=norm * (1.0 + 1e-5)).contains(&upper),
        "{equation}: {upper} for {norm}"
    );
}

#[test]
fn equations() {
    for (equation, x, w) in [
        ("bi,oi->bo", &[1, 4][..], &[3, 4][..]),
        ("bij,jk->bik", &[1, 3, 4], &[4, 2]),
        ("bij,kj->bki", &[1, 3, 4], &[2, 4]),
        // Heads, in several orders.
        ("bhsd,hde->bhse", &[1, 2, 3, 4], &[2, 4, 3]),
        ("bshd,hde->bshe", &[1, 3, 2, 4], &[2, 4, 3]),
        ("bshd,hde->bse", &[1, 3, 2, 4], &[2, 4, 3]),
        ("bse,hde->bhsd", &[1, 3, 4], &[2, 5, 4]),
        ("bhwc,hkw->bkhc", &[1, 2, 3, 2], &[2, 4, 3]),
        // One number for each entry, or for each place along an axis.
        ("bij,ij->bij", &[1, 2, 3], &[2, 3]),
        ("bij,i->bji", &[1, 2, 3], &[2]),
        ("bij,i->bj", &[1, 2, 3], &[2]),
        ("bij,k->bkij", &[1, 2, 3], &[2]),
    ] {
        let attribute = text("equation", equation);
        let found = one(x, &[weight(w)], "Einsum", "x w", &[attribute]).unwrap();
        assert_is(&found, equation, x, w);
        // The constant first.
        let (terms, output) = equation.split_once("->").unwrap();
        let (first, second) = terms.split_once(',').unwrap();
        let turned = text("equation", &format!(" {second}, {first} -> {output}"));
        let found = one(x, &[weight(w)], "Einsum", "w x", &[turned]).unwrap();
        assert_is(&found, equation, x, w);
    }
    // `...`, and a result that is left out.
    for (stated, equation, x, w) in [
        (
            "...ij,jk->...ik",
            "abij,jk->abik",
            &[1, 2, 3, 4][..],
            &[4, 2][..],
        ),
        ("b...j,j...->b...", "bcj,jc->bc", &[1, 2, 3], &[3, 2]),
        ("bij,jk", "bij,jk->bik", &[1, 3, 4], &[4, 2]),
        ("...j,kj", "abj,kj->abk", &[1, 3, 4], &[2, 4]),
    ] {
        let found = one(
            x,
            &[weight(w)],
            "Einsum",
            "x w",
            &[text("equation", stated)],
        )
        .unwrap();
        assert_is(&found, equation, x, w);
    }
}

#[test]
fn einsum_of_the_data_alone() {
    let point = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
    for (equation, expected) in [
        ("bij->bji", &[1.0, 4.0, 2.0, 5.0, 3.0, 6.0][..]),
        ("bij->bi", &[6.0, 15.0]),
        ("b...j->bj...", &[1.0, 4.0, 2.0, 5.0, 3.0, 6.0]),
    ] {
        let found = one(
            &[1, 2, 3],
            &[],
            "Einsum",
            "x",
            &[text("equation", equation)],
        )
        .unwrap();
        assert_eq!(values(&found.network, &point), expected);
    }
}

#[test]
fn a_batch_of_matrices() {
    for (inputs, equation, x, w) in [
        ("x w", "bhsk,hkm->bhsm", &[1, 2, 3, 4][..], &[2, 4, 5][..]),
        ("w x", "bhks,hmk->bhms", &[1, 2, 4, 3], &[2, 5, 4]),
        // The axis of length 1 stands for all.
        ("x w", "bahsk,hkm->bahsm", &[1, 3, 2, 2, 4], &[2, 4, 5]),
        ("x w", "bhask,hkm->bhasm", &[1, 2, 3, 2, 4], &[2, 4, 5]),
    ] {
        let stated = match equation {
            "bhask,hkm->bhasm" => vec![2, 1, 4, 5],
            _ => w.to_vec(),
        };
        let found = one(x, &[weight(&stated)], "MatMul", inputs, &[]).unwrap();
        assert_is(&found, equation, x, w);
        let leading = [&[1][..], &stated].concat();
        if leading.len() <= x.len() {
            let found = one(x, &[weight(&leading)], "MatMul", inputs, &[]).unwrap();
            assert_is(&found, equation, x, w);
        }
    }
}

#[test]
fn the_layer_is_a_convolution_with_groups() {
    let nodes = [node("MatMul", "x w", "y", &[])];
    let model = at(17, &[1, 2, 3, 4], &[weight(&[2, 4, 5])], &nodes, &["y"]);
    let layer = &model.layers[0];
    assert_eq!(
        (layer.shape.clone(), layer.conv.groups),
        (vec![10, 4, 1], 2)
    );
    assert!(layer.notes[0].contains("2 matrices"), "{:?}", layer.notes);
    model.read_kernel(layer).unwrap();
}

#[test]
fn what_is_not_followed() {
    let equation = |text_: &str| vec![text("equation", text_)];
    for (x, w, attributes, part) in [
        (&[2, 3][..], &[2, 3][..], equation("bi,bj->ij"), "batch"),
        (&[2, 3, 4], &[3, 4], equation("bij,ij->jb"), "batch"),
        (&[1, 3, 3], &[3], equation("bii,i->bi"), "diagonal"),
        (&[1, 3, 4], &[4, 2], equation("bij,jk->bk"), "sums its data"),
        (
            &[1, 3, 4],
            &[4, 2],
            equation("bij,jk->bij"),
            "sums the constant",
        ),
        (
            &[1, 3, 1],
            &[4, 2],
            equation("bij,jk->bik"),
            "has 1 entries",
        ),
    ] {
        let result = one(x, &[weight(w)], "Einsum", "x w", &attributes);
        let reason = reason(result);
        assert!(reason.contains(part), "{part}: {reason}");
    }
    for (x, w, part) in [
        // The one of its data would be repeated.
        (&[1, 1, 3, 4][..], &[2, 4, 5][..], "has 1 entries"),
        (&[2, 3, 4], &[2, 4, 5], "batch"),
        (&[-1, 3, 4], &[2, 4, 5], "is not known"),
        (&[1, 3, 4], &[2, 1, 4, 5], "more axes"),
    ] {
        let reason = reason(one(x, &[weight(w)], "MatMul", "x w", &[]));
        assert!(reason.contains(part), "{part}: {reason}");
    }
    for (stated, part) in [
        ("bij,jk,k->bik", "3 terms for 2"),
        ("bij,jk->bil", "no input"),
        ("bi,jk->bik", "does not fit"),
        ("b1j,jk->bik", "letters"),
        ("b..j,jk->bik", "letters"),
        ("", "1 terms for 2"),
    ] {
        let nodes = [node("Einsum", "x w", "y", &[text("equation", stated)])];
        let file = graph(&[1, 3, 4], &[weight(&[4, 2])], &nodes);
        let error = read(&model(17, &file)).unwrap_err().to_string();
        assert!(
            error.contains(part) && error.contains("Einsum"),
            "{part}: {error}"
        );
    }
    let twice = [counting("v", &[2, 2]), counting("w", &[2, 2])];
    let three = text("equation", "bi,ij,jk->bk");
    let blockers = blockers(one(&[1, 2], &twice, "Einsum", "x v w", &[three]));
    assert!(
        blockers[0].reason.contains("3 inputs"),
        "{}",
        blockers[0].reason
    );
}
