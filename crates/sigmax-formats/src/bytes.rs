//! Bytes of files that are not trusted: ranges checked, wire formats, archives, digests.

pub(crate) mod cursor;
pub(crate) mod digest;
pub(crate) mod element;
pub(crate) mod float8;
pub(crate) mod gzip;
pub(crate) mod source;
pub(crate) mod wire;
pub(crate) mod zip;
