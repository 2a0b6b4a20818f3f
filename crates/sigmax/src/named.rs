//! Names of the values of an enum, to be written and read.

/// `Display` and `FromStr` by the type's `name`; `$field` is what an error calls it.
macro_rules! named {
    ($Type:ty, $field:literal, [$($Value:ident),+ $(,)?]) => {
        impl std::fmt::Display for $Type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.name())
            }
        }

        impl std::str::FromStr for $Type {
            type Err = crate::error::Error;

            fn from_str(name: &str) -> Result<Self, Self::Err> {
                let all = [$(Self::$Value),+];
                all.into_iter()
                    .find(|value| value.name() == name)
                    .ok_or_else(|| crate::error::Error::Geometry {
                        field: $field,
                        expected: format!("one of {}", all.map(Self::name).join(", ")),
                        got: format!("{name:?}"),
                    })
            }
        }
    };
}

pub(crate) use named;

#[cfg(test)]
mod tests {
    use crate::bound::norm::Quantity;
    use crate::bound::options::Stop;
    use crate::conv::PaddingMode;
    use crate::network::{Arithmetic, Interpolation};

    #[test]
    fn what_is_written_is_read() {
        for name in ["zeros", "circular", "reflect", "replicate"] {
            let mode: PaddingMode = name.parse().unwrap();
            assert_eq!(mode.to_string(), name);
        }
        for name in ["tolerance", "work", "time", "precision"] {
            assert_eq!(name.parse::<Stop>().unwrap().to_string(), name);
        }
        assert_eq!("lattice".parse(), Ok(Quantity::Lattice));
        assert_eq!("circular".parse(), Ok(Quantity::Circular));
        assert_eq!("float32".parse(), Ok(Arithmetic::Float32));
        assert_eq!("align_corners".parse(), Ok(Interpolation::AlignCorners));
        assert_eq!(format!("{:>6}", Arithmetic::Real), "  real");
        assert_eq!(
            "edge".parse::<PaddingMode>().unwrap_err().to_string(),
            "padding mode: expected one of zeros, circular, reflect, replicate, got \"edge\""
        );
    }
}
