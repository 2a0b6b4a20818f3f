//! Where the constant of the network comes from: step by step along the path that dominates it.

use crate::report::ink::chart::{grid, key_list, line, row_height, scale};
use crate::report::ink::decimal::{Rounding, decimal};
use crate::report::ink::page::section;
use crate::report::ink::printable::printable;
use crate::report::ink::svg::{self, Linear, Tick, escape, percent};
use crate::report::ink::text::{est, up};
use crate::report::ink::wrap::shorten;
use crate::report::{NetworkBounds, NetworkRow};

/// Most steps that are drawn one by one.
const STEPS: usize = 90;
const NAME: usize = 34;

/// A step: from the constant before it to the constant after it.
#[derive(Clone, Debug, PartialEq)]
struct Step {
    name: String,
    before: f64,
    after: f64,
    /// Whether it is what factors between layers gain.
    factors: bool,
}

impl Step {
    /// log₁₀ of its factor.
    fn jump(&self) -> f64 {
        self.after.log10() - self.before.log10()
    }
}

pub(crate) fn waterfall(bounds: &NetworkBounds, digits: usize) -> String {
    let upper = bounds.upper.get();
    if !(upper > 0.0 && upper.is_finite()) {
        return String::new();
    }
    let steps = path(bounds);
    let all = steps.len();
    let steps: Vec<Step> = steps
        .into_iter()
        .filter(|s| s.after.to_bits() != s.before.to_bits())
        .collect();
    let usable = |x: f64| x > 0.0 && x.is_finite();
    if steps.is_empty() || !steps.iter().all(|s| usable(s.before) && usable(s.after)) {
        return String::new();
    }
    let left_out = all - steps.len();
    let has_factors = steps.iter().any(|step| step.factors);
    let steps = merged(steps);
    let jacobian = bounds.jacobian.filter(|norm| usable(norm.get()));
    let drawing = Drawing::new(&steps, upper, jacobian.map(|norm| norm.get()), digits);
    let dense = if drawing.height < 18 { " dense" } else { "" };
    let mut rows = drawing.scale();
    for (i, step) in steps.iter().enumerate() {
        rows += &drawing.row(step, i == 0);
    }
    rows += &drawing.total(upper);
    rows += &drawing.scale();
    let mut lead =
        "The constant so far, from the input at the top to the output at the bottom, in \
                    powers of ten: each bar is the factor of one step on the path that dominates \
                    (at a sum of branches the largest branch, and the sum adds the rest). Long \
                    bars are where a network is worth changing. The constants are proved; a \
                    factor is the quotient of two of them, to nearest."
            .to_owned();
    if left_out > 0 {
        lead += &format!(
            " {left_out} step{} with factor exactly 1 {} left out.",
            if left_out == 1 { "" } else { "s" },
            if left_out == 1 { "is" } else { "are" }
        );
    }
    if has_factors {
        lead += " Layers with factors between them are drawn one by one, and then what the factors \
                 gain.";
    }
    let mut items = vec![
        (
            "<rect class=\"up\" x=\"1\" y=\"3\" width=\"20\" height=\"10\"/>".to_owned(),
            "factor above 1".to_owned(),
        ),
        (
            "<rect class=\"down\" x=\"1\" y=\"3\" width=\"20\" height=\"10\"/>".to_owned(),
            "factor below 1".to_owned(),
        ),
    ];
    if let Some(norm) = jacobian {
        items.push((
            "<line class=\"limit\" x1=\"11\" x2=\"11\" y1=\"0\" y2=\"16\"/>".to_owned(),
            format!(
                "norm of the Jacobian at some inputs: {}, not a bound; the gap to the end of the \
                 last bar is how loose the constant may be",
                est(norm)
            ),
        ));
    }
    section(
        "network",
        "Where the network’s constant comes from",
        &lead,
        &format!(
            "{}<div class=\"rows fall{dense}\">\n{rows}</div>\n",
            key_list(&items)
        ),
    )
}

/// The steps from the input to the output along the largest constants. They telescope: the factors
/// multiply to the constant of the network.
fn path(bounds: &NetworkBounds) -> Vec<Step> {
    let nodes = &bounds.nodes;
    let through = |i: usize| nodes[i].through.get();
    let Some(end) = end(bounds) else {
        return Vec::new();
    };
    let mut steps = Vec::new();
    if through(end).to_bits() != bounds.upper.get().to_bits() {
        steps.push(Step {
            name: "all outputs together".to_owned(),
            before: through(end),
            after: bounds.upper.get(),
            factors: false,
        });
    }
    let mut at = end;
    loop {
        let node = &nodes[at];
        let first = node.together_from.filter(|&first| first < at).unwrap_or(at);
        let names =
            |joined: &str| format!("{}{joined}{}", printable(&nodes[first].name), label(node));
        let mut name = label(node);
        let mut after = through(at);
        let mut before = nodes[first]
            .inputs
            .iter()
            .copied()
            .filter(|&input| input < first)
            .reduce(|a, b| if through(b) > through(a) { b } else { a });
        if let Some((input, alone)) = alone(bounds, at) {
            steps.push(Step {
                name: names(" to ") + ": factors",
                before: alone,
                after,
                factors: true,
            });
            after = alone;
            before = Some(input);
        } else if first < at {
            name = names(if node.scaled { " to " } else { " + " });
        }
        steps.push(Step {
            name,
            before: before.map_or(1.0, through),
            after,
            factors: false,
        });
        match before {
            Some(before) => at = before,
            None => break,
        }
    }
    steps.reverse();
    steps
}

