//! Resize and Upsample: nearest pixels, linear and cubic interpolation, antialiased or not.

use sigmax::network::{AxisMatrix, Filter, Interpolation, NodeId, Op, Separable};

use super::super::limits;
use super::super::parsed::Node;
use super::super::{arguments, resize, size};
use super::lowering::{Halt, Lowering, MIXES, refuse};

/// How one axis is resized.
#[derive(Clone, Copy, Debug)]
struct Axis {
    n: usize,
    m: usize,
    /// As stated, an f32; `None` where the output size is.
    scale: Option<f64>,
}

/// `Resize` and `Upsample`.
pub(super) fn resize(lowering: &mut Lowering<'_>, node: &Node, name: &str) -> Result<NodeId, Halt> {
    let id = lowering.data(node, 0)?;
    let shape = lowering.shape(id);
    let newer = node.op == "Resize" && lowering.context.parsed.opset >= 11;
    let antialias = node.int("antialias", 0)? != 0;
    let axes = along(lowering, node, &shape)?;
    let same = |axis: &Axis| axis.n == axis.m && axis.scale.is_none_or(|s| (s - 1.0).abs() <= 0.0);
    // onnxruntime leaves such an image as it is.
    if axes.iter().any(|axis| axis.n == axis.m && !same(axis)) {
        return refuse(
            "an axis is as long as before although its scale is not 1: the reference of ONNX and onnxruntime differ",
        );
    }
    let coordinates = if newer {
        node.text("coordinate_transformation_mode", "half_pixel")?
    } else {
        "asymmetric"
    };
    match node.text("mode", "nearest")? {
        "nearest" if antialias => refuse("antialias = 1 with mode = \"nearest\" is not covered"),
        "nearest" => {
            let rounding = if newer {
                node.text("nearest_mode", "round_prefer_floor")?
            } else {
                "simple"
            };
            let mut lists = Vec::new();
            for axis in &axes {
                lowering.room(&[axis.m])?;
                lists.push(match same(axis) {
                    true => None,
                    false => Some(nearest(*axis, coordinates, rounding)?),
                });
            }
            lowering.picked(name, id, lists)
        }
        mode @ ("linear" | "bilinear" | "trilinear" | "cubic") => {
            let filter = filter(node, mode == "cubic", antialias)?;
            let mut matrices = Vec::new();
            for axis in &axes {
                let reach = match antialias {
                    true => axis.n.div_ceil(axis.m.max(1)),
                    false => 1,
                };
                lowering.room(&[axis.m, 8, reach])?;
                lowering.room(&[axis.n])?;
                matrices.push(match same(axis) {
                    true => None,
                    false => Some(interpolated(*axis, coordinates, filter)?),
                });
            }
            if matrices.iter().all(Option::is_none) {
                return Ok(id);
            }
            lowering.add(name, Op::Separable(Separable::new(matrices)), &[id])
        }
        other => refuse(format!("mode = {other:?} is not covered")),
    }
}

/// How every axis but the batch is resized.
fn along(lowering: &mut Lowering<'_>, node: &Node, shape: &[usize]) -> Result<Vec<Axis>, Halt> {
    let rank = shape.len() + 1;
    let sizes = resize::infer(&lowering.context, node);
    let sizes = sizes.filter(|sizes| sizes.len() == rank);
    let sizes = sizes.and_then(|sizes| Some((sizes[0], size::lengths(&sizes[1..])?)));
    let Some((batch, sizes)) = sizes else {
        return refuse("the size of its output does not follow exactly from what it states");
    };
    if batch != lowering.batch {
        return refuse(MIXES);
    }
    let mut axes: Vec<Axis> = (0..rank - 1)
        .map(|axis| Axis {
            n: shape[axis],
            m: sizes[axis],
            scale: None,
        })
        .collect();
    if lowering.context.integers(node, 3).is_some() {
        return Ok(axes);
    }
    let stated = match node.ints("axes")? {
        None => (0..rank).collect(),
        Some(axes) => {
            let axes = axes.iter().map(|&axis| arguments::axis(axis, rank));
            axes.collect::<Option<Vec<_>>>().unwrap_or_default()
        }
    };
    let scales = resize::scales(&lowering.context, node).unwrap_or_default();
    if scales.len() != stated.len() {
        return refuse("its scales do not fit its axes");
    }
    let place = resize::place(&lowering.context, node);
    if let Some(value) = node.inputs.get(place).copied().flatten() {
        lowering.replaceable(value);
    }
    for (axis, scale) in stated.into_iter().zip(scales) {
        match axis {
            0 if (scale - 1.0).abs() <= 0.0 => {}
            0 => return refuse(MIXES),
            axis => axes[axis - 1].scale = Some(scale),
        }
    }
    Ok(axes)
}

impl Axis {
    /// Whether the output is as long as the scale says, without rounding down.
    fn is_exact(&self) -> bool {
        let exact = |scale: f64| (self.n as f64 * scale - self.m as f64).abs() <= 0.0;
        self.scale.is_none_or(exact)
    }

    /// The corners of an output that is rounded down lie where its length before rounding says (the
    /// reference of ONNX) or where the output ends (onnxruntime).
    fn check_corners(&self, coordinates: &str) -> Result<(), Halt> {
        if coordinates == "align_corners" && !self.is_exact() {
            return refuse(format!(
                "align_corners with an output of {} entries, which is not the {} entries of its \
                 input times its scale: the reference of ONNX and onnxruntime differ",
                self.m, self.n
            ));
        }
        Ok(())
    }
}

