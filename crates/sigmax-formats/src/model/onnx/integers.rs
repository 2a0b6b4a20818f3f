//! [`Integers`]: the small integer tensors that shapes, axes and padding are made of.

use super::limits;
use super::size::Size;

/// A tensor of at most [`limits::INTEGERS`] integers, row-major.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Integers {
    pub(super) dims: Vec<usize>,
    pub(super) element: Whole,
    pub(super) entries: Vec<Entry>,
}

/// An integer, or why it is none before the model runs.
pub(super) type Entry = Result<i64, Open>;

/// The type of integers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Whole {
    Int32,
    Int64,
}

impl Whole {
    /// That of a TensorProto.DataType.
    pub(super) fn of(data_type: i64) -> Option<Self> {
        match data_type {
            6 => Some(Self::Int32),
            7 => Some(Self::Int64),
            _ => None,
        }
    }

    /// A result as it is in this type; runtimes wrap around where it is beyond, which is not
    /// followed.
    fn fit(self, value: Option<i64>) -> Entry {
        let inside = |&value: &i64| self == Self::Int64 || i32::try_from(value).is_ok();
        value.filter(inside).ok_or(Open::Overflow(self))
    }
}

/// Why an integer is not known before the model runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Open {
    /// It is the length of the batch: of the first axis of this input of the graph.
    Batch(usize),
    /// It is computed from that.
    FromBatch(usize),
    /// It is computed from the length of an axis of this value, which does not follow from the
    /// graph.
    Length(usize),
    /// It is beyond its type, or the quotient of a division by 0.
    Overflow(Whole),
}

impl Open {
    /// What is computed from it is open too, and is not the batch itself any more.
    fn computed(self) -> Self {
        match self {
            Self::Batch(input) => Self::FromBatch(input),
            open => open,
        }
    }
}

/// An operator on integers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operator {
    Add,
    Sub,
    Mul,
    Div,
}

impl Operator {
    /// That of a node.
    pub(super) fn of(op: &str) -> Option<Self> {
        match op {
            "Add" => Some(Self::Add),
            "Sub" => Some(Self::Sub),
            "Mul" => Some(Self::Mul),
            "Div" => Some(Self::Div),
            _ => None,
        }
    }

    /// A quotient is cut off towards 0.
    fn apply(self, a: i64, b: i64) -> Option<i64> {
        match self {
            Self::Add => a.checked_add(b),
            Self::Sub => a.checked_sub(b),
            Self::Mul => a.checked_mul(b),
            Self::Div => a.checked_div(b),
        }
    }

    /// Whether everything stays what it is with `b` on the right.
    fn keeps(self, b: i64) -> bool {
        match self {
            Self::Add | Self::Sub => b == 0,
            Self::Mul | Self::Div => b == 1,
        }
    }
}

impl Integers {
    /// A list of int64.
    pub(super) fn list(values: Vec<i64>) -> Option<Self> {
        Self::entries(values.into_iter().map(Ok).collect())
    }

    /// The same of entries that may be open.
    pub(super) fn entries(entries: Vec<Entry>) -> Option<Self> {
        (entries.len() <= limits::INTEGERS).then(|| Self {
            dims: vec![entries.len()],
            element: Whole::Int64,
            entries,
        })
    }

    /// A single int64.
    pub(super) fn scalar(entry: Entry) -> Self {
        Self {
            dims: Vec::new(),
            element: Whole::Int64,
            entries: vec![entry],
        }
    }

    /// The numbers, where all of them are known.
    pub(super) fn known(&self) -> Option<Vec<i64>> {
        self.entries.iter().map(|entry| entry.ok()).collect()
    }

    /// Why one of them is not.
    pub(super) fn open(&self) -> Option<Open> {
        self.entries.iter().find_map(|entry| entry.err())
    }

    /// The lengths that they state.
    pub(super) fn sizes(&self) -> Option<Vec<Size>> {
        let size = |&entry: &Entry| match entry {
            Ok(n) => usize::try_from(n).ok().map(Size::Known),
            Err(Open::Batch(input)) => Some(Size::Batch(input)),
            Err(_) => Some(Size::Unknown),
        };
        self.entries.iter().map(size).collect()
    }

