//! JPEG, by zune-jpeg: grey or colour, as bytes.

use std::io::Cursor;

use zune_jpeg::JpegDecoder;
use zune_jpeg::errors::DecodeErrors;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

use crate::bytes::source::Source;
use crate::error::Error;
use crate::images::bad;
use crate::images::decoded::{check, picture, planes, whole};
use crate::images::pixels::{Pixels, Stack};

/// Decodes the picture.
pub(super) fn decode(source: &Source) -> Result<Stack, Error> {
    let damaged = |error: DecodeErrors| bad(source, "a JPEG picture", format!("one with: {error}"));
    // The plain code paths: the same pixels on every machine. Strict: a file that is cut short is
    // refused, not filled with grey.
    let options = DecoderOptions::new_safe().set_strict_mode(true);
    let mut decoder = JpegDecoder::new_with_options(Cursor::new(whole(source)?), options);
    decoder.decode_headers().map_err(damaged)?;
    let (width, height) = match decoder.info() {
        Some(info) => (usize::from(info.width), usize::from(info.height)),
        None => return Err(bad(source, "a JPEG picture", "one without a size")),
    };
    check(source, width, height)?;
    let (channels, colour) = match decoder.input_colorspace() {
        Some(ColorSpace::Luma) => (1, ColorSpace::Luma),
        Some(ColorSpace::YCbCr | ColorSpace::RGB) => (3, ColorSpace::RGB),
        other => {
            let found = match other {
                Some(colour) => format!("{colour:?}"),
                None => "none".to_owned(),
            };
            return Err(bad(source, "grey or RGB colours", found));
        }
    };
    decoder.set_options(options.jpeg_set_out_colorspace(colour));
    let bytes = decoder.decode().map_err(damaged)?;
    if bytes.len() != channels * width * height {
        let found = format!("{} bytes of {width}×{height} pixels", bytes.len());
        return Err(bad(source, format!("{channels} channels"), found));
    }
    let planes = Pixels::Bytes(planes(&bytes, channels, channels));
    Ok(picture(source, [channels, height, width], planes))
}