/// Of a layer that has factors between it and those before: what it reads, and the constant up to it
/// without them.
fn alone(bounds: &NetworkBounds, at: usize) -> Option<(usize, f64)> {
    let node = &bounds.nodes[at];
    let &[input] = &node.inputs[..] else {
        return None;
    };
    let before = bounds.nodes[..at].get(input)?;
    let alone = before.through.times(node.own).get();
    let is_drawn = node.scaled && node.layer.is_some() && alone.is_finite();
    is_drawn.then_some((input, alone))
}

/// What a step is called.
fn label(node: &NetworkRow) -> String {
    let name = printable(&node.name);
    if node.inputs.len() > 1 {
        format!("{name} ({} of {})", node.op, node.inputs.len())
    } else {
        name
    }
}

/// The node that the path ends in: of those that nothing reads, with the largest constant that the
/// network's is not below.
fn end(bounds: &NetworkBounds) -> Option<usize> {
    let nodes = &bounds.nodes;
    let mut read = vec![false; nodes.len()];
    for &input in nodes.iter().flat_map(|node| &node.inputs) {
        if let Some(slot) = read.get_mut(input) {
            *slot = true;
        }
    }
    let within = |&i: &usize| nodes[i].through <= bounds.upper;
    let largest = |a: usize, b: usize| {
        if nodes[b].through >= nodes[a].through {
            b
        } else {
            a
        }
    };
    (0..nodes.len())
        .filter(|&i| !read[i])
        .filter(within)
        .reduce(largest)
        .or_else(|| (0..nodes.len()).rev().find(within))
}

/// The largest steps; neighbours between them are joined.
fn merged(steps: Vec<Step>) -> Vec<Step> {
    if steps.len() <= STEPS {
        return steps;
    }
    let mut sizes: Vec<f64> = steps.iter().map(|step| step.jump().abs()).collect();
    sizes.sort_by(|a, b| b.total_cmp(a));
    let least = sizes[STEPS / 2 - 1];
    let mut out: Vec<(Step, usize)> = Vec::new();
    for step in steps {
        let small = step.jump().abs() <= least;
        match out.last_mut() {
            Some((last, count)) if small && *count > 0 => {
                last.after = step.after;
                *count += 1;
            }
            _ => out.push((step, usize::from(small))),
        }
    }
    out.into_iter()
        .map(|(step, count)| match count {
            0 | 1 => step,
            _ => Step {
                name: format!("{count} smaller steps"),
                ..step
            },
        })
        .collect()
}

struct Drawing {
    axis: Linear,
    ticks: Vec<Tick>,
    reference: Option<f64>,
    height: usize,
    digits: usize,
}

impl Drawing {
    fn new(steps: &[Step], upper: f64, reference: Option<f64>, digits: usize) -> Self {
        let values = steps.iter().flat_map(|s| [s.before, s.after]);
        let values: Vec<f64> = values.chain(reference).chain([1.0, upper]).collect();
        let logs = values.iter().map(|x| x.log10());
        let (low, high) = logs.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), x| {
            (low.min(x), high.max(x))
        });
        let room = 0.03 * (high - low);
        let axis = Linear::new(low - room, high + room);
        Self {
            axis,
            ticks: decades(low - room, high + room, &axis),
            reference: reference.map(|x| axis.share(x.log10())),
            height: row_height(steps.len()),
            digits,
        }
    }

    fn scale(&self) -> String {
        scale(&self.ticks, "step", "factor", "")
    }

    fn at(&self, x: f64) -> f64 {
        self.axis.share(x.log10())
    }

    fn row(&self, step: &Step, is_first: bool) -> String {
        let (from, to) = (self.at(step.before), self.at(step.after));
        let class = if to >= from { "up" } else { "down" };
        let mut drawing = self.background();
        if !is_first {
            drawing += &line("join", from, "0", "20%");
        }
        drawing += &bar(class, from, to);
        drawing += &line("join", to, "80%", "100%");
        let factor = decimal(step.after / step.before, 4, Rounding::Nearest);
        let words = format!(
            "factor {factor}, constant so far at most {}",
            up(step.after, self.digits)
        );
        self.line(
            &step.name,
            &words,
            &drawing,
            &format!("×\u{a0}{factor}"),
            "",
        )
    }

    fn total(&self, upper: f64) -> String {
        let (from, to) = (self.at(1.0), self.at(upper));
        let drawing = self.background() + &bar("sum", from, to);
        let value = format!("≤\u{a0}{}", up(upper, self.digits));
        self.line("the network", "proved", &drawing, &value, " total")
    }

    fn background(&self) -> String {
        let mut out = grid(&self.ticks);
        if let Some(share) = self.reference {
            out += &line("limit", share, "0", "100%");
        }
        out
    }

    fn line(&self, name: &str, words: &str, drawing: &str, value: &str, class: &str) -> String {
        format!(
            "<div class=\"row{class}\"><div class=\"label\" title=\"{full}\"><bdi>{short}</bdi>\
             </div><svg height=\"{height}\" role=\"img\"><title>{full}: {words}</title>{drawing}\
             </svg><div class=\"value\">{value}</div></div>\n",
            full = escape(name),
            short = escape(&shorten(name, NAME)),
            height = self.height,
        )
    }
}

