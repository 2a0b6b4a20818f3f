//! [`Tensor`]: where a weight's values are and how they are laid out, read only on demand.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::bytes::element::Element;
use crate::bytes::source::Source;
use crate::error::Error;
use crate::model::computed::Expression;
use crate::model::repeated::{Repeated, read_repeated};

/// Bytes converted at a time.
const BLOCK: usize = 1 << 20;

/// A tensor that has not been read yet.
#[derive(Clone, Debug)]
pub(crate) struct Tensor {
    /// Its name, for errors.
    pub(crate) name: String,
    element: Element,
    place: Place,
    /// Number of entries at `place`.
    stored: usize,
    /// How the entries are picked; each view reads the one before. Never empty.
    views: Vec<View>,
    /// Casts, in order; they act entry by entry, so they may come after the views.
    casts: Vec<Element>,
}

/// Where the entries are.
#[derive(Clone, Debug)]
pub(crate) enum Place {
    /// Little-endian entries in the model file, from this offset.
    Raw(u64),
    /// Little-endian entries in another file, from this offset.
    External(PathBuf, u64),
    /// A repeated protobuf field of the message at this range of the model file.
    Field(Range<u64>, Repeated),
    /// Nowhere: they are computed from others (T40).
    Computed(Arc<Expression>),
}

/// Entry `i` of a view is entry `offset + Σ iₐ·strideₐ` of what it reads.
#[derive(Clone, Debug)]
struct View {
    shape: Vec<usize>,
    strides: Vec<usize>,
    offset: usize,
}

impl Tensor {
    /// A row-major tensor at `place`, or `None` if the number of its entries overflows.
    pub(crate) fn row_major(
        name: &str,
        element: Element,
        place: Place,
        shape: Vec<usize>,
    ) -> Option<Self> {
        let stored = count(&shape)?;
        Some(Self {
            name: name.to_owned(),
            element,
            place,
            stored,
            views: vec![View::row_major(shape)],
            casts: Vec::new(),
        })
    }

    /// A tensor of `shape` whose entries lie `strides` apart, the first one at `offset` bytes of
    /// the model file. `None` if sizes overflow or if entries share memory, which would let a
    /// small file ask for a huge tensor.
    pub(crate) fn strided(
        name: &str,
        element: Element,
        offset: u64,
        shape: Vec<usize>,
        strides: Vec<usize>,
    ) -> Option<Self> {
        let entries = count(&shape)?;
        let stored = span(&shape, &strides)?;
        if entries > stored {
            return None;
        }
        let view = View {
            shape,
            strides,
            offset: 0,
        };
        Some(Self {
            name: name.to_owned(),
            element,
            place: Place::Raw(offset),
            stored,
            views: vec![view],
            casts: Vec::new(),
        })
    }

    /// Length per axis.
    pub(crate) fn shape(&self) -> &[usize] {
        // `views` is never empty; an empty slice would only make the tensor rank 0.
        self.views.last().map_or(&[], |view| &view.shape)
    }

    /// Bytes that the entries take at [`Place::Raw`] or [`Place::External`].
    pub(crate) fn stored_bytes(&self) -> Option<u64> {
        self.stored
            .checked_mul(self.element.size())
            .and_then(|n| u64::try_from(n).ok())
    }

    /// The file beside the model that holds the entries, if there is one.
    pub(crate) fn external(&self) -> Option<&Path> {
        match &self.place {
            Place::External(path, _) => Some(path),
            Place::Raw(_) | Place::Field(..) | Place::Computed(_) => None,
        }
    }

    /// A tensor that is computed, in a graph that says it is of this type.
    pub(crate) fn computed(name: &str, element: Element, expression: Expression) -> Option<Self> {
        let shape = expression.shape().to_vec();
        Self::row_major(name, element, Place::Computed(Arc::new(expression)), shape)
    }

    /// What it is computed by, if it is.
    pub(crate) fn expression(&self) -> Option<&Expression> {
        match &self.place {
            Place::Computed(expression) => Some(expression),
            Place::Raw(_) | Place::External(..) | Place::Field(..) => None,
        }
    }

