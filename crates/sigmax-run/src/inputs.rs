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
        return Err(Error::Request(format!(
            "--mean has {} values and --std {}; expected one, or one for each of the {channels} \
             channels",
            request.mean.len(),
            request.std.len()
        )));
    }
    // One value for all channels is the same in any layout.
    let layout = inputs.fit().layout().unwrap_or(Channels::First);
    let network = network
        .normalised(layout, mean, std)
        .map_err(|error| Error::Request(format!("--mean and --std: {error}")))?;
    Ok((network, inputs, normalisation))
}

/// Refuses values that distances would not be meant for.
fn check_units(request: &CertifyRequest, units: Units) -> Result<(), Error> {
    let images = request.images.display();
    match (units, request.pixel_range) {
        (Units::Floats { least, most }, range) => {
            let [low, high] = range.map_or([0.0, 1.0], |range| range);
            let normalised = !request.mean.is_empty() || !request.std.is_empty();
            if low <= least && most <= high || range.is_none() && normalised {
                return Ok(());
            }
            let what = match range {
                Some(_) => format!("--pixel-range says {low} to {high}"),
                None => "distances are meant for pixels from 0 to 1; divide them, or say that \
                         these are the units by --pixel-range or --mean and --std"
                    .to_owned(),
            };
            Err(Error::Request(format!(
                "{images}: its values go from {least} to {most}; {what}"
            )))
        }
        (_, Some(_)) => Err(Error::Request(format!(
            "{images}: its pixels are {units}, from 0 to 1; --pixel-range is for arrays of floats"
        ))),
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
        _ => Err(Error::Request(format!(
            "--mean has {} values and --std {}; expected one for all channels, or one for each",
            mean.len(),
            std.len()
        ))),
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
    match fits[..] {
        [layout] => Ok(Some(layout)),
        [] => Err(Error::Request(format!(
            "--mean and --std have {count} values; the model's input {input:?} has no axis of \
             {count} channels at either end"
        ))),
        _ => Err(Error::Request(format!(
            "--mean and --std have {count} values; the model's input {input:?} may have its \
             channels first (chw) or last (hwc): say which by --layout"
        ))),
    }
}
