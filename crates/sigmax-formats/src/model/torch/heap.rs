//! [`Heap`]: the values that a pickle builds, as one list that refers to itself by index.

use crate::bytes::element::Element;
use crate::bytes::float8::Float8;

/// Most values of one pickle. A checkpoint of ten thousand tensors has some 200 000.
const MAX_VALUES: usize = 1 << 22;

/// A value of a [`Heap`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Id(u32);

impl Id {
    /// The value that stands for everything that cannot matter: None, floats, bytes, long texts.
    pub(super) const OPAQUE: Self = Self(0);
    pub(super) const TRUE: Self = Self(1);
    pub(super) const FALSE: Self = Self(2);
    pub(super) const EMPTY: Self = Self(3);

    pub(super) fn index(self) -> usize {
        self.0 as usize
    }
}

/// What a pickle builds.
#[derive(Debug)]
pub(super) enum Value {
    /// Something that holds no tensor and names none.
    Opaque,
    Bool(bool),
    Int(i128),
    Text(Box<str>),
    Tuple(Box<[Id]>),
    List(Vec<Id>),
    Dict(Vec<(Id, Id)>),
    /// A class or function, as `module.name`.
    Global(Box<str>),
    Storage(Box<Storage>),
    Tensor(Box<TensorParts>),
    /// A tensor of a kind that is not read, with the function or class that makes it.
    Unreadable(Id),
    /// An instance of a class that is not interpreted.
    Object(Box<Object>),
}

/// A storage as the pickle names it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Storage {
    /// Text.
    pub(super) key: Id,
    pub(super) dtype: &'static Dtype,
    /// Number of entries.
    pub(super) entries: u64,
    /// The part of it that is meant (legacy files only): first entry and number of entries.
    pub(super) part: Option<(u64, u64)>,
}

/// The arguments of `_rebuild_tensor_v2`, whose types and ranges have been checked.
#[derive(Clone, Copy, Debug)]
pub(super) struct TensorParts {
    pub(super) storage: Id,
    pub(super) offset: Id,
    pub(super) size: Id,
    pub(super) stride: Id,
    /// A global that overrides the storage's type.
    pub(super) dtype: Option<Id>,
}

/// What was put into an instance.
#[derive(Debug, Default)]
pub(super) struct Object {
    /// Arguments of BUILD.
    pub(super) states: Vec<Id>,
    /// Of a subclass of dict.
    pub(super) items: Vec<(Id, Id)>,
    /// Of a subclass of list.
    pub(super) list: Vec<Id>,
}

/// An element type.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Dtype {
    pub(super) storage: &'static str,
    pub(super) name: &'static str,
    pub(super) size: u64,
    pub(super) element: Option<Element>,
}

const fn other(storage: &'static str, name: &'static str, size: u64) -> Dtype {
    Dtype {
        storage,
        name,
        size,
        element: None,
    }
}

const fn float(storage: &'static str, name: &'static str, element: Element, size: u64) -> Dtype {
    Dtype {
        storage,
        name,
        size,
        element: Some(element),
    }
}

/// A type that has no storage class of its own: tensors of it name it beside an untyped storage.
const fn float8(name: &'static str, format: Float8) -> Dtype {
    float("", name, Element::F8(format), 1)
}

static TABLE: [Dtype; 22] = [
    float8("float8_e4m3fn", Float8::E4m3Fn),
    float8("float8_e4m3fnuz", Float8::E4m3Fnuz),
    float8("float8_e5m2", Float8::E5m2),
    float8("float8_e5m2fnuz", Float8::E5m2Fnuz),
    float8("float8_e8m0fnu", Float8::E8m0Fnu),
    float("FloatStorage", "float32", Element::F32, 4),
    float("DoubleStorage", "float64", Element::F64, 8),
    float("HalfStorage", "float16", Element::F16, 2),
    float("BFloat16Storage", "bfloat16", Element::Bf16, 2),
    other("LongStorage", "int64", 8),
    other("IntStorage", "int32", 4),
    other("ShortStorage", "int16", 2),
    other("CharStorage", "int8", 1),
    other("ByteStorage", "uint8", 1),
    other("BoolStorage", "bool", 1),
    other("ComplexFloatStorage", "complex64", 8),
    other("ComplexDoubleStorage", "complex128", 16),
    other("QInt8Storage", "qint8", 1),
    other("QUInt8Storage", "quint8", 1),
    other("QInt32Storage", "qint32", 4),
    other("QUInt4x2Storage", "quint4x2", 1),
    other("UntypedStorage", "bytes", 1),
];

impl Dtype {
    /// The type of a storage class such as `torch.FloatStorage`.
    pub(super) fn of_storage(class: &str) -> Option<&'static Self> {
        let class = ["torch.cuda.", "torch.storage.", "torch."]
            .iter()
            .find_map(|module| class.strip_prefix(module))?;
        let mut classes = TABLE.iter().filter(|dtype| !dtype.storage.is_empty());
        classes.find(|dtype| dtype.storage == class)
    }

    /// The type `torch.float32`, ….
    pub(super) fn named(global: &str) -> Option<&'static Self> {
        let name = global.strip_prefix("torch.")?;
        TABLE.iter().find(|dtype| dtype.name == name)
    }
}

/// All values of one pickle.
#[derive(Debug)]
pub(super) struct Heap {
    values: Vec<Value>,
}

impl Heap {
    pub(super) fn new() -> Self {
        let values = vec![
            Value::Opaque,
            Value::Bool(true),
            Value::Bool(false),
            Value::Tuple(Box::default()),
        ];
        Self { values }
    }

    pub(super) fn get(&self, id: Id) -> &Value {
        &self.values[id.index()]
    }

    pub(super) fn get_mut(&mut self, id: Id) -> &mut Value {
        &mut self.values[id.index()]
    }

    pub(super) fn len(&self) -> usize {
        self.values.len()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Value> {
        self.values.iter()
    }

    /// Adds a value.
    pub(super) fn push(&mut self, value: Value) -> Result<Id, String> {
        let index = u32::try_from(self.values.len())
            .ok()
            .filter(|_| self.values.len() < MAX_VALUES)
            .ok_or_else(|| format!("the pickle has more than {MAX_VALUES} values"))?;
        self.values.push(value);
        Ok(Id(index))
    }

    /// The text of a value.
    pub(super) fn text(&self, id: Id) -> Option<&str> {
        match self.get(id) {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The name of a global.
    pub(super) fn global(&self, id: Id) -> Option<&str> {
        match self.get(id) {
            Value::Global(name) => Some(name),
            _ => None,
        }
    }

    /// A number that is a size or an offset.
    pub(super) fn natural(&self, id: Id) -> Option<u64> {
        match self.get(id) {
            Value::Int(value) => u64::try_from(*value).ok(),
            _ => None,
        }
    }

    /// The elements of a tuple.
    pub(super) fn tuple(&self, id: Id) -> Option<&[Id]> {
        match self.get(id) {
            Value::Tuple(items) => Some(items),
            _ => None,
        }
    }

    /// A tuple of sizes; `None` where one is negative or no integer.
    pub(super) fn sizes(&self, id: Id) -> Option<Vec<usize>> {
        let size = |&id: &Id| self.natural(id).and_then(|n| usize::try_from(n).ok());
        self.tuple(id)?.iter().map(size).collect()
    }
}
