//! safetensors: eight bytes of header length, a JSON header, then the tensors back to back.
//!
//! Only the header is read. Its rules (no gaps, no overlaps, sizes that match shapes) are checked
//! by the `safetensors` crate; this module adds that no name occurs twice, which JSON allows and of
//! which the crate keeps the last, and that the tensors end where the file ends.

use std::collections::HashSet;
use std::fmt;

use safetensors::tensor::{Dtype, Metadata, TensorInfo};
use serde::de::{Deserialize, Deserializer, Error as _, IgnoredAny, MapAccess, Visitor};

use crate::bytes::element::Element;
use crate::bytes::source::Source;
use crate::error::Error;
use crate::model::statedict::StateDict;
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
    let mut tensors = header.0;
    tensors.sort_by_key(|(_, info)| info.data_offsets);
    let data = 8 + length;
    check(source, data, tensors.clone())?;
    let mut dict = StateDict::default();
    for (name, info) in tensors {
        let Some(element) = element(info.dtype) else {
            dict.skip(&format!("{:?}", info.dtype), &name);
            continue;
        };
        let place = Place::Raw(data + info.data_offsets.0 as u64);
        let tensor = Tensor::row_major(&name, element, place, info.shape)
            .ok_or_else(|| source.bad_tensor(&name, "its size overflows"))?;
        dict.add(tensor);
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
        Dtype::F16 => Some(Element::F16),
        Dtype::BF16 => Some(Element::Bf16),
        Dtype::F32 => Some(Element::F32),
        Dtype::F64 => Some(Element::F64),
        _ => None,
    }
}

/// The JSON header without its `__metadata__`.
struct Header(Vec<(String, TensorInfo)>);

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
        while let Some(name) = map.next_key::<String>()? {
            if !names.insert(name.clone()) {
                return Err(A::Error::custom(format!("{name:?} occurs twice")));
            }
            if name == "__metadata__" {
                map.next_value::<IgnoredAny>()?;
            } else {
                tensors.push((name, map.next_value()?));
            }
        }
        Ok(Header(tensors))
    }
}
