//! Models that a program holds in memory.

use sigmax::network::{Activation, NetworkBuilder, Op};
use sigmax::weight::Weight;
use sigmax::{Conv, Kernel};
use sigmax_formats::report::Request;
use sigmax_formats::{Format, Held, HeldLayer, HeldNetwork, Model, Precision, Refused, Skipped};
use sigmax_run::{AuditRun, Error, NetworkPart, Resources};

/// λ·I₂, and a layer that the network does not use.
fn held(network: impl FnOnce(HeldNetwork) -> Result<HeldNetwork, Vec<Refused>>) -> Model {
    let kernel = |factor: f64| Kernel::new(&[2, 2], vec![factor, 0.0, 0.0, factor]).unwrap();
    let mut builder = NetworkBuilder::new(&[2]).unwrap();
    let input = builder.input();
    let dense = builder.add("a", Op::dense(kernel(3.0)), &[input]).unwrap();
    let relu = builder
        .add("relu", Op::Activation(Activation::Relu), &[dense])
        .unwrap();
    let layer = |name: &str, factor: f64, node| HeldLayer {
        name: name.to_owned(),
        tensor: format!("{name}.weight"),
        weight: Weight::exact(kernel(factor)),
        conv: Conv::new(0),
        notes: Vec::new(),
        node,
    };
    let found = HeldNetwork {
        network: builder.finish(&[relu]).unwrap(),
        precision: Precision::Single,
        notes: vec!["a note".to_owned()],
    };
    Model::held(
        "module",
        Held {
            layers: vec![layer("a", 3.0, Some(dense)), layer("b", 5.0, None)],
            skipped: Skipped::default(),
            network: network(found),
        },
    )
}

fn report(model: Model) -> sigmax_formats::report::Report {
    let run = AuditRun::new(model, Request::default(), NetworkPart::Included).unwrap();
    run.run::<Error>(&Resources::default(), &mut ()).unwrap()
}

#[test]
fn layers_and_network_are_audited_as_those_of_a_file() {
    let model = held(Ok);
    assert_eq!(model.format, Format::TorchModule);
    assert!(model.has_graph());
    let report = report(model);
    let uppers: Vec<f64> = report.audited().map(|(_, a)| a.upper().get()).collect();
    assert!((3.0..3.001).contains(&uppers[0]) && (5.0..5.001).contains(&uppers[1]));
    let network = report.network.unwrap().bounds.unwrap();
    assert!((3.0..3.001).contains(&network.upper.get()));
    assert!(network.notes.contains(&"a note".to_owned()));
}

#[test]
fn what_stands_between_it_and_a_network_is_named() {
    let report = report(held(|_| Err(vec![Refused::new("mul", "mul", "a product")])));
    assert_eq!(report.audited().count(), 2);
    let blockers = report.network.unwrap().bounds.unwrap_err();
    assert_eq!(blockers, [Refused::new("mul", "mul", "a product")]);
}

#[test]
fn a_weight_that_may_be_computed_is_no_kernel() {
    let model = held(Ok);
    let layer = &model.layers[0];
    assert!(model.read_weight(layer).is_ok());
    assert!(model.read_kernel(layer).is_err());
}