/// What an interpolation weighs entries with, where it is not the hat between two neighbours.
fn filter(node: &Node, cubic: bool, antialias: bool) -> Result<Option<Filter>, Halt> {
    let exclude_outside = node.int("exclude_outside", 0)? != 0;
    if !cubic && !antialias {
        return match exclude_outside {
            true => refuse("exclude_outside = 1 with mode = \"linear\" is not covered"),
            false => Ok(None),
        };
    }
    let a = f64::from(node.float("cubic_coeff_a", -0.75)?);
    Ok(Some(Filter {
        cubic: cubic.then_some(a),
        antialias,
        exclude_outside,
    }))
}

/// Interpolation along one axis, in real arithmetic.
fn interpolated(axis: Axis, coordinates: &str, filter: Option<Filter>) -> Result<AxisMatrix, Halt> {
    axis.check_corners(coordinates)?;
    let Axis { n, m, scale } = axis;
    let how = match coordinates {
        "half_pixel" => Interpolation::HalfPixel,
        // The same where the output is as long as the scale says.
        "half_pixel_symmetric" if axis.is_exact() => Interpolation::HalfPixel,
        "pytorch_half_pixel" => Interpolation::PytorchHalfPixel,
        "align_corners" => Interpolation::AlignCorners,
        "asymmetric" => Interpolation::Asymmetric,
        other => {
            return refuse(format!(
                "coordinate_transformation_mode = {other:?} is not covered here"
            ));
        }
    };
    let scale = scale.unwrap_or(m as f64 / n as f64);
    Ok(match filter {
        None => AxisMatrix::linear(n, m, scale, how)?,
        Some(_) if m == 1 && how == Interpolation::PytorchHalfPixel => {
            return refuse(
                "pytorch_half_pixel with a single output pixel: the reference of ONNX and onnxruntime differ",
            );
        }
        Some(filter) => AxisMatrix::filtered(n, m, scale, how, filter)?,
    })
}

/// The input pixel that every output pixel is. Positions are computed in f32 when a model runs; where
/// that and f64 do not choose the same pixel there is no answer.
fn nearest(axis: Axis, coordinates: &str, rounding: &str) -> Result<Vec<usize>, Halt> {
    axis.check_corners(coordinates)?;
    let Axis { n, m, scale } = axis;
    if n.max(m) > limits::EXTENT {
        return refuse("an axis is too long");
    }
    #[allow(
        clippy::cast_possible_truncation,
        reason = "f32 is what a model computes in, and lengths are at most 2²⁴"
    )]
    let (single, double) = (
        Coordinates::<f32> {
            n: n as f32,
            m: m as f32,
            scale: scale.map_or(m as f32 / n as f32, |scale| scale as f32),
        },
        Coordinates::<f64> {
            n: n as f64,
            m: m as f64,
            scale: scale.unwrap_or(m as f64 / n as f64),
        },
    );
    let mut list = Vec::with_capacity(m);
    for i in 0..m {
        let (Some(a), Some(b)) = (
            single.position(i as f32, coordinates),
            double.position(i as f64, coordinates),
        ) else {
            return refuse(format!(
                "coordinate_transformation_mode = {coordinates:?} is not covered here"
            ));
        };
        let shrinks = double.scale < 1.0;
        let (Some(a), Some(b)) = (
            pixel(f64::from(a), n, rounding, shrinks),
            pixel(b, n, rounding, shrinks),
        ) else {
            return refuse(format!("nearest_mode = {rounding:?} is not known"));
        };
        if a != b {
            return refuse(format!(
                "rounding decides which pixel output {i} of {m} is, of {n}"
            ));
        }
        list.push(a);
    }
    Ok(list)
}

/// Lengths and scale of an axis in the arithmetic of its positions.
struct Coordinates<T> {
    n: T,
    m: T,
    scale: T,
}

macro_rules! positions {
    ($float:ty) => {
        impl Coordinates<$float> {
            /// Where output pixel `i` lies in the input.
            fn position(&self, i: $float, coordinates: &str) -> Option<$float> {
                let &Self { n, m, scale } = self;
                Some(match coordinates {
                    "half_pixel" => (i + 0.5) / scale - 0.5,
                    "pytorch_half_pixel" if m <= 1.0 => 0.0,
                    "pytorch_half_pixel" => (i + 0.5) / scale - 0.5,
                    "align_corners" if m <= 1.0 => 0.0,
                    "align_corners" => i * (n - 1.0) / (m - 1.0),
                    "asymmetric" => i / scale,
                    "tf_half_pixel_for_nn" => (i + 0.5) / scale,
                    "half_pixel_symmetric" => {
                        let adjustment = m / (scale * n);
                        n / 2.0 * (1.0 - adjustment) + (i + 0.5) / scale - 0.5
                    }
                    _ => return None,
                })
            }
        }
    };
}

positions!(f32);
positions!(f64);

/// The pixel of `n` next to a position.
fn pixel(at: f64, n: usize, rounding: &str, shrinks: bool) -> Option<usize> {
    let tie = (at - at.floor() - 0.5).abs() <= 0.0;
    let at = match rounding {
        "round_prefer_floor" if tie => at.floor(),
        "round_prefer_ceil" if tie => at.ceil(),
        "round_prefer_floor" | "round_prefer_ceil" => at.round(),
        "floor" => at.floor(),
        "ceil" => at.ceil(),
        "simple" if shrinks => at.ceil(),
        "simple" => at.trunc(),
        _ => return None,
    };
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "between 0 and n − 1"
    )]
    let pixel = at.clamp(0.0, (n - 1) as f64) as usize;
    Some(pixel)
}
