//! What a network is given: images in its layout, their units, and the input normalisation.

use sigmax::network::{Channels, Network};
use sigmax_formats::images::{Axes, Images, Inputs, Units};

use crate::error::Error;
use crate::request::CertifyRequest;

const LAYOUTS: [Channels; 2] = [Channels::First, Channels::Last];

/// Mean and standard deviation, one value for all channels or one for each.
pub(crate) type Normalisation = (Vec<f64>, Vec<f64>);

/// The network behind the normalisation that was asked for, the images as inputs of it, and the
/// normalisation.
pub(crate) fn prepare(
    request: &CertifyRequest,
    network: Network,
    images: Images,
) -> Result<(Network, Inputs, Option<Normalisation>), Error> {
    check_units(request, images.units())?;
    let normalisation = normalisation(request)?;
    let count = normalisation.as_ref().map_or(1, |(mean, _)| mean.len());
    let layout = layout(request, &images, &network.input().shape, count)?;
    let inputs = images.fit(&network.input().shape, layout)?;
    let Some((mean, std)) = &normalisation else {
        return Ok((network, inputs, None));
    };
    if let Some([channels, ..]) = inputs.fit().picture()
        && count != 1
        && count != channels
    {
        return Err(Error::Normalisation {
            mean: request.mean.len(),
            std: request.std.len(),
            channels: Some(channels),
        });
    }
    // One value for all channels is the same in any layout.
    let layout = inputs.fit().layout().unwrap_or(Channels::First);
    let network = network
        .normalised(layout, mean, std)
        .map_err(Error::Normalised)?;
    Ok((network, inputs, normalisation))
}

/// Between which the values of an input are, where others do not count.
pub(crate) fn range(request: &CertifyRequest, units: Units) -> Result<Option<[f64; 2]>, Error> {
    if !request.valid_pixels {
        return Ok(None);
    }
    let range = request.pixel_range.unwrap_or([0.0, 1.0]);
    match units {
        Units::Floats { least, most } if least < range[0] || range[1] < most => {
            Err(Error::PixelRange {
                images: request.images.clone(),
                least,
                most,
                stated: request.pixel_range,
            })
        }
        _ => Ok(Some(range)),
    }
}

/// Refuses values that distances would not be meant for.
fn check_units(request: &CertifyRequest, units: Units) -> Result<(), Error> {
    let images = || request.images.clone();
    match (units, request.pixel_range) {
        (Units::Floats { least, most }, range) => {
            let [low, high] = range.map_or([0.0, 1.0], |range| range);
            let normalised = !request.mean.is_empty() || !request.std.is_empty();
            if low <= least && most <= high || range.is_none() && normalised {
                return Ok(());
            }
            Err(Error::PixelRange {
                images: images(),
                least,
                most,
                stated: range,
            })
        }
        (_, Some(_)) => Err(Error::KnownUnits {
            images: images(),
            units,
        }),
        (_, None) => Ok(()),
    }
}

/// Mean and standard deviation, where either was given.
fn normalisation(request: &CertifyRequest) -> Result<Option<Normalisation>, Error> {
    let (mean, std) = (&request.mean, &request.std);
    let count = mean.len().max(std.len());
    if count == 0 {
        return Ok(None);
    }
    let spread = |values: &[f64], usual: f64| match values {
        [] => Some(vec![usual; count]),
        &[one] => Some(vec![one; count]),
        values => (values.len() == count).then(|| values.to_vec()),
    };
    match (spread(mean, 0.0), spread(std, 1.0)) {
        (Some(mean), Some(std)) => Ok(Some((mean, std))),
        _ => Err(Error::Normalisation {
            mean: mean.len(),
            std: std.len(),
            channels: None,
        }),
    }
}

/// The layout that was stated; for arrays that have the shape of the input, the one in which it has
/// `count` channels.
fn layout(
    request: &CertifyRequest,
    images: &Images,
    input: &[usize],
    count: usize,
) -> Result<Option<Channels>, Error> {
    if let Some(layout) = request.layout {
        return Ok(Some(layout));
    }
    if count == 1 || *images.axes() != Axes::Array(input.to_vec()) {
        return Ok(None);
    }
    let fits: Vec<Channels> = LAYOUTS
        .into_iter()
        .filter(|layout| layout.has_channels(input, count))
        .collect();
    let input = input.to_vec();
    match fits[..] {
        [layout] => Ok(Some(layout)),
        [] => Err(Error::NoChannels { count, input }),
        _ => Err(Error::OpenLayout { count, input }),
    }
}