fn bar(class: &str, from: f64, to: f64) -> String {
    format!(
        "<rect class=\"{class}\" x=\"{}\" y=\"20%\" width=\"{}\" height=\"60%\"/>",
        percent(from.min(to)),
        percent((to - from).abs().max(2e-4))
    )
}

/// Whole powers of ten.
fn decades(low: f64, high: f64, axis: &Linear) -> Vec<Tick> {
    let every = ((high - low) / 9.0).ceil().max(1.0) as i32;
    if high - low < 1.3 {
        return [0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0]
            .into_iter()
            .filter(|x: &f64| (low..=high).contains(&x.log10()))
            .map(|x| Tick {
                share: axis.share(x.log10()),
                label: svg::label(x),
            })
            .collect();
    }
    (low.ceil() as i32..=high.floor() as i32)
        .filter(|k| k.rem_euclid(every) == 0)
        .map(|k| Tick {
            share: axis.share(f64::from(k)),
            label: svg::label(10f64.powi(k)),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use sigmax::network::{Activation, NetworkBuilder, Op, lipschitz};
    use sigmax::{Kernel, Options};

    use super::*;

    fn step(before: f64, after: f64) -> Step {
        Step {
            name: "n".to_owned(),
            before,
            after,
            factors: false,
        }
    }

    #[test]
    fn layers_with_factors_between_them_are_steps_of_their_own() {
        let dense = |values: &[f64]| Op::dense(Kernel::new(&[2, 2], values.to_vec()).unwrap());
        let mut net = NetworkBuilder::new(&[2]).unwrap();
        let x = net.input();
        let first = net
            .add("first", dense(&[8.0, 0.0, 0.0, 0.5]), &[x])
            .unwrap();
        let relu = Op::Activation(Activation::Relu);
        let bent = net.add("relu", relu, &[first]).unwrap();
        let last = net
            .add("last", dense(&[0.5, 0.0, 0.0, 4.0]), &[bent])
            .unwrap();
        let net = net.finish(&[last]).unwrap();
        let bounds = lipschitz(&net, &Options::default()).unwrap();
        let bounds = NetworkBounds::new(&bounds, &[Some(first), Some(last)], &[]);
        let steps = path(&bounds);
        let found: Vec<_> = steps.iter().map(|s| (&s.name[..], s.factors)).collect();
        let names = ["input", "first", "relu", "last"].map(|name| (name, false));
        assert_eq!(found[..4], names);
        assert_eq!(found[4..], [("first to last: factors", true)]);
        for pair in steps.windows(2) {
            assert_eq!(pair[0].after.to_bits(), pair[1].before.to_bits());
        }
        // 8 · 4 without factors; with them the larger of 8 · 0.5 and 0.5 · 4
        assert!((steps[3].after / 32.0 - 1.0).abs() < 1e-6, "{steps:?}");
        assert!((steps[4].after / 4.0 - 1.0).abs() < 1e-2, "{steps:?}");
        assert_eq!(steps[4].after.to_bits(), bounds.upper.get().to_bits());
    }

    #[test]
    fn merging_keeps_the_largest_steps_and_the_total() {
        let mut steps = Vec::new();
        let mut at = 1.0;
        for i in 0..500 {
            let after = if i % 100 == 50 { 10.0 * at } else { 1.001 * at };
            steps.push(step(at, after));
            at = after;
        }
        let merged = merged(steps);
        assert!(merged.len() <= STEPS, "{}", merged.len());
        assert!(merged.first().unwrap().before.to_bits() == 1f64.to_bits());
        assert!(merged.last().unwrap().after.to_bits() == at.to_bits());
        for pair in merged.windows(2) {
            assert_eq!(pair[0].after.to_bits(), pair[1].before.to_bits());
        }
        let long = merged.iter().filter(|s| (s.jump() - 1.0).abs() < 1e-9);
        assert_eq!(long.count(), 5);
    }
}
