//! The 2^m reshapes M_A of T9 as index maps.
//!
//! For a subset A of the spatial axes, M_A has rows (out, axes in A) and columns
//! (in, axes not in A). Every reshape has the same entries; only their places differ.

use crate::layout::multi_index;
use crate::linalg::Mat;
use crate::symbol::Lattice;

/// A subset A of the spatial axes: bit a is set where axis a goes with the output channels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Reshape {
    axes: u8,
    rank: u8,
}

impl Reshape {
    /// All 2^m subsets for m spatial axes, T (the empty one) first.
    #[must_use]
    pub fn all(rank: usize) -> Vec<Self> {
        (0..1u8 << rank)
            .map(|axes| Self {
                axes,
                rank: rank as u8,
            })
            .collect()
    }

    /// Whether axis `axis` goes with the output channels.
    #[must_use]
    pub fn holds(self, axis: usize) -> bool {
        self.axes >> axis & 1 == 1
    }

    /// The subset of the other axes: the same matrix of the adjoint layer, transposed.
    #[must_use]
    pub fn complement(self) -> Self {
        Self {
            axes: !self.axes & ((1 << self.rank) - 1),
            rank: self.rank,
        }
    }

    /// The letter of Singla & Feizi: R = (out·h)×(in·w), S = (out·w)×(in·h), T = out×(in·h·w),
    /// U = (out·h·w)×in. T and U exist for every number of axes (a dense layer has T alone); the
    /// mixed subsets in three dimensions are named after the axes on the output side: D, H, W, DH,
    /// DW, HW.
    #[must_use]
    pub fn name(self) -> &'static str {
        match (self.rank, self.axes) {
            (_, 0) => "T",
            (1, _) | (2, 0b11) | (3, 0b111) => "U",
            (2, 0b01) => "R",
            (2, _) => "S",
            (_, 0b001) => "D",
            (_, 0b010) => "H",
            (_, 0b100) => "W",
            (_, 0b011) => "DH",
            (_, 0b101) => "DW",
            (_, _) => "HW",
        }
    }

    /// Splits the taps: for every tap, its index among the taps of A and among those of Aᶜ.
    pub(crate) fn split(self, k: &[usize]) -> TapSplit {
        let count = |held: bool| -> usize {
            (0..k.len())
                .filter(|&a| self.holds(a) == held)
                .map(|a| k[a])
                .product()
        };
        let taps: usize = k.iter().product();
        let places = (0..taps)
            .map(|tap| {
                let t = multi_index(tap, k);
                let (mut held, mut free) = (0, 0);
                for (a, &extent) in k.iter().enumerate() {
                    if self.holds(a) {
                        held = held * extent + t[a];
                    } else {
                        free = free * extent + t[a];
                    }
                }
                (held, free)
            })
            .collect();
        TapSplit {
            held: count(true),
            free: count(false),
            places,
        }
    }
}

/// Where each tap goes: `places[t] = (index in A, index in Aᶜ)`.
pub(crate) struct TapSplit {
    pub(crate) held: usize,
    pub(crate) free: usize,
    pub(crate) places: Vec<(usize, usize)>,
}

/// M_A of one group: rows (r, taps of A), columns (c, taps of Aᶜ).
pub(crate) fn matrix(lattice: &Lattice<'_>, group: usize, split: &TapSplit) -> Mat<f64> {
    let values = lattice.group(group);
    let taps = split.places.len();
    let mut m = Mat::zeros(lattice.rows * split.held, lattice.cols * split.free);
    for c in 0..lattice.cols {
        for r in 0..lattice.rows {
            let start = (r * lattice.cols + c) * taps;
            for (&(held, free), &value) in split.places.iter().zip(&values[start..start + taps]) {
                m[(r * split.held + held, c * split.free + free)] = value;
            }
        }
    }
    m
}
