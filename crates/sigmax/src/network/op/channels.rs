//! [`Channels`]: where the channels of a network's input are.

/// Where the channels of an input are, for what is stated per channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Channels {
    /// Channels, height, width; in a flat input one channel after the other.
    First,
    /// Height, width, channels; in a flat input one pixel after the other.
    Last,
}

impl Channels {
    /// A short name: `chw`, `hwc`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::First => "chw",
            Self::Last => "hwc",
        }
    }

    /// The layout with this [`Channels::name`].
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        [Self::First, Self::Last]
            .into_iter()
            .find(|layout| layout.name() == name)
    }

    /// Whether an input of this shape has that many channels there, or is flat and a multiple of
    /// them. A shape is flat with one axis, or a second one of 1 beside it.
    #[must_use]
    pub fn has_channels(self, shape: &[usize], channels: usize) -> bool {
        let axis = match self {
            Self::First => shape.first(),
            Self::Last => shape.last(),
        };
        channels > 0
            && (axis == Some(&channels)
                || is_flat(shape) && shape.iter().product::<usize>().is_multiple_of(channels))
    }

    /// The channel of every entry of an input of `len` entries, for which
    /// [`Channels::has_channels`].
    pub(crate) fn channels(self, len: usize, channels: usize) -> impl Iterator<Item = usize> {
        let plane = len / channels;
        (0..len).map(move |i| match self {
            Self::First => i / plane,
            Self::Last => i % channels,
        })
    }
}

/// Whether there is one axis, or one beside an axis of 1.
fn is_flat(shape: &[usize]) -> bool {
    matches!(shape, [_] | [1, _] | [_, 1])
}
