//! Blocks of pixels that become channels, and back.

use sigmax::network::NodeId;

use super::super::parsed::Node;
use super::lowering::{Halt, Lowering, refuse};

/// `DepthToSpace` and `SpaceToDepth`.
pub(super) fn blocks(lowering: &mut Lowering<'_>, node: &Node, name: &str) -> Result<NodeId, Halt> {
    let id = lowering.data(node, 0)?;
    let shape = lowering.shape(id);
    let [c, h, w] = shape[..] else {
        return refuse(format!(
            "its input has {} axes; expected four",
            shape.len() + 1
        ));
    };
    let stated = node.int("blocksize", 0)?;
    let block = usize::try_from(stated)
        .ok()
        .filter(|n| (1..=1 << 12).contains(n));
    let Some(b) = block else {
        return refuse(format!("blocksize = {stated}"));
    };
    let wrong = || refuse(format!("an input of shape {shape:?} with blocksize {b}"));
    if node.op == "SpaceToDepth" {
        if !h.is_multiple_of(b) || !w.is_multiple_of(b) {
            return wrong();
        }
        let (h, w) = (h / b, w / b);
        let id = lowering.reshaped(name, id, &[c, h, b, w, b])?;
        let id = lowering.transposed(name, id, &[2, 4, 0, 1, 3])?;
        return lowering.reshaped(name, id, &[c * b * b, h, w]);
    }
    if !c.is_multiple_of(b * b) {
        return wrong();
    }
    let c = c / (b * b);
    let (apart, order) = match node.text("mode", "DCR")? {
        "DCR" => ([b, b, c, h, w], [2, 3, 0, 4, 1]),
        "CRD" => ([c, b, b, h, w], [0, 3, 1, 4, 2]),
        other => return refuse(format!("mode = {other:?}; expected DCR or CRD")),
    };
    let id = lowering.reshaped(name, id, &apart)?;
    let id = lowering.transposed(name, id, &order)?;
    lowering.reshaped(name, id, &[c, h * b, w * b])
}
