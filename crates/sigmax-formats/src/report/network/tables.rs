//! The table of nodes.

use crate::report::NetworkBounds;
use crate::report::ink::page::table;
use crate::report::ink::text::{name, plain, sentence, up};
use crate::report::ink::words::{by, plural};

/// Most nodes that are listed.
const NODES: usize = 2000;

pub(crate) fn nodes(bounds: &NetworkBounds, digits: usize) -> String {
    let heads = [
        "#",
        "node",
        "op",
        "reads",
        "shape",
        "#own\nat most",
        "#from input\nat most",
        "rule",
    ];
    let rows: Vec<Vec<String>> = bounds
        .nodes
        .iter()
        .enumerate()
        .take(NODES)
        .map(|(i, node)| {
            let inputs: Vec<String> = node.inputs.iter().map(ToString::to_string).collect();
            vec![
                i.to_string(),
                name(&node.name),
                node.op.to_owned(),
                inputs.join(", "),
                by(&node.shape),
                up(node.own.get(), digits),
                up(node.through.get(), digits),
                plain(&node.rule),
            ]
        })
        .collect();
    let mut content = table(&heads, &rows);
    if bounds.nodes.len() > NODES {
        content += &format!(
            "<p>The first {NODES} of {} nodes; the JSON report has all of them.</p>\n",
            bounds.nodes.len()
        );
    }
    for note in &bounds.notes {
        content += &format!("<p>{}</p>\n", sentence(note));
    }
    format!(
        "<section id=\"nodes\">\n<details><summary>The network node by node: {}, each with its \
         proved constant and the rule it comes from</summary>\n{content}</details>\n</section>\n",
        plural(bounds.nodes.len(), "node")
    )
}
