//! [`Size`]: the length of an axis, as far as it follows from the graph.

/// The length of an axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Size {
    /// A number that every run of the model has: stated by an input of the graph, or computed from
    /// such numbers and constants.
    Known(usize),
    /// The first axis of this input of the graph, whose length the file leaves open: another one in
    /// every run, and no number before.
    Batch(usize),
    /// Not known. What the file states about a value that is computed is no knowledge.
    Unknown,
}

/// Length per axis.
pub(super) type Dims = Vec<Size>;

impl Size {
    /// The number.
    pub(super) fn known(self) -> Option<usize> {
        match self {
            Self::Known(n) => Some(n),
            Self::Batch(_) | Self::Unknown => None,
        }
    }

    /// The number that a function makes of a known one.
    pub(super) fn and_then(self, function: impl FnOnce(usize) -> Option<usize>) -> Self {
        Self::from(self.known().and_then(function))
    }

    /// The one of two equal lengths that tells more; unknown where they cannot be equal.
    pub(super) fn or(self, other: Self) -> Self {
        match (self, other) {
            (Self::Known(a), Self::Known(b)) if a != b => Self::Unknown,
            (Self::Known(n), _) | (_, Self::Known(n)) => Self::Known(n),
            (Self::Unknown, other) => other,
            (batch, _) => batch,
        }
    }
}

impl From<Option<usize>> for Size {
    fn from(size: Option<usize>) -> Self {
        size.map_or(Self::Unknown, Self::Known)
    }
}

/// Known lengths.
pub(super) fn dims(lengths: &[usize]) -> Dims {
    lengths.iter().copied().map(Size::Known).collect()
}

/// The lengths, where all of them are known.
pub(super) fn lengths(dims: &[Size]) -> Option<Vec<usize>> {
    dims.iter().map(|size| size.known()).collect()
}

/// The product of lengths: a batch as long as the other factors are 1.
pub(super) fn product(dims: &[Size]) -> Size {
    let mut batch = None;
    let mut known = 1usize;
    for &size in dims {
        match size {
            Size::Known(n) => match known.checked_mul(n) {
                Some(product) => known = product,
                None => return Size::Unknown,
            },
            Size::Batch(_) if batch.is_none() => batch = Some(size),
            Size::Batch(_) | Size::Unknown => return Size::Unknown,
        }
    }
    match batch {
        Some(batch) if known == 1 => batch,
        Some(_) => Size::Unknown,
        None => Size::Known(known),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_is_no_number() {
        let (n, b, c) = (Size::Known(3), Size::Batch(0), Size::Batch(1));
        assert_eq!(product(&[n, n]), Size::Known(9));
        assert_eq!(product(&[b, Size::Known(1)]), b);
        assert_eq!(product(&[b, n]), Size::Unknown);
        assert_eq!(product(&[b, b]), Size::Unknown);
        assert_eq!(b.known(), None);
        assert_eq!(b.or(Size::Unknown), b);
        assert_eq!(b.or(n), n);
        assert_eq!(n.or(Size::Known(4)), Size::Unknown);
        assert_ne!(b, c);
    }
}