    /// The same numbers in another type. The length of a batch stays what it is: one that int32
    /// cannot hold is that of no tensor there is.
    pub(super) fn cast(&self, element: Whole) -> Self {
        let cast = |&entry: &Entry| entry.and_then(|value| element.fit(Some(value)));
        Self {
            dims: self.dims.clone(),
            element,
            entries: self.entries.iter().map(cast).collect(),
        }
    }

    /// The same entries under another shape.
    pub(super) fn reshaped(&self, dims: Vec<usize>) -> Option<Self> {
        let count = dims.iter().try_fold(1usize, |n, &d| n.checked_mul(d))?;
        (count == self.entries.len()).then(|| Self {
            dims,
            ..self.clone()
        })
    }

    /// Axis `i` of the result is axis `axes[i]` of `self`, which has to be a permutation.
    pub(super) fn permuted(&self, axes: &[usize]) -> Option<Self> {
        let strides = self.strides();
        let dims: Option<Vec<_>> = axes.iter().map(|&a| self.dims.get(a).copied()).collect();
        let moved: Option<Vec<_>> = axes.iter().map(|&a| strides.get(a).copied()).collect();
        let (dims, moved) = (dims?, moved?);
        let indices = dims
            .iter()
            .zip(&moved)
            .map(|(&n, &stride)| (0..n).map(|i| i * stride).collect())
            .collect::<Vec<Vec<_>>>();
        self.pick(dims, &indices)
    }

    /// Along every axis the entries with the given indices.
    pub(super) fn selected(&self, indices: &[Vec<usize>]) -> Option<Self> {
        let dims = indices.iter().map(Vec::len).collect();
        let offsets: Vec<Vec<_>> = indices
            .iter()
            .zip(self.strides())
            .map(|(along, stride)| along.iter().map(|i| i * stride).collect())
            .collect();
        self.pick(dims, &offsets)
    }

    fn strides(&self) -> Vec<usize> {
        let mut strides = vec![1; self.dims.len()];
        for axis in (1..strides.len()).rev() {
            strides[axis - 1] = strides[axis] * self.dims[axis];
        }
        strides
    }

    /// The entries at all sums of one offset per axis.
    fn pick(&self, dims: Vec<usize>, offsets: &[Vec<usize>]) -> Option<Self> {
        let mut flat = vec![0usize];
        for along in offsets {
            if flat.len().checked_mul(along.len())? > limits::INTEGERS {
                return None;
            }
            flat = flat
                .iter()
                .flat_map(|&base| along.iter().map(move |&offset| base + offset))
                .collect();
        }
        let entries: Option<_> = flat.iter().map(|&i| self.entries.get(i).copied()).collect();
        Some(Self {
            dims,
            element: self.element,
            entries: entries?,
        })
    }

    /// Entry by entry with another tensor of the same type, of the same shape or a single number.
    pub(super) fn zip(&self, other: &Self, operator: Operator) -> Option<Self> {
        if self.element != other.element {
            return None;
        }
        let single = |x: &Self| x.entries.len() == 1;
        // Of two single numbers the one of higher rank gives that of the result.
        let longer = single(self) && self.dims.len() < other.dims.len();
        let (dims, count) = if self.dims == other.dims || (single(other) && !longer) {
            (&self.dims, self.entries.len())
        } else if single(self) {
            (&other.dims, other.entries.len())
        } else {
            return None;
        };
        // A single number of higher rank would raise the rank of the result.
        if self.dims.len().max(other.dims.len()) != dims.len() {
            return None;
        }
        let at = |x: &Self, i: usize| x.entries[if single(x) { 0 } else { i }];
        let entry = |i| match (at(self, i), at(other, i)) {
            (Ok(a), Ok(b)) => self.element.fit(operator.apply(a, b)),
            (Err(open), Ok(b)) if operator.keeps(b) => Err(open),
            (Err(open), _) | (_, Err(open)) => Err(open.computed()),
        };
        Some(Self {
            dims: dims.clone(),
            element: self.element,
            entries: (0..count).map(entry).collect(),
        })
    }

    /// Every entry.
    pub(super) fn map(&self, operate: impl Fn(i64) -> Option<i64>) -> Self {
        let entry = |&entry: &Entry| match entry {
            Ok(value) => self.element.fit(operate(value)),
            Err(open) => Err(open.computed()),
        };
        Self {
            dims: self.dims.clone(),
            element: self.element,
            entries: self.entries.iter().map(entry).collect(),
        }
    }
}

