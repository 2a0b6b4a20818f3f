//! The page of a run is whole, and needs nothing from elsewhere.

use sigmax_train::data::Source;

use crate::{data, program};

/// Every tag that is opened is closed, in order.
fn check_nesting(html: &str) {
    let mut open = Vec::new();
    let mut rest = html;
    while let Some(start) = rest.find('<') {
        let end = start + rest[start..].find('>').expect("a tag ends");
        let tag = &rest[start + 1..end];
        rest = &rest[end + 1..];
        if let Some(name) = tag.strip_prefix('/') {
            assert_eq!(open.pop(), Some(name), "in {tag}");
        } else if !tag.ends_with('/') && !tag.starts_with('!') && !tag.starts_with("meta") {
            open.push(tag.split(' ').next().unwrap());
        }
    }
    assert!(open.is_empty(), "{open:?}");
}

#[test]
fn the_page_is_well_formed_and_self_contained() {
    let folder = tempfile::tempdir().unwrap();
    data(Source::Mnist, folder.path(), 20, 10);
    let out = folder.path().join("out");
    program(&[
        "mnist",
        "--data",
        folder.path().to_str().unwrap(),
        "--epochs",
        "2",
        "--penalty",
        "weighted",
        "--out",
        out.to_str().unwrap(),
    ])
    .unwrap();
    let html = std::fs::read_to_string(out.join("report.html")).unwrap();
    check_nesting(&html);
    assert_eq!(html.matches("<svg").count(), 4);
    for word in [
        "Accuracy",
        "Penalty",
        "conv2",
        "fc3",
        "epoch",
        "Product of the proved upper ends",
    ] {
        assert!(html.contains(word), "{word}");
    }
    for foreign in ["<script", "href=", "src=", "url(", "NaN"] {
        assert!(!html.contains(foreign), "{foreign}");
    }
    let csv = std::fs::read_to_string(out.join("metrics.csv")).unwrap();
    let fields = csv.lines().map(|line| line.split(',').count());
    assert_eq!(fields.collect::<Vec<_>>(), [15, 15, 15]);
    assert!(csv.starts_with("epoch,steps,rate,train_loss,"));
}
