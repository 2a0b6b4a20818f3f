//! safetensors: eight bytes of header length, a JSON header, then the tensors back to back.
//!
//! Only the header is read. Its rules (no gaps, no overlaps, sizes that match shapes) are checked
//! by the `safetensors` crate; this module adds that no name occurs twice, which JSON allows and of
//! which the crate keeps the last, and that the tensors end where the file ends.

use std::collections::{BTreeMap, HashSet};
use std::fmt;

use safetensors::tensor::{Dtype, Metadata, TensorInfo};
use serde::de::{Deserialize, Deserializer, Error as _, IgnoredAny, MapAccess, Visitor};

use crate::bytes::element::Element;
use crate::bytes::float8::Float8;
use crate::bytes::source::Source;
use crate::error::Error;
use crate::model::statedict::{Adapters, Content, Role, StateDict};
use crate::model::tensor::{Place, Tensor};

/// Longest header, the same as in the `safetensors` crate.
const MAX_HEADER: u64 = 100_000_000;

/// The tensors of a safetensors file.
pub(crate) fn read(source: &Source) -> Result<StateDict, Error> {
    let mut length = [0; 8];
    source.read_into(0, &mut length)?;
    let length = u64::from_le_bytes(length);
    source.limit("the length of the safetensors header", MAX_HEADER, length)?;
    let header: Header = serde_json::from_slice(&source.read(8, length)?)
        .map_err(|error| source.malformed(8, format!("safetensors header: {error}")))?;
    let mut tensors = header.tensors;
    tensors.sort_by_key(|(_, info)| info.data_offsets);
    let data = 8 + length;
    check(source, data, tensors.clone())?;
    let mut dict = StateDict::new(Adapters::of(&header.metadata));
    for (name, info) in tensors {
        let content = if let Some(element) = element(info.dtype) {
            let place = Place::Raw(data + info.data_offsets.0 as u64);
            let tensor = Tensor::row_major(&name, element, place, info.shape)
                .ok_or_else(|| source.bad_tensor(&name, "its size overflows"))?;
            Content::Float(tensor)
        } else {
            let (dtype, shape) = (format!("{:?}", info.dtype), info.shape);
            if is_integer(info.dtype) {
                Content::Integer { dtype, shape }
            } else {
                Content::Other { dtype, shape }
            }
        };
        dict.add(&name, Role::Parameter, content);
    }
    Ok(dict)
}

fn check(source: &Source, data: u64, tensors: Vec<(String, TensorInfo)>) -> Result<(), Error> {
    let metadata = Metadata::new(None, tensors)
        .map_err(|error| source.malformed(8, format!("safetensors header: {error}")))?;
    let tensors = metadata.data_len() as u64;
    source.check(data, tensors)?;
    if data + tensors != source.len() {
        return Err(source.malformed(
            data + tensors,
            format!(
                "{} bytes after the last tensor; expected the end of the file",
                source.len() - data - tensors
            ),
        ));
    }
    Ok(())
}

fn element(dtype: Dtype) -> Option<Element> {
    match dtype {
        Dtype::F8_E4M3 => Some(Element::F8(Float8::E4m3Fn)),
        Dtype::F8_E4M3FNUZ => Some(Element::F8(Float8::E4m3Fnuz)),
        Dtype::F8_E5M2 => Some(Element::F8(Float8::E5m2)),
        Dtype::F8_E5M2FNUZ => Some(Element::F8(Float8::E5m2Fnuz)),
        Dtype::F8_E8M0 => Some(Element::F8(Float8::E8m0Fnu)),
        Dtype::F16 => Some(Element::F16),
        Dtype::BF16 => Some(Element::Bf16),
        Dtype::F32 => Some(Element::F32),
        Dtype::F64 => Some(Element::F64),
        _ => None,
    }
}

fn is_integer(dtype: Dtype) -> bool {
    matches!(
        dtype,
        Dtype::BOOL
            | Dtype::U8
            | Dtype::I8
            | Dtype::I16
            | Dtype::U16
            | Dtype::I32
            | Dtype::U32
            | Dtype::I64
            | Dtype::U64
    )
}

/// The JSON header.
struct Header {
    tensors: Vec<(String, TensorInfo)>,
    /// `__metadata__`, where it is an object of texts, as the format wants it.
    metadata: BTreeMap<String, String>,
}

/// Metadata of another form are passed over.
#[derive(serde::Deserialize)]
#[serde(untagged)]
enum Metadatum {
    Texts(BTreeMap<String, String>),
    Ignored(IgnoredAny),
}

impl<'de> Deserialize<'de> for Header {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(HeaderVisitor)
    }
}

struct HeaderVisitor;

impl<'de> Visitor<'de> for HeaderVisitor {
    type Value = Header;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of tensors")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Header, A::Error> {
        let mut tensors = Vec::new();
        let mut names = HashSet::new();
        let mut metadata = BTreeMap::new();
        while let Some(name) = map.next_key::<String>()? {
            if !names.insert(name.clone()) {
                return Err(A::Error::custom(format!("{name:?} occurs twice")));
            }
            if name == "__metadata__" {
                match map.next_value()? {
                    Metadatum::Texts(texts) => metadata = texts,
                    Metadatum::Ignored(_) => {}
                }
            } else {
                tensors.push((name, map.next_value()?));
            }
        }
        Ok(Header { tensors, metadata })
    }
}