/// The indices that a slice picks from an axis of `n` entries: the first one, how many, and the
/// step; `None` for step 0.
pub(super) fn slice(n: usize, start: i64, end: i64, step: i64) -> Option<(i64, usize, i64)> {
    let n = i64::try_from(n).ok()?;
    let wrap = |i: i64| if i < 0 { i.saturating_add(n) } else { i };
    let (first, distance) = match step {
        0 => return None,
        1.. => {
            let first = wrap(start).clamp(0, n);
            (first, wrap(end).clamp(0, n) - first)
        }
        _ => {
            let first = wrap(start).clamp(-1, n - 1);
            (first, first - wrap(end).clamp(-1, n - 1))
        }
    };
    let count = u64::try_from(distance)
        .unwrap_or(0)
        .div_ceil(step.unsigned_abs());
    Some((first, usize::try_from(count).ok()?, step))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slices_as_numpy_does() {
        assert_eq!(slice(5, 0, i64::MAX, 2), Some((0, 3, 2)));
        assert_eq!(slice(5, -1, -i64::MAX, -1), Some((4, 5, -1)));
        assert_eq!(slice(5, 3, 1, 1), Some((3, 0, 1)));
        assert_eq!(slice(5, 1, -1, 1), Some((1, 3, 1)));
        assert_eq!(slice(0, -1, i64::MIN, -1), Some((-1, 0, -1)));
        assert_eq!(slice(5, 0, 5, 0), None);
        assert_eq!(slice(5, 0, 5, i64::MIN), Some((0, 0, i64::MIN)));
    }

    #[test]
    fn single_numbers_of_any_rank() {
        let (scalar, list) = (Integers::scalar(Ok(8)), Integers::list(vec![6]).unwrap());
        for (a, b, result) in [(&scalar, &list, 2), (&list, &scalar, -2)] {
            let difference = a.zip(b, Operator::Sub).unwrap();
            assert_eq!(difference.dims, [1]);
            assert_eq!(difference.known(), Some(vec![result]));
        }
        let longer = Integers::list(vec![1, 2]).unwrap();
        let matrix = Integers::list(vec![1])
            .unwrap()
            .reshaped(vec![1, 1])
            .unwrap();
        assert_eq!(longer.zip(&matrix, Operator::Add), None);
    }

    #[test]
    fn transposes() {
        let matrix = Integers::list((0..6).collect()).unwrap();
        let moved = matrix
            .reshaped(vec![2, 3])
            .unwrap()
            .permuted(&[1, 0])
            .unwrap();
        assert_eq!(moved.dims, [3, 2]);
        assert_eq!(moved.known(), Some(vec![0, 3, 1, 4, 2, 5]));
    }

    #[test]
    fn arithmetic_keeps_to_its_type() {
        let wide = Integers::list(vec![1 << 16]).unwrap();
        assert_eq!(
            wide.zip(&wide, Operator::Mul).unwrap().known(),
            Some(vec![1 << 32])
        );
        let narrow = wide.cast(Whole::Int32);
        let overflow = Some(Open::Overflow(Whole::Int32));
        assert_eq!(narrow.zip(&narrow, Operator::Mul).unwrap().open(), overflow);
        let least = Integers::list(vec![i64::from(i32::MIN)]).unwrap();
        assert_eq!(
            least.cast(Whole::Int32).map(i64::checked_neg).open(),
            overflow
        );
        assert_eq!(wide.zip(&narrow, Operator::Mul), None);
        let zero = Integers::list(vec![0]).unwrap();
        assert!(wide.zip(&zero, Operator::Div).unwrap().known().is_none());
    }

    #[test]
    fn what_is_computed_from_a_batch_is_no_batch() {
        let batch = Integers::entries(vec![Err(Open::Batch(3)), Ok(4)]).unwrap();
        let sizes = [Size::Batch(3), Size::Known(4)];
        assert_eq!(batch.sizes().unwrap(), sizes);
        assert_eq!(batch.cast(Whole::Int32).sizes().unwrap(), sizes);
        let twice = batch.zip(&batch, Operator::Add).unwrap();
        assert_eq!(twice.entries, [Err(Open::FromBatch(3)), Ok(8)]);
        assert_eq!(twice.sizes().unwrap(), [Size::Unknown, Size::Known(8)]);
    }
}
