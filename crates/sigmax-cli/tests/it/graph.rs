//! A small ONNX model, written byte by byte.

/// A classifier of inputs of this shape (batch left out) into two classes: Flatten, then a matrix
/// with the rows −`weights` and `weights`.
pub(crate) fn two_classes(input: &[usize], weights: &[f32]) -> Vec<u8> {
    let rows: Vec<u8> = weights
        .iter()
        .map(|w| -w)
        .chain(weights.iter().copied())
        .flat_map(f32::to_le_bytes)
        .collect();
    let weight = Message::default()
        .int(1, 2)
        .int(1, weights.len())
        .int(2, 1)
        .bytes(8, b"w")
        .bytes(9, &rows);
    let rows_are_outputs = Message::default().bytes(1, b"transB").int(3, 1).int(20, 2);
    let flatten = Message::default()
        .bytes(1, b"x")
        .bytes(2, b"flat")
        .bytes(4, b"Flatten");
    let gemm = Message::default()
        .bytes(1, b"flat")
        .bytes(1, b"w")
        .bytes(2, b"z")
        .bytes(4, b"Gemm")
        .bytes(5, &rows_are_outputs.0);
    let graph = Message::default()
        .bytes(1, &flatten.0)
        .bytes(1, &gemm.0)
        .bytes(2, b"g")
        .bytes(5, &weight.0)
        .bytes(11, &value("x", input).0)
        .bytes(12, &value("z", &[2]).0);
    let opset = Message::default().int(2, 13);
    Message::default()
        .int(1, 8)
        .bytes(7, &graph.0)
        .bytes(8, &opset.0)
        .0
}

/// A classifier of `inputs` numbers into 3 classes with one hidden layer: `first` has a row of weights per
/// unit, `activation` is an operator without attributes, `last` has a row per class.
pub(crate) fn hidden(inputs: usize, first: &[f32], activation: &str, last: &[f32]) -> Vec<u8> {
    chain(inputs, &[first, last], activation)
}

/// The same of any number of layers.
pub(crate) fn chain(inputs: usize, layers: &[&[f32]], activation: &str) -> Vec<u8> {
    let rows_are_outputs = Message::default().bytes(1, b"transB").int(3, 1).int(20, 2);
    let mut graph = Message::default();
    let (mut weights, mut width) = (Vec::new(), inputs);
    for (i, values) in layers.iter().enumerate() {
        let last = i + 1 == layers.len();
        let from = if i == 0 {
            "x".to_owned()
        } else {
            format!("s{i}")
        };
        let to = if last {
            "z".to_owned()
        } else {
            format!("h{i}")
        };
        let by = format!("w{i}");
        let gemm = Message::default()
            .bytes(1, from.as_bytes())
            .bytes(1, by.as_bytes())
            .bytes(2, to.as_bytes())
            .bytes(4, b"Gemm")
            .bytes(5, &rows_are_outputs.0);
        graph = graph.bytes(1, &gemm.0);
        if !last {
            let curved = Message::default()
                .bytes(1, to.as_bytes())
                .bytes(2, format!("s{}", i + 1).as_bytes())
                .bytes(4, activation.as_bytes());
            graph = graph.bytes(1, &curved.0);
        }
        let raw: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        let rows = values.len() / width;
        let weight = Message::default()
            .int(1, rows)
            .int(1, width)
            .int(2, 1)
            .bytes(8, by.as_bytes())
            .bytes(9, &raw);
        weights.push(weight);
        width = rows;
    }
    graph = graph.bytes(2, b"g");
    for weight in &weights {
        graph = graph.bytes(5, &weight.0);
    }
    graph = graph
        .bytes(11, &value("x", &[inputs]).0)
        .bytes(12, &value("z", &[width]).0);
    let opset = Message::default().int(2, 13);
    Message::default()
        .int(1, 8)
        .bytes(7, &graph.0)
        .bytes(8, &opset.0)
        .0
}

/// A classifier of a vector of `inputs` numbers, without a batch axis: W·x, the activation, V·x.
pub(crate) fn vector(inputs: usize, first: &[f32], activation: &str, last: &[f32]) -> Vec<u8> {
    let units = first.len() / inputs;
    let product = |by: &str, from: &str, to: &str| {
        Message::default()
            .bytes(1, by.as_bytes())
            .bytes(1, from.as_bytes())
            .bytes(2, to.as_bytes())
            .bytes(4, b"MatMul")
    };
    let curved = Message::default()
        .bytes(1, b"h")
        .bytes(2, b"s")
        .bytes(4, activation.as_bytes());
    let weight = |name: &str, columns: usize, values: &[f32]| {
        let raw: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        Message::default()
            .int(1, values.len() / columns)
            .int(1, columns)
            .int(2, 1)
            .bytes(8, name.as_bytes())
            .bytes(9, &raw)
    };
    let whole = |name: &str, n: usize| tensor(name, Message::default(), &[n]);
    let graph = Message::default()
        .bytes(1, &product("w", "x", "h").0)
        .bytes(1, &curved.0)
        .bytes(1, &product("v", "s", "z").0)
        .bytes(2, b"g")
        .bytes(5, &weight("w", inputs, first).0)
        .bytes(5, &weight("v", units, last).0)
        .bytes(11, &whole("x", inputs).0)
        .bytes(12, &whole("z", last.len() / units).0);
    let opset = Message::default().int(2, 13);
    Message::default()
        .int(1, 8)
        .bytes(7, &graph.0)
        .bytes(8, &opset.0)
        .0
}

/// A float tensor of a symbolic batch and this shape.
fn value(name: &str, shape: &[usize]) -> Message {
    let batch = Message::default().bytes(1, &Message::default().bytes(2, b"N").0);
    tensor(name, batch, shape)
}

/// A float tensor of the axes that are there and these.
fn tensor(name: &str, front: Message, shape: &[usize]) -> Message {
    let dims = shape.iter().fold(front, |dims, &n| {
        dims.bytes(1, &Message::default().int(1, n).0)
    });
    let tensor = Message::default().int(1, 1).bytes(2, &dims.0);
    let kind = Message::default().bytes(1, &tensor.0);
    Message::default()
        .bytes(1, name.as_bytes())
        .bytes(2, &kind.0)
}

/// A protobuf message.
#[derive(Default)]
struct Message(Vec<u8>);

impl Message {
    fn varint(&mut self, mut value: usize) {
        while value >= 0x80 {
            self.0.push(u8::try_from(value & 0x7f).unwrap() | 0x80);
            value >>= 7;
        }
        self.0.push(u8::try_from(value).unwrap());
    }

    fn int(mut self, field: usize, value: usize) -> Self {
        self.varint(field << 3);
        self.varint(value);
        self
    }

    fn bytes(mut self, field: usize, bytes: &[u8]) -> Self {
        self.varint(field << 3 | 2);
        self.varint(bytes.len());
        self.0.extend(bytes);
        self
    }
}
