//! [`Pick`]: every output entry is one input entry or a constant.

use crate::conv::PaddingMode;
use crate::error::{Error, Misfit};
use crate::reads::source_pixel;
use crate::rounding::{add_up, exponent, mul_up, scale_up, sqrt_int_up, sqrt_up};

/// The index of an entry that is the constant.
const CONSTANT: u32 = u32::MAX;
/// Most entries of an input or a result.
const MAX_ENTRIES: usize = 1 << 28;

/// Output entry j is input entry `index[j]`, or a constant: slices, zero and other padding,
/// transposes, reshapes, splits, repeated pixels, channel shuffles.
///
/// Its norm is √(most copies of one entry) (T22).
#[derive(Clone, Debug, PartialEq)]
pub struct Pick {
    input: Vec<usize>,
    shape: Vec<usize>,
    /// `None`: all entries in order.
    index: Option<Vec<u32>>,
    fill: f64,
}

impl Pick {
    /// The same entries under another shape.
    ///
    /// # Errors
    /// [`Error::Node`] where the number of entries differs.
    pub fn reshape(input: &[usize], shape: &[usize]) -> Result<Self, Error> {
        let entries = |shape: &[usize]| shape.iter().try_fold(1usize, |n, &k| n.checked_mul(k));
        if entries(input).is_none() || entries(input) != entries(shape) {
            return Err(Error::node(
                "reshape",
                Misfit::Reshape {
                    input: input.to_vec(),
                    shape: shape.to_vec(),
                },
            ));
        }
        Ok(Self {
            input: input.to_vec(),
            shape: shape.to_vec(),
            index: None,
            fill: 0.0,
        })
    }

    /// All entries one after the other.
    #[must_use]
    pub fn flatten(input: &[usize]) -> Self {
        Self {
            input: input.to_vec(),
            shape: vec![input.iter().fold(1, |n, &k| n.saturating_mul(k))],
            index: None,
            fill: 0.0,
        }
    }

    /// Axis `i` of the result is axis `axes[i]` of the input.
    ///
    /// # Errors
    /// [`Error::Node`] where `axes` is no permutation, or the input is too large.
    pub fn transpose(input: &[usize], axes: &[usize]) -> Result<Self, Error> {
        let mut sorted = axes.to_vec();
        sorted.sort_unstable();
        if !sorted.into_iter().eq(0..input.len()) {
            return Err(Error::node(
                "transpose",
                Misfit::NoPermutation {
                    axes: axes.to_vec(),
                    input: input.to_vec(),
                },
            ));
        }
        check_entries(input)?;
        let strides = strides(input);
        let shape: Vec<usize> = axes.iter().map(|&a| input[a]).collect();
        let along: Vec<Vec<Option<usize>>> = axes
            .iter()
            .map(|&a| (0..input[a]).map(|i| Some(i * strides[a])).collect())
            .collect();
        Self::at(input, shape, &along, 0.0)
    }

    /// Entry `(j_1, …)` is input entry `(along[0][j_1], …)`, or `fill` where one of these is `None`.
    ///
    /// # Errors
    /// [`Error::Node`] for an index beyond its axis, an axis too many or too few, or a result that
    /// is too large.
    pub fn along(input: &[usize], along: &[Vec<Option<usize>>], fill: f64) -> Result<Self, Error> {
        if along.len() != input.len() {
            return Err(Error::node(
                "pick",
                Misfit::IndexLists {
                    lists: along.len(),
                    input: input.to_vec(),
                },
            ));
        }
        check_entries(input)?;
        let strides = strides(input);
        let mut places = Vec::with_capacity(along.len());
        for (axis, list) in along.iter().enumerate() {
            if list.iter().flatten().any(|&i| i >= input[axis]) {
                let input = input.to_vec();
                return Err(Error::node("pick", Misfit::Index { axis, input }));
            }
            let place = |i: &Option<usize>| i.map(|i| i * strides[axis]);
            places.push(list.iter().map(place).collect());
        }
        let shape = along.iter().map(Vec::len).collect();
        Self::at(input, shape, &places, fill)
    }

    /// Padding before and after each axis (negative: cut off); `None` as mode: with `fill`.
    ///
    /// # Errors
    /// [`Error::Node`] where the amounts do not fit the input or the mode.
    pub fn pad(
        input: &[usize],
        amounts: &[(isize, isize)],
        mode: PaddingMode,
        fill: f64,
    ) -> Result<Self, Error> {
        let wrong = |reason| Error::node("pad", reason);
        if amounts.len() != input.len() {
            return Err(wrong(Misfit::PaddedAxes {
                amounts: amounts.len(),
                input: input.to_vec(),
            }));
        }
        let mut along = Vec::new();
        for (&n, &(before, after)) in input.iter().zip(amounts) {
            let total = n
                .checked_add_signed(before)
                .and_then(|n| n.checked_add_signed(after))
                .filter(|n| (1..=MAX_ENTRIES).contains(n))
                .ok_or_else(|| {
                    wrong(Misfit::Padding {
                        amounts: amounts.to_vec(),
                        input: input.to_vec(),
                        most: MAX_ENTRIES,
                    })
                })?;
            let most = match mode {
                PaddingMode::Zeros | PaddingMode::Replicate => isize::MAX,
                PaddingMode::Circular => n.cast_signed(),
                PaddingMode::Reflect => n.cast_signed() - 1,
            };
            if before.max(after) > most {
                return Err(wrong(Misfit::PaddingMode {
                    mode: mode.name(),
                    pixels: n,
                    by: before.max(after),
                    most,
                }));
            }
            let pixel = |i: usize| {
                let at = i as i64 - before as i64;
                source_pixel(at, n as i64, mode)
            };
            along.push((0..total).map(pixel).collect());
        }
        Self::along(input, &along, fill)
    }

