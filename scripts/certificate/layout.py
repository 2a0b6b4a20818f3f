"""Where the channels of an input are: what is stated per channel, for all of its entries."""
import math

import numpy as np


def is_flat(shape):
    return len(shape) == 1 or len(shape) == 2 and 1 in shape


def per_channel(values, shape, layout):
    """One value for all or one per channel, as an array that goes with an input of this shape."""
    count = len(values)
    values = np.array(values)
    if count == 1:
        return values.reshape([1] * len(shape))
    if layout == "chw" and shape[0] == count:
        return values.reshape([-1] + [1] * (len(shape) - 1))
    if layout == "hwc" and shape[-1] == count:
        return values.reshape([1] * (len(shape) - 1) + [-1])
    entries = math.prod(shape)
    if count == 0 or layout not in ("chw", "hwc") or not is_flat(shape) or entries % count:
        raise ValueError(f"{count} values per channel for an input of shape {shape} in the layout {layout}")
    places = np.arange(entries)
    channels = places // (entries // count) if layout == "chw" else places % count
    return values[channels].reshape(shape)


def is_arranged(picture, layout, shape):
    """Whether pictures of these channels, height and width make inputs of this shape."""
    c, h, w = picture
    whole = {"chw": [c, h, w], "hwc": [h, w, c]}.get(layout)
    return whole is not None and (shape == whole or c == 1 and shape == [h, w] or is_flat(shape) and math.prod(shape) == c * h * w)


def pixels(line):
    """The pixels of a certificate in the order of the input; None where it has none."""
    if "bytes" in line:
        return np.frombuffer(bytes.fromhex(line["bytes"]), dtype=np.uint8) / 255.0
    return np.array(line["values"], dtype=np.float64) if "values" in line else None
