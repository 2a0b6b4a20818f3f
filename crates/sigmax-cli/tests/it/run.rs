//! Files to audit, and the binary run on them.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

/// A folder with model files in it.
pub(crate) struct Files {
    pub(crate) folder: TempDir,
}

/// What a run left behind.
pub(crate) struct Outcome {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Files {
    pub(crate) fn new() -> Self {
        Self {
            folder: TempDir::new().unwrap(),
        }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        std::fs::write(self.path(name), bytes).unwrap();
    }

    /// Writes `model.safetensors`.
    pub(crate) fn model(&self, tensors: &[(&str, &[usize], Vec<f32>)]) {
        self.write("model.safetensors", safetensors(tensors));
    }

    /// A box blur of norm 9·a, a second difference of norm 4, a matrix of norm 5, and a bias.
    pub(crate) fn usual() -> Self {
        let files = Self::new();
        files.model(&[
            ("blur.weight", &[1, 1, 3, 3], vec![1.0; 9]),
            ("blur.bias", &[1], vec![7.0]),
            ("edge.weight", &[1, 1, 3], vec![1.0, -2.0, 1.0]),
            ("head.weight", &[2, 2], vec![3.0, 0.0, 0.0, 5.0]),
        ]);
        files
    }

    /// `count` kernels of shape 6×5×3×3 whose norms take some search.
    pub(crate) fn many(count: usize) -> Self {
        let mut state = 1u32;
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / (1 << 23) as f32 - 1.0
        };
        let layers: Vec<(String, Vec<f32>)> = (0..count)
            .map(|i| {
                (
                    format!("conv{i}.weight"),
                    (0..270).map(|_| next()).collect(),
                )
            })
            .collect();
        let tensors: Vec<(&str, &[usize], Vec<f32>)> = layers
            .iter()
            .map(|(name, values)| (name.as_str(), [6, 5, 3, 3].as_slice(), values.clone()))
            .collect();
        let files = Self::new();
        files.model(&tensors);
        files
    }

    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sigmax"));
        command
            .current_dir(self.folder.path())
            .env_remove("COLUMNS")
            .env_remove("NO_COLOR")
            .stdin(Stdio::null())
            .args(args);
        command
    }

    pub(crate) fn run(&self, args: &[&str]) -> Outcome {
        self.run_wide(args, None)
    }

    /// Runs with `COLUMNS` set.
    pub(crate) fn run_wide(&self, args: &[&str], columns: Option<usize>) -> Outcome {
        let mut command = self.command(args);
        if let Some(columns) = columns {
            command.env("COLUMNS", columns.to_string());
        }
        let output = command.output().unwrap();
        Outcome {
            code: output.status.code().unwrap(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// `sigmax audit model.safetensors …`
    pub(crate) fn audit(&self, args: &[&str]) -> Outcome {
        let mut all = vec!["audit", "model.safetensors"];
        all.extend(args);
        self.run(&all)
    }

    /// The same as JSON.
    pub(crate) fn json(&self, args: &[&str]) -> serde_json::Value {
        let mut all = vec!["--format", "json"];
        all.extend(args);
        let outcome = self.audit(&all);
        assert!(outcome.code < 2, "{}", outcome.stderr);
        serde_json::from_str(&outcome.stdout).unwrap()
    }

    /// Names of the files in the folder, sorted.
    pub(crate) fn names(&self) -> Vec<String> {
        list(self.folder.path())
    }
}

pub(crate) fn list(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// A safetensors file of f32 tensors, in this order.
pub(crate) fn safetensors(tensors: &[(&str, &[usize], Vec<f32>)]) -> Vec<u8> {
    let mut entries = serde_json::Map::new();
    let mut data = Vec::new();
    for (name, shape, values) in tensors {
        let start = data.len();
        data.extend(values.iter().flat_map(|value| value.to_le_bytes()));
        entries.insert(
            (*name).to_owned(),
            serde_json::json!({
                "dtype": "F32", "shape": shape, "data_offsets": [start, data.len()],
            }),
        );
    }
    let header = serde_json::to_vec(&entries).unwrap();
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header);
    bytes.extend(data);
    bytes
}

/// Text with every run of white space, line ends too, as one space.
pub(crate) fn unwrapped(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