    fn at(
        input: &[usize],
        shape: Vec<usize>,
        along: &[Vec<Option<usize>>],
        fill: f64,
    ) -> Result<Self, Error> {
        let total = shape.iter().try_fold(1usize, |n, &k| n.checked_mul(k));
        if !fill.is_finite() || total.is_none_or(|n| n > MAX_ENTRIES) {
            return Err(Error::node(
                "pick",
                Misfit::Pick {
                    input: input.to_vec(),
                    shape,
                    fill,
                },
            ));
        }
        let mut index = vec![0u32];
        for list in along {
            index = index
                .iter()
                .flat_map(|&base| {
                    list.iter().map(move |&i| match i {
                        // All sums stay below the number of input entries.
                        Some(i) if base != CONSTANT => base + i as u32,
                        _ => CONSTANT,
                    })
                })
                .collect();
        }
        Ok(Self {
            input: input.to_vec(),
            shape,
            index: Some(index),
            fill,
        })
    }

    /// The shape of the result.
    #[must_use]
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// Whether all entries stay in order: a reshape.
    #[must_use]
    pub fn is_reshape(&self) -> bool {
        self.index.is_none()
    }

    /// The constant, and in how many entries it stands.
    pub(crate) fn constant(&self) -> (f64, usize) {
        let index = self.index.iter().flatten();
        (self.fill, index.filter(|&&i| i == CONSTANT).count())
    }

    pub(crate) fn check(&self, input: &[usize]) -> Result<(), Misfit> {
        if input == self.input {
            Ok(())
        } else {
            Err(Misfit::PickInput {
                expected: self.input.clone(),
                got: input.to_vec(),
            })
        }
    }

    /// √(most copies of one input entry) from above: the norm (T22).
    pub(crate) fn norm(&self) -> f64 {
        Self::norm_of_all(&[self])
    }

    /// The same for picks of one input side by side.
    pub(crate) fn norm_of_all(picks: &[&Self]) -> f64 {
        let Some(first) = picks.first() else {
            return 0.0;
        };
        let mut counts = vec![0usize; first.input.iter().product()];
        for pick in picks {
            debug_assert_eq!(pick.input, first.input, "the shape of one node");
            match &pick.index {
                None => counts.iter_mut().for_each(|count| *count += 1),
                Some(index) => {
                    for &i in index.iter().filter(|&&i| i != CONSTANT) {
                        counts[i as usize] += 1;
                    }
                }
            }
        }
        sqrt_int_up(counts.into_iter().max().unwrap_or(0))
    }

    /// What stands at every entry of the result; `constant` where that is the constant.
    pub(crate) fn picked<T: Copy>(&self, of: &[T], constant: T) -> Vec<T> {
        let Some(index) = &self.index else {
            return of.to_vec();
        };
        let pick = |&i: &u32| match i {
            CONSTANT => constant,
            i => of[i as usize],
        };
        index.iter().map(pick).collect()
    }

    /// One sample; `linear` leaves the constant out.
    pub(crate) fn apply(&self, x: &[f64], out: &mut [f64], linear: bool) {
        let fill = if linear { 0.0 } else { self.fill };
        match &self.index {
            None => out.copy_from_slice(x),
            Some(index) => {
                for (out, &i) in out.iter_mut().zip(index) {
                    *out = if i == CONSTANT { fill } else { x[i as usize] };
                }
            }
        }
    }

    /// Weights of the input from those of the result: of ‖diag(w)·P·v‖² = Σ w_j²·v_{index j}² the roots
    /// of the factors of v_i², from above.
    pub(crate) fn weights_before(&self, weights: &[f64], input: usize) -> Vec<f64> {
        let Some(index) = &self.index else {
            return weights.to_vec();
        };
        let largest = weights.iter().fold(0.0f64, |m, &w| m.max(w));
        let exponent = if largest > 0.0 { exponent(largest) } else { 0 };
        let mut squares = vec![0.0; input];
        for (&w, &i) in weights.iter().zip(index) {
            if i != CONSTANT && w > 0.0 {
                let w = scale_up(w, -exponent);
                squares[i as usize] = add_up(squares[i as usize], mul_up(w, w));
            }
        }
        let root = |s: f64| {
            if s > 0.0 {
                scale_up(sqrt_up(s), exponent)
            } else {
                0.0
            }
        };
        squares.into_iter().map(root).collect()
    }

    /// The transpose of the linear part.
    pub(crate) fn apply_transpose(&self, y: &[f64], out: &mut [f64]) {
        match &self.index {
            None => out.copy_from_slice(y),
            Some(index) => {
                out.fill(0.0);
                for (y, &i) in y.iter().zip(index) {
                    if i != CONSTANT {
                        out[i as usize] += y;
                    }
                }
            }
        }
    }
}

fn check_entries(input: &[usize]) -> Result<(), Error> {
    let entries = input.iter().try_fold(1usize, |n, &k| n.checked_mul(k));
    match entries {
        Some(0..=MAX_ENTRIES) => Ok(()),
        _ => Err(Error::node(
            "pick",
            Misfit::PickFrom {
                input: input.to_vec(),
            },
        )),
    }
}

fn strides(shape: &[usize]) -> Vec<usize> {
    let mut strides = vec![1; shape.len()];
    for axis in (1..shape.len()).rev() {
        strides[axis - 1] = strides[axis] * shape[axis];
    }
    strides
}
