//! Bounds, which may be ∞: a number, or `"inf"` as in reports.

use std::fmt;

use serde::de::{Deserializer, Error, Visitor};
use serde::{Serialize, Serializer};

use crate::report::Number;

/// Writes a bound.
pub(crate) fn serialize<S: Serializer>(bound: &f64, serializer: S) -> Result<S::Ok, S::Error> {
    Number(*bound).serialize(serializer)
}

/// Reads a bound. Older files have null for ∞; a key that is missing is none.
pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    deserializer.deserialize_any(Bound { null: true })
}

/// Reads a bound of a key that older files do not have: null is none.
pub(crate) fn newer<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    deserializer.deserialize_any(Bound { null: false })
}

/// Whether null is ∞.
struct Bound {
    null: bool,
}

impl Visitor<'_> for Bound {
    type Value = f64;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number or \"inf\"")
    }

    fn visit_f64<E: Error>(self, bound: f64) -> Result<f64, E> {
        Ok(bound)
    }

    fn visit_u64<E: Error>(self, bound: u64) -> Result<f64, E> {
        Ok(bound as f64)
    }

    fn visit_i64<E: Error>(self, bound: i64) -> Result<f64, E> {
        Ok(bound as f64)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<f64, E> {
        match text {
            "inf" => Ok(f64::INFINITY),
            other => Err(E::invalid_value(serde::de::Unexpected::Str(other), &self)),
        }
    }

    fn visit_unit<E: Error>(self) -> Result<f64, E> {
        match self.null {
            true => Ok(f64::INFINITY),
            false => Err(E::invalid_type(serde::de::Unexpected::Unit, &self)),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde::{Deserialize, Serialize};

    use crate::certificate::object::parse;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Stated {
        #[serde(with = "super")]
        bound: f64,
    }

    fn read(value: &str) -> Option<f64> {
        let found: Result<Stated, String> = parse(&format!("{{\"bound\":{value}}}"));
        found.ok().map(|stated| stated.bound)
    }

    #[test]
    fn null_is_infinite_only_where_older_files_have_it() {
        #[derive(Debug, PartialEq, Serialize, Deserialize)]
        struct Newer(
            #[serde(serialize_with = "super::serialize", deserialize_with = "super::newer")] f64,
        );
        let read = |text: &str| serde_json::from_str::<Newer>(text).ok();
        assert_eq!(read("\"inf\""), Some(Newer(f64::INFINITY)));
        assert_eq!(read("2.5"), Some(Newer(2.5)));
        assert_eq!(read("null"), None);
    }

    #[test]
    fn infinity_has_one_spelling_and_an_older_one_is_read() {
        let written = |bound| serde_json::to_string(&Stated { bound }).unwrap();
        assert_eq!(written(f64::INFINITY), r#"{"bound":"inf"}"#);
        assert_eq!(written(0.1), r#"{"bound":0.1}"#);
        assert_eq!(read(r#""inf""#), Some(f64::INFINITY));
        assert_eq!(read("null"), Some(f64::INFINITY));
        assert_eq!(read("2"), Some(2.0));
        assert_eq!(read("-2"), Some(-2.0));
        assert_eq!(read("0.1"), Some(0.1));
        for wrong in [
            r#""-inf""#,
            r#""Inf""#,
            r#""infinity""#,
            r#""1""#,
            r#""nan""#,
            r#""""#,
            "1e999",
            "true",
            "[]",
            "{}",
        ] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
        let missing: Result<Stated, String> = parse("{}");
        assert!(missing.is_err(), "{missing:?}");
    }
}
