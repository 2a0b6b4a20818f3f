//! [`Fit`]: how images become inputs of a model, if they do.
//!
//! As many entries are not enough: the same entries in another order are another image. What is
//! known of the axes has to agree with the shape of the input; where that leaves two orders, the
//! layout has to be stated.

use std::borrow::Cow;
use std::fmt;

use sigmax::network::Channels;

use crate::images::Axes;

const LAYOUTS: [Channels; 2] = [Channels::First, Channels::Last];

/// How the images of a set become inputs of a model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fit {
    axes: Axes,
    input: Vec<usize>,
    layout: Option<Channels>,
    picture: Option<[usize; 3]>,
    order: Order,
}

/// Where the entries of an image go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    /// They stay.
    Same,
    /// They are a matrix with so many columns, which is transposed.
    Transposed { columns: usize },
}

/// Why images are no inputs of a model: what was expected, and what was found.
type Misfit = (String, String);

impl Fit {
    /// How images with these axes become inputs of this shape; `layout` is that of the input, where
    /// somebody states it.
    pub(super) fn new(
        axes: &Axes,
        input: &[usize],
        layout: Option<Channels>,
    ) -> Result<Self, Misfit> {
        match axes {
            Axes::Picture(picture) => of_picture(axes, *picture, input, layout),
            Axes::Array(shape) => of_array(axes, shape, input, layout),
        }
    }

    /// The shape of the input, batch axis left out.
    #[must_use]
    pub fn input(&self) -> &[usize] {
        &self.input
    }

    /// Where the channels of the input are; `None` where nothing says so, and the images have the
    /// shape of the input.
    #[must_use]
    pub fn layout(&self) -> Option<Channels> {
        self.layout
    }

    /// Channels, height and width of every image, where they are known.
    #[must_use]
    pub fn picture(&self) -> Option<[usize; 3]> {
        self.picture
    }

    /// The entries of an image in the order of the input.
    pub(super) fn apply<'a, T: Copy>(&self, entries: &'a [T]) -> Cow<'a, [T]> {
        match self.order {
            Order::Same => Cow::Borrowed(entries),
            Order::Transposed { columns } => {
                let column = |c: usize| entries.iter().skip(c).step_by(columns).copied();
                Cow::Owned((0..columns).flat_map(column).collect())
            }
        }
    }
}

impl fmt::Display for Fit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} as inputs of shape {:?}", self.axes, self.input)?;
        if let Some(layout) = self.layout {
            write!(f, " ({})", layout.name())?;
        }
        match self.order {
            Order::Same => Ok(()),
            Order::Transposed { .. } => write!(f, ", transposed"),
        }
    }
}

/// Whether pictures of these channels, height and width make inputs of this shape, in this layout:
/// by equal shapes, with an axis of 1 for one channel or without, or flattened.
pub(crate) fn is_arranged(picture: [usize; 3], layout: Channels, input: &[usize]) -> bool {
    let [channels, height, width] = picture;
    let whole = match layout {
        Channels::First => [channels, height, width],
        Channels::Last => [height, width, channels],
    };
    input == whole || channels == 1 && input == [height, width] || is_flat(input, &picture)
}

/// Whether the input is one axis, or one beside an axis of 1, with as many entries as the image.
fn is_flat(input: &[usize], image: &[usize]) -> bool {
    let product = |shape: &[usize]| {
        shape
            .iter()
            .try_fold(1usize, |product, &n| product.checked_mul(n))
    };
    let entries = product(image);
    matches!(input, [_] | [1, _] | [_, 1]) && entries.is_some() && product(input) == entries
}

fn of_picture(
    axes: &Axes,
    picture: [usize; 3],
    input: &[usize],
    asked: Option<Channels>,
) -> Result<Fit, Misfit> {
    let [channels, height, width] = picture;
    let fits: Vec<Channels> = LAYOUTS
        .into_iter()
        .filter(|&layout| asked.is_none_or(|asked| asked == layout))
        .filter(|&layout| is_arranged(picture, layout, input))
        .collect();
    // With one channel or one pixel, both orders are the same.
    let same = channels == 1 || height * width == 1;
    let layout = match fits[..] {
        [] => {
            let [first, last] = [[channels, height, width], [height, width, channels]];
            let found = format!("{axes}, which fit {first:?} (chw) and {last:?} (hwc)");
            return Err((expected(input, asked), found));
        }
        [_, _] if !same => {
            let expected = format!(
                "a layout of the input {input:?}: chw, one channel after the other, or hwc, one \
                 pixel after the other (`sigmax certify --layout`)"
            );
            return Err((expected, format!("none, and {axes}, which fit both")));
        }
        [layout, ..] => layout,
    };
    Ok(Fit {
        axes: axes.clone(),
        input: input.to_vec(),
        layout: Some(layout),
        picture: Some(picture),
        order: match layout {
            Channels::Last if !same => Order::Transposed {
                columns: height * width,
            },
            _ => Order::Same,
        },
    })
}

fn of_array(
    axes: &Axes,
    shape: &[usize],
    input: &[usize],
    asked: Option<Channels>,
) -> Result<Fit, Misfit> {
    if shape == input || matches!(shape, [_]) && is_flat(input, shape) {
        return Ok(Fit {
            axes: axes.clone(),
            input: input.to_vec(),
            layout: asked,
            picture: match (asked, shape) {
                (Some(Channels::First), &[c, h, w]) | (Some(Channels::Last), &[h, w, c]) => {
                    Some([c, h, w])
                }
                _ => None,
            },
            order: Order::Same,
        });
    }
    // One channel, with an axis of 1 or without: rows of pixels in any case.
    let grey = match *shape {
        [h, w] => vec![[1, h, w]],
        [c, h, w] => [[c, h, w], [w, c, h]]
            .into_iter()
            .filter(|picture| picture[0] == 1)
            .collect(),
        _ => Vec::new(),
    };
    if let Some(fit) = grey
        .into_iter()
        .find_map(|picture| of_picture(axes, picture, input, asked).ok())
    {
        return Ok(fit);
    }
    // Channels that the input has at the other end. Only one of the two readings can fit: for both
    // to do, all extents would be equal, and so would the shapes.
    if let (&[a, b, c], [_, _, _]) = (shape, input) {
        let planes = [a, b, c];
        if let Ok(fit) = of_picture(axes, planes, input, asked)
            && fit.layout == Some(Channels::Last)
        {
            return Ok(fit);
        }
        let pixels = [c, a, b];
        if let Ok(fit) = of_picture(axes, pixels, input, asked)
            && fit.layout == Some(Channels::First)
        {
            let order = Order::Transposed { columns: c };
            return Ok(Fit { order, ..fit });
        }
    }
    let found = match *shape {
        [_, _, _] if is_flat(input, shape) => format!(
            "{axes}: neither their order nor that of the input is known; save them flat, as the \
             model flattens them"
        ),
        [a, b, c] => format!(
            "{axes}, which fit {shape:?}, {:?} (chw, if they are hwc) and {:?} (hwc, if they are chw)",
            [c, a, b],
            [b, c, a]
        ),
        [h, w] => format!(
            "{axes}, which fit {shape:?}, {:?} (chw) and {:?} (hwc)",
            [1, h, w],
            [h, w, 1]
        ),
        _ => format!("{axes}, whose axes are not known; save them with the shape of the input"),
    };
    Err((expected(input, asked), found))
}

fn expected(input: &[usize], asked: Option<Channels>) -> String {
    match asked {
        Some(layout) => format!("images for inputs of shape {input:?} ({})", layout.name()),
        None => format!("images for inputs of shape {input:?}"),
    }
}
