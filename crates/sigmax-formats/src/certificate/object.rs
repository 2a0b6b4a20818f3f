//! Objects of JSON and nothing that merely resembles them.
//!
//! Derived code also takes a list of the values for an object, and a key that is missing for null.

use std::marker::PhantomData;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, DeserializeOwned, Deserializer, IgnoredAny, MapAccess, Visitor};

/// Reads one object, and nothing after it.
pub(crate) fn parse<T: DeserializeOwned>(text: &str) -> Result<T, String> {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let read = object(&mut deserializer).and_then(|found| deserializer.end().map(|()| found));
    read.map_err(|error| error.to_string())
}

/// Reads an object.
pub(crate) fn object<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<T, D::Error> {
    struct Object<T>(PhantomData<T>);
    impl<'de, T: Deserialize<'de>> Visitor<'de> for Object<T> {
        type Value = T;

        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("an object")
        }

        fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
            T::deserialize(MapAccessDeserializer::new(map))
        }
    }
    deserializer.deserialize_map(Object(PhantomData))
}

/// Reads a list of objects.
pub(crate) fn objects<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Vec<T>, D::Error> {
    #[derive(serde::Deserialize)]
    #[serde(bound = "T: Deserialize<'de>", transparent)]
    struct Entry<T>(#[serde(deserialize_with = "object")] T);
    let entries = Vec::<Entry<T>>::deserialize(deserializer)?;
    Ok(entries.into_iter().map(|Entry(entry)| entry).collect())
}

/// A value or null, but not nothing.
pub(crate) fn stated<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    Option::deserialize(deserializer)
}

/// Whether there is a value, whatever it is.
pub(crate) fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    IgnoredAny::deserialize(deserializer).map(|_| true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Outer {
        #[serde(deserialize_with = "object")]
        one: Inner,
        #[serde(deserialize_with = "objects")]
        many: Vec<Inner>,
        #[serde(deserialize_with = "stated")]
        bound: Option<f64>,
    }

    #[derive(Debug, PartialEq, serde::Deserialize)]
    struct Inner {
        x: usize,
    }

    #[test]
    fn lists_missing_keys_and_repetitions_are_refused() {
        let right = r#"{"one":{"x":1},"many":[{"x":2},{"x":3}],"bound":null}"#;
        let read = Outer {
            one: Inner { x: 1 },
            many: vec![Inner { x: 2 }, Inner { x: 3 }],
            bound: None,
        };
        assert_eq!(parse(right), Ok(read));
        for wrong in [
            r#"[{"x":1},[{"x":2},{"x":3}],null]"#,
            r#"{"one":[1],"many":[],"bound":null}"#,
            r#"{"one":{"x":1},"many":[[2]],"bound":null}"#,
            r#"{"one":{"x":1},"many":{"x":2},"bound":null}"#,
            r#"{"one":{"x":1},"many":[]}"#,
            r#"{"one":{"x":1},"many":[],"bound":1,"bound":null}"#,
            r#"{"one":{"x":1,"x":1},"many":[],"bound":1}"#,
            r#"{"one":{"x":1},"many":[],"bound":1,"more":2}"#,
            r#"{"one":{"x":1},"many":[],"bound":1} {}"#,
            r#"{"one":{"x":1.0},"many":[],"bound":1}"#,
            r#"{"one":{"x":1},"many":[],"bound":1e999}"#,
            r#"{"one":{"x":1},"many":[],"bound":NaN}"#,
            "null",
            "1",
            "",
        ] {
            assert!(parse::<Outer>(wrong).is_err(), "{wrong}");
        }
    }

    /// Without the feature `float_roundtrip` of serde_json these are read one float off.
    #[test]
    fn numbers_are_read_as_the_nearest_float() {
        for text in [
            "0.9415227447549803",
            "0.22654988105082619",
            "0.11597872378759777",
            "0.18464994785332522",
        ] {
            let expected: f64 = text.parse().unwrap();
            let read: f64 = serde_json::from_str(text).unwrap();
            assert_eq!(read.to_bits(), expected.to_bits(), "{text}");
        }
    }
}
