//! Which nodes are layers, with which weights.

use sigmax::Options;
use sigmax_formats::{GeometrySource, LayerKind, Model};

use super::{assert_kernel, error, graph, only, open, read, refused};
use crate::proto::{
    Message, counting, f32s, float, graph as graph_attribute, info, int, list, model, node, tensor,
    text,
};

#[test]
fn a_conv() {
    let model = open(
        &[1, 1, 8, 8],
        &[counting("w", &[2, 1, 1, 2])],
        &[node("Conv", "x w", "y", &[])],
    );
    let layer = only(&model);
    assert_eq!((layer.name.as_str(), layer.tensor.as_str()), ("y", "w"));
    assert_eq!(
        (layer.op, layer.op_type.as_str()),
        (LayerKind::Conv, "Conv")
    );
    assert_eq!(layer.geometry, GeometrySource::Graph);
    assert_eq!(layer.shape, [2, 1, 1, 2]);
    assert!(layer.scale.to_bits() == 1f64.to_bits() && layer.notes.is_empty());
    assert_kernel(&model, layer, &[1.0, 2.0, 3.0, 4.0]);
}

#[test]
fn matmul_on_either_side() {
    let w = [counting("w", &[2, 3])];
    let right = open(&[5, 2], &w, &[node("MatMul", "x w", "y", &[])]);
    assert_eq!(only(&right).shape, [3, 2]);
    assert_kernel(&right, only(&right), &[1.0, 4.0, 2.0, 5.0, 3.0, 6.0]);
    let left = open(&[3, 5], &w, &[node("MatMul", "w x", "y", &[])]);
    assert_eq!(only(&left).shape, [2, 3]);
    assert_eq!(only(&left).notes.len(), 1);
    assert_kernel(&left, only(&left), &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
}

#[test]
fn matmul_of_other_ranks() {
    let x = &[5, 2];
    let vector = open(
        x,
        &[counting("w", &[2])],
        &[node("MatMul", "x w", "y", &[])],
    );
    assert_eq!(only(&vector).shape, [1, 2]);
    let ones = open(
        x,
        &[counting("w", &[1, 1, 2, 3])],
        &[node("MatMul", "x w", "y", &[])],
    );
    assert_eq!(only(&ones).shape, [3, 2]);
    let batch = open(
        x,
        &[counting("w", &[4, 2, 3])],
        &[node("MatMul", "x w", "y", &[])],
    );
    assert!(refused(&batch).reason.contains("more axes"));
}

#[test]
fn gemm_with_all_attributes() {
    let w = [counting("w", &[2, 3]), counting("c", &[3])];
    let gemm = |inputs, attributes: &[Message]| {
        open(&[5, 5], &w, &[node("Gemm", inputs, "y", attributes)])
    };
    let by_rows = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
    let by_columns = [1.0, 4.0, 2.0, 5.0, 3.0, 6.0];
    // x·w: w is [in, out].
    let plain = gemm("x w c", &[float("alpha", -0.5), float("beta", 7.0)]);
    assert_eq!(only(&plain).shape, [3, 2]);
    assert_eq!(only(&plain).scale.to_bits(), (-0.5f64).to_bits());
    assert_kernel(&plain, only(&plain), &by_columns);
    let trans_b = gemm("x w", &[int("transB", 1), int("transA", 1)]);
    assert_eq!(only(&trans_b).shape, [2, 3]);
    assert_kernel(&trans_b, only(&trans_b), &by_rows);
    let left = gemm("w x", &[]);
    assert_kernel(&left, only(&left), &by_rows);
    let trans_a = gemm("w x", &[int("transA", 1)]);
    assert_eq!(only(&trans_a).shape, [3, 2]);
    assert_kernel(&trans_a, only(&trans_a), &by_columns);
    // What is added may depend on the input.
    assert!(only(&gemm("x w x", &[])).notes[0].contains("product alone"));
    let nan = error(
        &[5, 2],
        &w,
        &[node("Gemm", "x w", "y", &[float("alpha", f32::NAN)])],
    );
    assert!(nan.contains("alpha = NaN"), "{nan}");
    let cube = error(
        &[5, 2],
        &[counting("w", &[1, 2, 3])],
        &[node("Gemm", "x w", "y", &[])],
    );
    assert!(cube.contains("expected a matrix"), "{cube}");
}

/// Norms of a layer have its factor in them: 3·[3 0; 0 4] stretches by 12.
#[test]
fn an_audit_of_a_layer_has_its_factor_in_it() {
    let weight = tensor("w", 1, &[2, 2], &f32s(&[3.0, 0.0, 0.0, 4.0]));
    let gemm = node("Gemm", "x w", "y", &[float("alpha", -3.0)]);
    let model = open(&[1, 2], &[weight], &[gemm]);
    let layer = only(&model);
    let weight = model.read_weight(layer).unwrap();
    let audit = layer.audit(&weight, &Options::default()).unwrap();
    let norm = audit.norm().bracket();
    assert!(norm.contains(12.0) && norm.relative_width() < 1e-3);
}

#[test]
fn no_constant_weight() {
    for op in ["MatMul", "Gemm", "Conv", "ConvTranspose"] {
        let model = open(
            &[2, 2],
            &[],
            &[node("Relu", "x", "r", &[]), node(op, "x r", "y", &[])],
        );
        assert!(refused(&model).reason.starts_with("no constant weight"));
    }
}

#[test]
fn quantised_weights_are_refused_by_name() {
    let initializers = [
        tensor("q", 3, &[1, 1, 1, 1], &[5]),
        tensor("s", 1, &[], &f32s(&[0.5])),
    ];
    let model = open(
        &[1, 1, 4, 4],
        &initializers,
        &[
            node("DequantizeLinear", "q s", "w", &[]).text(3, "dq"),
            node("Conv", "x w", "y", &[]),
        ],
    );
    assert_kernel(&model, only(&model), &[2.5]);
    for op in [
        "QLinearConv",
        "ConvInteger",
        "MatMulInteger",
        "QLinearMatMul",
    ] {
        let model = open(
            &[1, 1, 4, 4],
            &initializers,
            &[node(op, "x q", "y", &[]).text(3, "n")],
        );
        assert_eq!(
            (refused(&model).name.as_str(), refused(&model).kind.as_str()),
            ("n", op)
        );
        assert!(refused(&model).reason.contains("quantised"));
    }
}

#[test]
fn weights_of_other_types_are_refused() {
    let model = open(
        &[3, 1],
        &[tensor("w", 7, &[1, 1], &[0; 8])],
        &[node("MatMul", "x w", "y", &[])],
    );
    assert!(refused(&model).reason.contains("integers"));
    let model = open(
        &[3, 1],
        &[tensor("w", 17, &[1, 1], &[0])],
        &[node("MatMul", "x w", "y", &[])],
    );
    assert!(refused(&model).reason.contains("float8e4m3fn"));
}

#[test]
fn layers_that_are_not_audited() {
    let w = [counting("w", &[1, 4, 4])];
    for op in ["LSTM", "GRU", "RNN", "DeformConv"] {
        let model = open(&[1, 4, 4], &w, &[node(op, "x w", "y", &[])]);
        assert_eq!(refused(&model).kind, op);
    }
    let einsum = open(
        &[4, 4],
        &[],
        &[node("Einsum", "x x", "y", &[text("equation", "ij,jk->ik")])],
    );
    assert!(refused(&einsum).reason.contains("no constant weight"));
}

#[test]
fn other_nodes_are_counted() {
    let mut custom = node("Gelu", "y", "z", &[]);
    custom = custom.text(7, "com.example");
    let model = open(
        &[1, 4],
        &[counting("w", &[4, 4])],
        &[
            node("MatMul", "x w", "y", &[]).text(7, "ai.onnx"),
            custom,
            node("Relu", "z", "a", &[]),
            node("Relu", "a", "b", &[]),
        ],
    );
    only(&model);
    let counts: Vec<_> = model.skipped.counts().collect();
    assert_eq!(counts, [("Relu", 2), ("com.example::Gelu", 1)]);
}

#[test]
fn fused_operators_say_which_file_to_audit() {
    for op in ["FusedConv", "FusedGemm"] {
        let fused = node(op, "x w", "y", &[]).text(7, "com.microsoft");
        let model = open(&[1, 4], &[counting("w", &[4, 4])], &[fused]);
        assert!(refused(&model).reason.contains("ORT_ENABLE_BASIC"));
    }
}

#[test]
fn unknown_domains_with_a_matrix_are_refused() {
    let fused = node("FusedConv", "x w", "y", &[]).text(7, "com.example");
    let model = open(&[1, 1, 4, 4], &[counting("w", &[1, 1, 3, 3])], &[fused]);
    assert!(refused(&model).reason.contains("com.example"));
}

/// Names of what is refused.
fn refusals(model: &Model) -> Vec<&str> {
    let refused = model.skipped.refused.iter();
    refused.map(|refused| refused.name.as_str()).collect()
}

#[test]
fn layers_in_subgraphs_are_audited() {
    let own = Message::new()
        .message(1, &node("MatMul", "c m", "e", &[]))
        .message(5, &counting("m", &[4, 2]));
    let inner = Message::new()
        .message(1, &node("Conv", "x w", "c", &[]).text(3, "hidden"))
        .message(
            1,
            &node("If", "q", "f", &[graph_attribute("else_branch", &own)]),
        );
    let outer = Message::new().message(
        1,
        &node("If", "q", "d", &[graph_attribute("then_branch", &inner)]),
    );
    let model = open(
        &[1, 1, 4, 4],
        &[counting("w", &[1, 1, 3, 3])],
        &[node("Loop", "x x x", "y", &[graph_attribute("body", &outer)]).text(3, "loop")],
    );
    assert_eq!(refusals(&model), [""; 0]);
    assert_eq!(
        crate::inspect::layers(&model),
        [
            "loop/body/d/then_branch/hidden [1, 1, 3, 3]",
            "loop/body/d/then_branch/f/else_branch/e [2, 4]",
        ]
    );
    let hidden = &model.layers[0];
    assert_eq!(hidden.tensor, "w");
    assert!(hidden.notes[0].contains("the network is not followed"));
    assert_eq!(
        crate::inspect::values(&model, "loop/body/d/then_branch/hidden"),
        (1..10).map(f64::from).collect::<Vec<_>>()
    );
    assert_eq!(model.skipped.counts().collect::<Vec<_>>(), [("Loop", 1)]);
    assert!(model.network().is_err());
}

#[test]
fn what_a_loop_may_carry_is_refused() {
    // Whether `b` is a constant matrix nobody knows.
    let body = Message::new()
        .message(1, &node("MatMul", "a b", "c", &[]).text(3, "product"))
        .message(1, &node("Conv", "a b", "d", &[]).text(3, "conv"))
        .message(1, &node("F", "a b", "f", &[]).text(7, "com.example"))
        .message(1, &node("Add", "a b", "e", &[]))
        .message(11, &info("a", &[4, 4]))
        .message(11, &info("b", &[4, 4]));
    for op in ["Loop", "Scan", "SequenceMap"] {
        let model = open(
            &[4, 4],
            &[counting("w", &[4, 4])],
            &[node(op, "x w", "y", &[graph_attribute("body", &body)])],
        );
        assert_eq!(model.layers.len(), 0);
        assert_eq!(
            refusals(&model),
            ["y/body/product", "y/body/conv", "y/body/f"],
            "{op}"
        );
    }
    // Of what If chooses between, everything is known.
    let branch = Message::new().message(1, &node("Attention", "x x", "c", &[]));
    let model = open(&[4, 4], &[], &[chosen(&branch)]);
    assert_eq!(refusals(&model), [""; 0]);
    // Unless somebody may replace it.
    let branch = Message::new().message(1, &node("MatMul", "x w", "c", &[]));
    let graph = graph(&[4, 4], &[counting("w", &[4, 4])], &[chosen(&branch)]);
    let graph = graph.message(11, &info("w", &[4, 4]));
    let model = read(&self::model(17, &graph)).unwrap();
    assert_eq!(refusals(&model), ["y/then_branch/c"]);
}

#[test]
fn a_name_inside_hides_that_outside() {
    let branch = Message::new()
        .message(1, &node("MatMul", "x w", "c", &[]))
        .message(5, &counting("w", &[4, 2]));
    let model = open(&[4, 4], &[counting("w", &[4, 4])], &[chosen(&branch)]);
    assert_eq!(crate::inspect::layers(&model), ["y/then_branch/c [2, 4]"]);
    // What is mentioned between is not hidden: here as a shape that is stated.
    let inner = Message::new().message(1, &node("MatMul", "x w", "c", &[]));
    let between = Message::new()
        .message(1, &node("If", "x", "d", &[graph_attribute("b", &inner)]))
        .message(13, &info("w", &[4, 4]))
        .message(12, &info("w", &[4, 4]));
    let model = open(
        &[4, 4],
        &[counting("w", &[4, 4])],
        &[node("If", "x", "y", &[graph_attribute("a", &between)])],
    );
    assert_eq!(crate::inspect::layers(&model), ["y/a/d/b/c [4, 4]"]);
}

/// A node that may run a graph.
fn chosen(branch: &Message) -> Message {
    node("If", "x", "y", &[graph_attribute("then_branch", branch)])
}

/// A function `local::F` of `a` and `b`.
fn function(nodes: &[Message]) -> Message {
    let opset = Message::new().text(1, "").int(2, 17);
    let function = Message::new().text(1, "F").text(4, "a").text(4, "b");
    let function = nodes
        .iter()
        .fold(function, |function, node| function.message(7, node));
    function.message(9, &opset).text(10, "local")
}

fn calls(functions: &[Message]) -> Model {
    let call = node("F", "x w", "y", &[]).text(7, "local").text(3, "call");
    let graph = graph(&[4, 4], &[counting("w", &[4, 4])], &[call]);
    let message = functions
        .iter()
        .fold(model(17, &graph), |message, function| {
            message.message(25, function)
        });
    read(&message).unwrap()
}

#[test]
fn layers_in_functions_are_audited_with_the_weights_of_the_call() {
    let product = node("MatMul", "a b", "c", &[]).text(3, "product");
    let model = calls(&[function(std::slice::from_ref(&product))]);
    assert_eq!(refusals(&model), [""; 0]);
    assert_eq!(crate::inspect::layers(&model), ["call/product [4, 4]"]);
    assert_eq!(model.layers[0].tensor, "w");
    assert!(model.network().is_err());
    let plain = calls(&[function(&[node("Add", "a b", "c", &[])])]);
    assert_eq!((refusals(&plain).len(), plain.layers.len()), (0, 0));
}

#[test]
fn functions_that_cannot_be_followed_are_refused() {
    let product = node("MatMul", "a b", "c", &[]).text(3, "product");
    let unknown = Message::new()
        .text(1, "F")
        .message(7, &product)
        .text(10, "local");
    let twice = function(&[node("Add", "a b", "c", &[])]);
    let itself = node("F", "a b", "c", &[]).text(7, "local").text(3, "f");
    let again = node("F", "a b", "d", &[]).text(7, "local").text(3, "g");
    for (functions, count, part) in [
        (vec![unknown], 1, "which opset"),
        (vec![function(&[product]), twice], 1, "several"),
        (
            vec![function(std::slice::from_ref(&itself))],
            1,
            "deep inside",
        ),
    ] {
        let model = calls(&functions);
        assert_eq!(model.skipped.refused.len(), count, "{part}");
        let reason = &model.skipped.refused[0].reason;
        assert!(
            reason.contains(part) && reason.contains("function"),
            "{reason}"
        );
        assert_eq!(model.layers.len(), 0);
    }
    // 2³² calls.
    let model = calls(&[function(&[itself, again])]);
    assert!(
        model
            .skipped
            .refused
            .iter()
            .any(|r| r.reason.contains("more than"))
    );
}

#[test]
fn attributes_that_a_call_gives_are_not_known() {
    let reference = Message::new().text(1, "transB").text(21, "t").int(20, 2);
    let gemm = node("Gemm", "a b", "c", &[reference]).text(3, "gemm");
    let model = calls(&[function(&[gemm])]);
    assert_eq!(refusals(&model), ["call/gemm"]);
}

#[test]
fn one_weight_of_several_nodes() {
    let model = open(
        &[4, 4],
        &[counting("w", &[4, 4])],
        &[
            node("MatMul", "x w", "y", &[]).text(3, "same"),
            node("MatMul", "y w", "z", &[]).text(3, "same"),
        ],
    );
    let names: Vec<_> = model
        .layers
        .iter()
        .map(|layer| layer.name.as_str())
        .collect();
    assert_eq!(names, ["same", "same#2"]);
    assert!(model.layers.iter().all(|layer| layer.tensor == "w"));
}

#[test]
fn a_product_of_constants_is_no_layer() {
    let model = open(
        &[4, 4],
        &[counting("a", &[4, 4]), counting("b", &[4, 4])],
        &[
            node("MatMul", "a b", "w", &[]),
            node("MatMul", "x w", "y", &[]),
        ],
    );
    assert_eq!(model.skipped.counts().collect::<Vec<_>>(), [("MatMul", 1)]);
    let [layer] = &model.layers[..] else {
        panic!("{:?}", model.layers);
    };
    assert_eq!((layer.name.as_str(), layer.tensor.as_str()), ("y", "w"));
}

#[test]
fn a_weight_that_the_caller_may_replace() {
    let graph = graph(
        &[4, 4],
        &[counting("w", &[4, 4])],
        &[node("MatMul", "x w", "y", &[])],
    );
    let graph = graph.message(11, &info("w", &[4, 4]));
    let model = read(&model(17, &graph)).unwrap();
    assert!(only(&model).notes[0].contains("replace"));
    // Before IR version 4 every initializer was an input too, and nobody may replace it.
    let opset = Message::new().text(1, "").int(2, 8);
    let old = Message::new()
        .int(1, 3)
        .message(7, &graph)
        .message(8, &opset);
    assert_eq!(only(&read(&old).unwrap()).notes, [""; 0]);
}

#[test]
fn sparse_weights_are_refused() {
    let sparse = Message::new()
        .message(1, &counting("w", &[1]))
        .message(2, &list("", &[3]))
        .ints(3, &[4, 4]);
    let graph = graph(&[4, 4], &[], &[node("MatMul", "x w", "y", &[])]).message(15, &sparse);
    let model = read(&model(17, &graph)).unwrap();
    assert!(refused(&model).reason.contains("sparse"));
}

#[test]
fn old_and_missing_opsets() {
    let graph = graph(&[4, 4], &[], &[]);
    let old = read(&model(6, &graph)).unwrap_err().to_string();
    assert!(old.contains("opset 6") && old.contains("opset 7"), "{old}");
    assert!(read(&model(7, &graph)).is_ok());
    let missing = read(&Message::new().int(1, 8).message(7, &graph)).unwrap_err();
    assert!(missing.to_string().contains("which opset"), "{missing}");
    let other = Message::new().text(1, "com.example").int(2, 17);
    let other = read(
        &Message::new()
            .int(1, 8)
            .message(7, &graph)
            .message(8, &other),
    );
    assert!(other.is_err());
}
