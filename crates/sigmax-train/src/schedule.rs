//! [`Schedule`]: the learning rate of every epoch.

/// A rate that is divided by 10 at half and at three quarters of the epochs (He et al. 2016).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Schedule {
    /// The first rate.
    pub rate: f64,
    /// Number of epochs.
    pub epochs: usize,
}

impl Schedule {
    /// The rate in `epoch` (from 0).
    #[must_use]
    pub fn at(self, epoch: usize) -> f64 {
        // Steps at ⌈epochs/2⌉ and ⌈3·epochs/4⌉.
        if 4 * epoch >= 3 * self.epochs {
            self.rate / 100.0
        } else if 2 * epoch >= self.epochs {
            self.rate / 10.0
        } else {
            self.rate
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_at_half_and_three_quarters() {
        let schedule = Schedule {
            rate: 1.0,
            epochs: 200,
        };
        let near = |epoch, rate: f64| (schedule.at(epoch) - rate).abs() < 1e-12;
        assert!(near(0, 1.0) && near(99, 1.0) && near(100, 0.1));
        assert!(near(149, 0.1) && near(150, 0.01) && near(199, 0.01));
    }
}
