//! A file of images and one of labels, hostile or not: the last two bytes are the length of the
//! labels, which are before them; 0 is no labels.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sigmax::network::Channels;
use sigmax_formats::Images;

/// Most images that are looked at: reading is linear in them.
const LIMIT: usize = 64;
/// Most entries of an image that are sorted: a kilobyte of JPEG may hold millions.
const SORTED: usize = 1 << 16;

fuzz_target!(|bytes: &[u8]| {
    let Some((rest, &length)) = bytes.split_last_chunk::<2>() else {
        return;
    };
    let length = usize::from(u16::from_le_bytes(length));
    let Some(split) = rest.len().checked_sub(length) else {
        return;
    };
    let (images, labels) = rest.split_at(split);
    let labels = (length > 0).then(|| ("labels", labels.to_vec()));
    let images = match Images::from_bytes(("images", images.to_vec()), labels, Some(LIMIT)) {
        Ok(images) => images,
        Err(error) => {
            // The text of an error is written by code too.
            assert!(!error.to_string().is_empty());
            return;
        }
    };
    assert!((1..=LIMIT).contains(&images.len()));
    let size: usize = images.axes().shape().iter().product();
    for i in 0..images.len() {
        let values = images.values(i);
        assert_eq!(values.len(), size);
        assert!(values.iter().all(|value| value.is_finite()));
        assert!(images.is_exact() || values.iter().all(|value| (0.0..=1.0).contains(value)));
        assert!(!images.name(i).is_empty());
        let _ = images.label(i);
    }
    if size > SORTED {
        return;
    }
    // An order of entries is a rearrangement.
    let shape = images.axes().shape().to_vec();
    let mut inputs = vec![shape.clone(), vec![size]];
    for turn in 0..shape.len() {
        let mut turned = shape.clone();
        turned.rotate_left(turn);
        inputs.push(turned);
    }
    for input in inputs {
        for layout in [None, Some(Channels::First), Some(Channels::Last)] {
            let Ok(fitted) = images.clone().fit(&input, layout) else {
                continue;
            };
            let sorted = |mut values: Vec<f64>| {
                values.sort_by(f64::total_cmp);
                values
            };
            assert_eq!(sorted(fitted.values(0)), sorted(images.values(0)));
        }
    }
});
