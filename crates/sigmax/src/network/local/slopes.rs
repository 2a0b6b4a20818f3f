//! [`Slopes`]: the evidence of a bound around an image, where a rule says too little.

/// Slopes at one node, against one class, of the linear functions that bounds around an image go back by
/// (T38). Any slopes prove something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slopes {
    rival: usize,
    node: usize,
    steps: Vec<u8>,
}

impl Slopes {
    /// The step of a slope that a rule gives.
    pub const NONE: u8 = 63;

    /// The step of the largest slope.
    pub const MOST: u8 = 62;

    /// Slopes at node number `node` against class `rival`: for every function of one variable at the node, a
    /// step from its least slope, 0, to its largest, 62, or [`Slopes::NONE`].
    #[must_use]
    pub fn new(rival: usize, node: usize, steps: Vec<u8>) -> Self {
        Self { rival, node, steps }
    }

    /// The class.
    #[must_use]
    pub fn rival(&self) -> usize {
        self.rival
    }

    /// The place of the node.
    #[must_use]
    pub fn node(&self) -> usize {
        self.node
    }

    /// The steps.
    #[must_use]
    pub fn steps(&self) -> &[u8] {
        &self.steps
    }
}
