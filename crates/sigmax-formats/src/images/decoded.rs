//! What decoders of pictures have in common, and the sizes that are not believed.

use crate::bytes::source::Source;
use crate::error::Error;
use crate::images::pixels::{Pixels, Stack};
use crate::images::{Axes, bad};

/// Most bytes of a file of one picture.
const MAX_FILE: u64 = 256 << 20;
/// Most pixels of one picture: 4096×4096.
const MAX_PIXELS: u64 = 1 << 24;
/// Most pixels per byte of the file. PNG packs 8 pixels in a byte, and deflate a thousand bytes in
/// one; JPEG needs a bit for 64 pixels.
const MAX_RATIO: u64 = 1 << 14;

/// A file of one picture: channels, height and width, and its samples as planes.
pub(super) fn picture(source: &Source, shape: [usize; 3], pixels: Pixels) -> Stack {
    Stack {
        file: source.file().to_owned(),
        total: 1,
        take: 1,
        axes: Axes::Picture(shape),
        pixels,
    }
}

/// The whole file.
pub(super) fn whole(source: &Source) -> Result<Vec<u8>, Error> {
    source.limit(
        "the size of a picture file in bytes",
        MAX_FILE,
        source.len(),
    )?;
    source.read(0, source.len())
}

/// Checks the size that a picture states.
pub(super) fn check(source: &Source, width: usize, height: usize) -> Result<(), Error> {
    let pixels = (width as u64).saturating_mul(height as u64);
    source.limit("the number of pixels of a picture", MAX_PIXELS, pixels)?;
    if pixels > MAX_RATIO.saturating_mul(source.len()) {
        return Err(bad(
            source,
            "a picture",
            format!("a size of {width}×{height} in {} bytes", source.len()),
        ));
    }
    Ok(())
}

/// Interleaved samples as planes: the first `channels` of `stride` per pixel.
pub(super) fn planes<T: Copy>(interleaved: &[T], stride: usize, channels: usize) -> Vec<T> {
    let plane = |channel: usize| interleaved.iter().skip(channel).step_by(stride).copied();
    (0..channels).flat_map(plane).collect()
}
