//! [`Share`]: how many images, and how many rows of each, are worked on at once.

use crate::error::Error;
use crate::network::eval::apply::Map;
use crate::network::eval::forward::Forward;
use crate::network::local::bend::Touch;
use crate::network::local::pieces::{Piece, most_pieces};
use crate::network::local::prepared::Prepared;
use crate::network::op::Op;

/// Most numbers in the rows of a pass.
const PASS: usize = 1 << 21;
/// Rows that a pass holds at once: those that go back, what they become, products on the way.
const COPIES: usize = 4;
/// What a pass needs whatever its rows are: blocks of products.
const BLOCKS: usize = 1 << 21;

/// What is worked on at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Share {
    /// Images.
    pub(super) images: usize,
    /// Numbers in the rows of a pass.
    pub(super) numbers: usize,
    /// Rows whose slopes are chosen.
    pub(super) chosen: usize,
}

/// Bytes, from above but for what is small.
struct Needs {
    /// Of an image: values, boxes, pieces.
    image: usize,
    /// Of a pass, and of each of its rows.
    pass: usize,
    row: usize,
    /// Of a row whose slopes are chosen, besides.
    chosen: usize,
}

impl Needs {
    fn of(forward: &Forward, prepared: &Prepared) -> Self {
        let nodes = forward.network().nodes();
        let (mut image, mut chosen, mut most) = (0, 0, 0);
        for (i, node) in nodes.iter().enumerate() {
            // The value, its derivative for the attack, both ends of the box.
            image += 5 * 8 * node.len();
            let pieces = match (&node.op, forward.map(i)) {
                (Op::Activation(activation), _) => node.len() * most_pieces(activation),
                (Op::PRelu(_) | Op::Max | Op::Min, _) => 2 * node.len(),
                (_, Map::MaxPool(_)) => 2 * terms(node.len(), prepared, i),
                _ => continue,
            };
            let bent = pieces * size_of::<Piece>() + 8 * node.len();
            let terms = terms(node.len(), prepared, i);
            // Touches and the steps that follow from them; the share of every slope, and its last step.
            image += bent + terms * (size_of::<Touch>() + 24);
            chosen += terms * (size_of::<Touch>() + 25) + 8 * node.len();
            most = most.max(bent);
        }
        let widest = prepared.widest;
        Self {
            // A box is narrowed before it is used: its pieces are found twice.
            image: image + most,
            pass: BLOCKS + 16 * widest,
            row: COPIES * 8 * widest,
            chosen,
        }
    }
}

/// Functions of one variable.
fn terms(entries: usize, prepared: &Prepared, node: usize) -> usize {
    let windows = &prepared.windows[node];
    entries + windows.iter().map(Vec::len).sum::<usize>()
}

impl Share {
    /// Of at most `memory` bytes, where a number is given.
    ///
    /// # Errors
    /// [`Error::TooLarge`] where they are not enough for one image and one row.
    pub(super) fn new(
        forward: &Forward,
        prepared: &Prepared,
        memory: Option<usize>,
    ) -> Result<Self, Error> {
        let rows = (PASS / prepared.widest).max(1);
        let Some(memory) = memory else {
            return Ok(Self {
                images: usize::MAX,
                numbers: PASS,
                chosen: rows,
            });
        };
        let threads = rayon::current_num_threads();
        let needs = Needs::of(forward, prepared);
        // Passes go on side by side, those of one image too; the least is two rows.
        let passes = threads * (needs.pass + 2 * needs.row);
        let one = needs.image + needs.chosen;
        let least = one + passes;
        let Some(images) = (1..=threads).rev().find(|n| n * one + passes <= memory) else {
            return Err(Error::TooLarge {
                what: format!(
                    "bounds around one image of this network take {least} bytes of memory"
                ),
                most: "what is given",
            });
        };
        let left = memory - images * one - passes;
        Ok(Self {
            images,
            numbers: (prepared.widest * (2 + left / 2 / threads / needs.row.max(1))).min(PASS),
            chosen: (1 + left / 2 / images / (needs.chosen + needs.row).max(1)).min(rows),
        })
    }
}
