//! What all reports are written with: decimal numbers rounded outward, names made printable, JSON, the
//! frame of a page and its drawings.

pub(crate) mod chart;
pub(crate) mod curve;
pub(crate) mod decimal;
pub(crate) mod json;
pub(crate) mod lines;
pub(crate) mod page;
pub(crate) mod paint;
pub(crate) mod printable;
pub(crate) mod svg;
pub(crate) mod text;
pub(crate) mod words;
pub(crate) mod wrap;
