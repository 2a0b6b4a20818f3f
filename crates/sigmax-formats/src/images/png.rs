//! PNG, by the crate of this name: grey or colour, opaque, as samples of 8 or 16 bits.

use std::io::Cursor;

use png::{BitDepth, ColorType, Decoder, DecodingError, Transformations};

use crate::bytes::source::Source;
use crate::error::Error;
use crate::images::bad;
use crate::images::decoded::{check, picture, planes, whole};
use crate::images::pixels::{Pixels, Stack};

/// Decodes the picture.
pub(super) fn decode(source: &Source) -> Result<Stack, Error> {
    let damaged = |error: DecodingError| bad(source, "a PNG picture", format!("one with: {error}"));
    let mut decoder = Decoder::new(Cursor::new(whole(source)?));
    // Palettes, transparent colours and samples of fewer than 8 bits, which spread evenly.
    decoder.set_transformations(Transformations::EXPAND);
    decoder.set_ignore_text_chunk(true);
    decoder.set_ignore_iccp_chunk(true);
    let mut reader = decoder.read_info().map_err(damaged)?;
    let info = reader.info();
    if info.animation_control.is_some() {
        return Err(bad(source, "a PNG picture", "an animation"));
    }
    // The decoder panics on one that ends within a colour.
    let palette = info.palette.as_ref().map_or(0, |palette| palette.len());
    if !palette.is_multiple_of(3) {
        let found = format!("{palette} bytes");
        return Err(bad(source, "a palette of three bytes a colour", found));
    }
    let [width, height] = [info.width, info.height].map(|side| side as usize);
    check(source, width, height)?;
    let Some(size) = reader.output_buffer_size() else {
        return Err(bad(
            source,
            "a PNG picture",
            format!("{width}×{height} pixels"),
        ));
    };
    let mut bytes = vec![0; size];
    reader.next_frame(&mut bytes).map_err(damaged)?;
    reader.finish().map_err(damaged)?;
    let (colour, depth) = reader.output_color_type();
    let (channels, alpha) = match colour {
        ColorType::Grayscale => (1, false),
        ColorType::GrayscaleAlpha => (1, true),
        ColorType::Rgb | ColorType::Indexed => (3, false),
        ColorType::Rgba => (3, true),
    };
    let stride = channels + usize::from(alpha);
    let samples = if depth == BitDepth::Sixteen {
        let (words, _) = bytes.as_chunks::<2>();
        let words: Vec<_> = words.iter().map(|&word| u16::from_be_bytes(word)).collect();
        opaque(source, &words, stride, alpha, u16::MAX)?;
        Pixels::Words(planes(&words, stride, channels))
    } else {
        opaque(source, &bytes, stride, alpha, u8::MAX)?;
        Pixels::Bytes(planes(&bytes, stride, channels))
    };
    Ok(picture(source, [channels, height, width], samples))
}

/// Refuses pixels that something would shine through.
fn opaque<T: Copy + PartialEq + std::fmt::Display>(
    source: &Source,
    samples: &[T],
    stride: usize,
    alpha: bool,
    most: T,
) -> Result<(), Error> {
    let mut last = samples.chunks_exact(stride).map(|pixel| pixel[stride - 1]);
    match last.position(|value| alpha && value != most) {
        Some(i) => {
            let value = samples[i * stride + stride - 1];
            let found = format!("alpha {value} of {most} at pixel {i}");
            Err(bad(source, "an opaque picture", found))
        }
        None => Ok(()),
    }
}