    /// The type of the entries after all casts.
    pub(crate) fn element(&self) -> Element {
        self.casts.last().copied().unwrap_or(self.element)
    }

    /// The same entries in row-major order under another shape; `None` if their number differs.
    pub(crate) fn reshaped(mut self, shape: Vec<usize>) -> Option<Self> {
        if count(&shape)? != count(self.shape())? {
            return None;
        }
        let view = View::row_major(shape);
        match self.views.last_mut() {
            Some(last) if last.is_row_major() => *last = view,
            _ => self.views.push(view),
        }
        Some(self)
    }

    /// Axis `i` of the result is axis `axes[i]` of `self`; `None` if `axes` is no permutation.
    pub(crate) fn permuted(mut self, axes: &[usize]) -> Option<Self> {
        let mut sorted = axes.to_vec();
        sorted.sort_unstable();
        if sorted.len() != self.shape().len() || !sorted.iter().copied().eq(0..sorted.len()) {
            return None;
        }
        let last = self.views.last_mut()?;
        last.shape = axes.iter().map(|&axis| last.shape[axis]).collect();
        last.strides = axes.iter().map(|&axis| last.strides[axis]).collect();
        Some(self)
    }

    /// The entries converted to another type, rounded as a cast does; `None` for conversions whose
    /// rounding is not the same everywhere (f64 to a 16-bit type, anything to an 8-bit one).
    pub(crate) fn cast(mut self, to: Element) -> Option<Self> {
        let from = self.element();
        if from == Element::F64 && matches!(to, Element::F16 | Element::Bf16) {
            return None;
        }
        if from != to && to.is_eight_bit() {
            return None;
        }
        // Its values are numbers, not of any type.
        if self.expression().is_some() && !from.widens_to(to) {
            return None;
        }
        if from != to {
            self.casts.push(to);
        }
        Some(self)
    }

    /// Reads the entries, widened exactly to f64.
    ///
    /// # Errors
    /// Also where they are computed and known to within an error only.
    pub(crate) fn read(&self, source: &Source) -> Result<Vec<f64>, Error> {
        match self.read_enclosed(source)? {
            (values, errors) if errors.is_empty() => Ok(values),
            _ => Err(source.bad_tensor(
                &self.name,
                "it is computed from other constants and known to within its rounding only, which is \
                 not covered here; fold the constants of the model first (onnxsim, or the optimised \
                 model that onnxruntime saves)",
            )),
        }
    }

    /// Reads or computes the entries, and their errors; none of those where all entries are exact.
    pub(crate) fn read_enclosed(&self, source: &Source) -> Result<(Vec<f64>, Vec<f64>), Error> {
        let (mut values, mut errors) = match &self.place {
            Place::Raw(offset) => (self.read_raw(source, *offset)?, Vec::new()),
            Place::External(path, offset) => {
                (self.read_raw(&Source::open(path)?, *offset)?, Vec::new())
            }
            Place::Field(range, field) => {
                let range = range.clone();
                let values = read_repeated(source, range, *field, self.stored, &self.name)?;
                (values, Vec::new())
            }
            Place::Computed(expression) => expression.evaluate(source)?.parts(),
        };
        for view in &self.views {
            values = view.pick(values);
            if !errors.is_empty() {
                errors = view.pick(errors);
            }
        }
        let mut from = self.element;
        for &to in &self.casts {
            if !from.widens_to(to) {
                for value in &mut values {
                    *value = to.round(*value);
                }
            }
            from = to;
        }
        Ok((values, errors))
    }

    fn read_raw(&self, source: &Source, offset: u64) -> Result<Vec<f64>, Error> {
        let bytes = self
            .stored_bytes()
            .ok_or_else(|| source.bad_tensor(&self.name, "its size overflows"))?;
        source.check(offset, bytes)?;
        let mut values = Vec::with_capacity(self.stored);
        let mut left = self.stored * self.element.size();
        let mut block = vec![0; left.min(BLOCK)];
        let mut position = offset;
        while left > 0 {
            let length = left.min(BLOCK);
            source.read_into(position, &mut block[..length])?;
            self.element.widen(&block[..length], &mut values);
            position += length as u64;
            left -= length;
        }
        Ok(values)
    }
}

