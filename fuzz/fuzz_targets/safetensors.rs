//! A file of this format, hostile or not.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sigmax_formats::Format;

fuzz_target!(|bytes: &[u8]| {
    sigmax_fuzz::open_and_read(bytes, &[Format::Safetensors]);
});
