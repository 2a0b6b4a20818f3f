//! [`Integers`]: the small integer tensors that shapes, axes and padding are made of.

use super::limits;

/// A tensor of at most [`limits::INTEGERS`] integers, row-major.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Integers {
    pub(super) dims: Vec<usize>,
    pub(super) values: Vec<i64>,
}

impl Integers {
    /// A list.
    pub(super) fn list(values: Vec<i64>) -> Option<Self> {
        (values.len() <= limits::INTEGERS).then(|| Self {
            dims: vec![values.len()],
            values,
        })
    }

    /// A single number.
    pub(super) fn scalar(value: i64) -> Self {
        Self {
            dims: Vec::new(),
            values: vec![value],
        }
    }

    /// The same entries under another shape.
    pub(super) fn reshaped(&self, dims: Vec<usize>) -> Option<Self> {
        let count = dims.iter().try_fold(1usize, |n, &d| n.checked_mul(d))?;
        (count == self.values.len()).then(|| Self {
            dims,
            values: self.values.clone(),
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
        let values: Option<_> = flat.iter().map(|&i| self.values.get(i).copied()).collect();
        Some(Self {
            dims,
            values: values?,
        })
    }

    /// Entry by entry with another tensor of the same shape, or with a single number.
    pub(super) fn zip(
        &self,
        other: &Self,
        operate: impl Fn(i64, i64) -> Option<i64>,
    ) -> Option<Self> {
        let single = |x: &Self| x.values.len() == 1;
        // Of two single numbers the one of higher rank gives that of the result.
        let longer = single(self) && self.dims.len() < other.dims.len();
        let (dims, count) = if self.dims == other.dims || (single(other) && !longer) {
            (&self.dims, self.values.len())
        } else if single(self) {
            (&other.dims, other.values.len())
        } else {
            return None;
        };
        // A single number of higher rank would raise the rank of the result.
        if self.dims.len().max(other.dims.len()) != dims.len() {
            return None;
        }
        let at = |x: &Self, i: usize| x.values[if single(x) { 0 } else { i }];
        let values: Option<_> = (0..count)
            .map(|i| operate(at(self, i), at(other, i)))
            .collect();
        Some(Self {
            dims: dims.clone(),
            values: values?,
        })
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
        let (scalar, list) = (Integers::scalar(8), Integers::list(vec![6]).unwrap());
        for (a, b, result) in [(&scalar, &list, 2), (&list, &scalar, -2)] {
            let difference = a.zip(b, i64::checked_sub).unwrap();
            assert_eq!(
                (difference.dims, difference.values),
                (vec![1], vec![result])
            );
        }
        let longer = Integers::list(vec![1, 2]).unwrap();
        let matrix = Integers {
            dims: vec![1, 1],
            values: vec![1],
        };
        assert_eq!(longer.zip(&matrix, i64::checked_add), None);
    }

    #[test]
    fn transposes() {
        let matrix = Integers {
            dims: vec![2, 3],
            values: vec![0, 1, 2, 3, 4, 5],
        };
        let moved = matrix.permuted(&[1, 0]).unwrap();
        assert_eq!(moved.dims, [3, 2]);
        assert_eq!(moved.values, [0, 3, 1, 4, 2, 5]);
    }
}