impl View {
    /// All entries in row-major order; the caller has checked that their number does not overflow.
    fn row_major(shape: Vec<usize>) -> Self {
        let strides = row_major_strides(&shape);
        Self {
            shape,
            strides,
            offset: 0,
        }
    }

    fn is_row_major(&self) -> bool {
        self.offset == 0 && self.strides == row_major_strides(&self.shape)
    }

    fn pick(&self, values: Vec<f64>) -> Vec<f64> {
        let entries: usize = self.shape.iter().product();
        if self.is_row_major() && entries == values.len() {
            return values;
        }
        let mut picked = Vec::with_capacity(entries);
        let mut index = vec![0; self.shape.len()];
        let mut position = self.offset;
        for _ in 0..entries {
            picked.push(values[position]);
            for axis in (0..index.len()).rev() {
                index[axis] += 1;
                position += self.strides[axis];
                if index[axis] < self.shape[axis] {
                    break;
                }
                position -= self.shape[axis] * self.strides[axis];
                index[axis] = 0;
            }
        }
        picked
    }
}

/// Number of entries, or `None` if it overflows.
pub(crate) fn count(shape: &[usize]) -> Option<usize> {
    shape
        .iter()
        .try_fold(1usize, |n, &axis| n.checked_mul(axis))
}

/// Entries from the first to the last one inclusive, or `None` on overflow.
pub(crate) fn span(shape: &[usize], strides: &[usize]) -> Option<usize> {
    if shape.len() != strides.len() {
        return None;
    }
    if shape.contains(&0) {
        return Some(0);
    }
    shape
        .iter()
        .zip(strides)
        .try_fold(1usize, |reach, (&axis, &stride)| {
            // The odometer of `View::pick` reaches `axis · stride` before it steps back.
            let step = axis.checked_mul(stride)?;
            reach.checked_add(step - stride)
        })
}

fn row_major_strides(shape: &[usize]) -> Vec<usize> {
    let mut strides = vec![1; shape.len()];
    for axis in (1..shape.len()).rev() {
        strides[axis - 1] = strides[axis] * shape[axis];
    }
    strides
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(shape: &[usize]) -> (Tensor, Source) {
        let entries = count(shape).unwrap();
        let bytes: Vec<u8> = (0..entries)
            .flat_map(|i| (i as f32).to_le_bytes())
            .collect();
        let source = Source::from_bytes("numbers".as_ref(), bytes).unwrap();
        let tensor = Tensor::row_major("t", Element::F32, Place::Raw(0), shape.to_vec()).unwrap();
        (tensor, source)
    }

    fn integers(values: &[f64]) -> Vec<i64> {
        values.iter().map(|&v| v as i64).collect()
    }

    #[test]
    fn a_transpose_of_a_reshape_of_a_transpose() {
        let (tensor, source) = numbers(&[2, 3]);
        let tensor = tensor.permuted(&[1, 0]).unwrap(); // [[0, 3], [1, 4], [2, 5]]
        let tensor = tensor.reshaped(vec![2, 3]).unwrap(); // [[0, 3, 1], [4, 2, 5]]
        let tensor = tensor.permuted(&[1, 0]).unwrap(); // [[0, 4], [3, 2], [1, 5]]
        assert_eq!(tensor.shape(), [3, 2]);
        assert_eq!(integers(&tensor.read(&source).unwrap()), [0, 4, 3, 2, 1, 5]);
    }

    #[test]
    fn strides_that_repeat_entries_are_refused() {
        let expanded = Tensor::strided("t", Element::F32, 0, vec![1 << 20, 1 << 20], vec![0, 0]);
        assert!(expanded.is_none());
        let huge = Tensor::strided("t", Element::F32, 0, vec![3, 3], vec![usize::MAX, 1]);
        assert!(huge.is_none());
    }

    #[test]
    fn every_other_entry() {
        let (_, source) = numbers(&[8]);
        let view = Tensor::strided("t", Element::F32, 4, vec![2, 2], vec![4, 2]).unwrap();
        assert_eq!(integers(&view.read(&source).unwrap()), [1, 3, 5, 7]);
    }
}
