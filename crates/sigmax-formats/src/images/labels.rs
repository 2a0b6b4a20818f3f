//! Files of labels: idx, `.npy` or `.npz`, one label per image.

use std::path::Path;

use crate::bytes::source::Source;
use crate::error::Error;
use crate::images::content::{self, Content};
use crate::images::npy::Array;
use crate::images::pixels::Stack;
use crate::images::{Idx, bad, npz, open};

/// What is read as labels, for errors.
const EXPECTED: &str = "labels: idx, .npy or .npz";

/// Opens a file of labels.
pub(super) fn open(path: &Path) -> Result<Source, Error> {
    open::file(path, EXPECTED)
}

/// Decompresses labels.
pub(super) fn plain(source: Source) -> Result<Source, Error> {
    open::plain(source, EXPECTED)
}

/// The labels of the images in `stack`.
pub(super) fn read(source: Source, stack: &Stack) -> Result<Vec<usize>, Error> {
    match content::recognise(&source, EXPECTED)? {
        Content::Idx => {
            let idx = Idx::new(source, &[1])?;
            idx.labels(stack)
        }
        Content::Npy => of_array(&Array::read(source)?, stack),
        Content::Npz => of_array(&npz::File::read(&source)?.labels()?, stack),
        Content::Cifar10 => Err(bad(&source, EXPECTED, "CIFAR-10 records")),
        Content::Png | Content::Jpeg => Err(bad(&source, EXPECTED, "a picture")),
    }
}

/// The labels of the images in `stack`, from an array.
pub(super) fn of_array(array: &Array, stack: &Stack) -> Result<Vec<usize>, Error> {
    array.labels(|source, count| as_many(source, count, stack), stack.take)
}

impl Idx {
    fn labels(&self, stack: &Stack) -> Result<Vec<usize>, Error> {
        as_many(self.source(), self.sizes()[0], stack)?;
        let labels = self.read(stack.take)?;
        Ok(labels.into_iter().map(usize::from).collect())
    }
}

/// Refuses labels that are not as many as the images.
fn as_many(source: &Source, count: usize, stack: &Stack) -> Result<(), Error> {
    if count == stack.total {
        return Ok(());
    }
    let images = stack.file.display();
    let expected = format!("{} labels, as many as {images} has images", stack.total);
    Err(bad(source, expected, count.to_string()))
}
