//! A small protobuf writer, and the ONNX messages written with it.

/// A message being written.
#[derive(Clone, Debug, Default)]
pub(crate) struct Message(pub(crate) Vec<u8>);

impl Message {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    fn raw_varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push((value & 0x7f) as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }

    pub(crate) fn int(mut self, field: u64, value: i64) -> Self {
        self.raw_varint(field << 3);
        self.raw_varint(value.cast_unsigned());
        self
    }

    pub(crate) fn ints(self, field: u64, values: &[i64]) -> Self {
        values
            .iter()
            .fold(self, |message, &v| message.int(field, v))
    }

    /// A packed list of integers.
    pub(crate) fn packed(self, field: u64, values: &[i64]) -> Self {
        let mut list = Self::new();
        for value in values {
            list.raw_varint(value.cast_unsigned());
        }
        self.message(field, &list)
    }

    pub(crate) fn float(mut self, field: u64, value: f32) -> Self {
        self.raw_varint(field << 3 | 5);
        self.0.extend(value.to_le_bytes());
        self
    }

    pub(crate) fn bytes(mut self, field: u64, bytes: &[u8]) -> Self {
        self.raw_varint(field << 3 | 2);
        self.raw_varint(bytes.len() as u64);
        self.0.extend(bytes);
        self
    }

    pub(crate) fn text(self, field: u64, text: &str) -> Self {
        self.bytes(field, text.as_bytes())
    }

    pub(crate) fn message(self, field: u64, message: &Self) -> Self {
        self.bytes(field, &message.0)
    }
}

/// The bytes of f32 values.
pub(crate) fn f32s(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|v| v.to_le_bytes()).collect()
}

/// A TensorProto with raw data.
pub(crate) fn tensor(name: &str, data_type: i64, dims: &[i64], raw: &[u8]) -> Message {
    Message::new()
        .ints(1, dims)
        .int(2, data_type)
        .text(8, name)
        .bytes(9, raw)
}

/// An f32 tensor that counts 1, 2, 3, …
pub(crate) fn counting(name: &str, dims: &[i64]) -> Message {
    let count = dims.iter().product::<i64>();
    let values: Vec<f32> = (1..=count).map(|i| i as f32).collect();
    tensor(name, 1, dims, &f32s(&values))
}

/// A list of int64.
pub(crate) fn list(name: &str, values: &[i64]) -> Message {
    let raw: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
    tensor(name, 7, &[values.len() as i64], &raw)
}

/// An external tensor.
pub(crate) fn external(name: &str, dims: &[i64], entries: &[(&str, &str)]) -> Message {
    let message = Message::new()
        .ints(1, dims)
        .int(2, 1)
        .text(8, name)
        .int(14, 1);
    entries.iter().fold(message, |message, (key, value)| {
        message.message(13, &Message::new().text(1, key).text(2, value))
    })
}

/// An attribute.
pub(crate) fn ints(name: &str, values: &[i64]) -> Message {
    Message::new().text(1, name).ints(8, values).int(20, 7)
}

pub(crate) fn int(name: &str, value: i64) -> Message {
    Message::new().text(1, name).int(3, value).int(20, 2)
}

pub(crate) fn float(name: &str, value: f32) -> Message {
    Message::new().text(1, name).float(2, value).int(20, 1)
}

pub(crate) fn text(name: &str, value: &str) -> Message {
    Message::new().text(1, name).text(4, value).int(20, 3)
}

pub(crate) fn value(name: &str, tensor: &Message) -> Message {
    Message::new().text(1, name).message(5, tensor).int(20, 4)
}

pub(crate) fn graph(name: &str, graph: &Message) -> Message {
    Message::new().text(1, name).message(6, graph).int(20, 5)
}

/// A NodeProto; `inputs` and `outputs` are separated by spaces, `_` is one that is left out.
pub(crate) fn node(op: &str, inputs: &str, outputs: &str, attributes: &[Message]) -> Message {
    let names = |message: Message, field, list: &str| {
        list.split_whitespace().fold(message, |message, name| {
            message.text(field, if name == "_" { "" } else { name })
        })
    };
    let message = names(names(Message::new(), 1, inputs), 2, outputs).text(4, op);
    attributes
        .iter()
        .fold(message, |message, attribute| message.message(5, attribute))
}

/// A ValueInfoProto of f32; a negative size is a name instead of a number.
pub(crate) fn info(name: &str, dims: &[i64]) -> Message {
    let shape = dims.iter().fold(Message::new(), |shape, &n| {
        let axis = Message::new();
        shape.message(
            1,
            &if n < 0 {
                axis.text(2, "n")
            } else {
                axis.int(1, n)
            },
        )
    });
    let tensor = Message::new().int(1, 1).message(2, &shape);
    Message::new()
        .text(1, name)
        .message(2, &Message::new().message(1, &tensor))
}

/// A ModelProto with one graph.
pub(crate) fn model(opset: i64, graph: &Message) -> Message {
    Message::new()
        .int(1, 8)
        .message(7, graph)
        .message(8, &Message::new().text(1, "").int(2, opset))
}
