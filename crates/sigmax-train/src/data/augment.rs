//! [`Augment`]: random changes of training images.

use crate::rng::Rng;

/// What is done to a training image (already normalised) before it is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Augment {
    /// Nothing.
    None,
    /// He et al. 2016, section 4.2: pad every side, crop the original size at a random place, flip
    /// left and right with probability ½. The padding is black, as `RandomCrop` pads before
    /// `Normalize` does its work in the usual pipeline; in normalised units that is −mean/std.
    FlipAndCrop {
        /// Pixels per side.
        padding: usize,
    },
}

impl Augment {
    /// Changes one image in place. `black` of each channel is what a pixel of 0 became.
    pub(crate) fn apply(self, shape: [usize; 3], image: &mut [f32], black: &[f32], rng: &mut Rng) {
        let Self::FlipAndCrop { padding } = self else {
            return;
        };
        let flip = rng.below(2) == 1;
        let down = rng.below(2 * padding + 1);
        let right = rng.below(2 * padding + 1);
        place(shape, image, black, padding, (flip, down, right));
    }
}

/// Flips if asked, pads and takes the crop whose corner is (`down`, `right`) in the padded image.
fn place(
    [channels, height, width]: [usize; 3],
    image: &mut [f32],
    black: &[f32],
    padding: usize,
    (flip, down, right): (bool, usize, usize),
) {
    let original = image.to_vec();
    for channel in 0..channels {
        for y in 0..height {
            for x in 0..width {
                // Pixel (y, x) of the crop is (y + down − padding, x + right − padding) inside.
                let source_y = (y + down).checked_sub(padding).filter(|&v| v < height);
                let source_x = (x + right).checked_sub(padding).filter(|&v| v < width);
                image[(channel * height + y) * width + x] = match (source_y, source_x) {
                    (Some(v), Some(u)) => {
                        let u = if flip { width - 1 - u } else { u };
                        original[(channel * height + v) * width + u]
                    }
                    _ => black[channel],
                };
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crops_and_flips_by_hand() {
        let image = [1.0, 2.0, 3.0, 4.0];
        let cases = [
            ((false, 1, 1), [1.0, 2.0, 3.0, 4.0]),
            ((true, 1, 1), [2.0, 1.0, 4.0, 3.0]),
            ((false, 0, 1), [-9.0, -9.0, 1.0, 2.0]),
            ((false, 2, 1), [3.0, 4.0, -9.0, -9.0]),
            ((false, 1, 0), [-9.0, 1.0, -9.0, 3.0]),
            ((true, 1, 2), [1.0, -9.0, 3.0, -9.0]),
        ];
        for (choice, expected) in cases {
            let mut out = image;
            place([1, 2, 2], &mut out, &[-9.0], 1, choice);
            let same = out.iter().zip(&expected).all(|(a, b)| (a - b).abs() <= 0.0);
            assert!(same, "{choice:?}: {out:?}");
        }
    }
}
