//! A line of a file of certificates: what is read is written back as the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sigmax_formats::certificate::{Header, Line};

fuzz_target!(|text: &str| {
    if let Ok(header) = Header::parse(text) {
        assert_eq!(Header::parse(&header.line()), Ok(header));
    }
    if let Ok(line) = Line::parse(text) {
        assert_eq!(Line::parse(&line.line()), Ok(line));
    }
});
