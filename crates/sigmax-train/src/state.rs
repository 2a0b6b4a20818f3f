//! A model's numbers under PyTorch's names and in PyTorch's layout.

use std::collections::BTreeMap;

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::tensor::{Tensor, TensorData};

use crate::error::Error;

/// A tensor outside of Burn: row-major f32 values.
#[derive(Clone, Debug, PartialEq)]
pub struct Array {
    /// Extents.
    pub shape: Vec<usize>,
    /// As many values as the extents multiply to.
    pub values: Vec<f32>,
}

impl Array {
    /// Rows become columns; other ranks are left as they are.
    fn transposed(mut self) -> Self {
        if let [rows, columns] = self.shape[..] {
            let old = std::mem::take(&mut self.values);
            self.values = (0..rows * columns)
                .map(|i| old[(i % rows) * columns + i / rows])
                .collect();
            self.shape = vec![columns, rows];
        }
        self
    }
}

/// Tensors by name.
pub type StateDict = BTreeMap<String, Array>;

/// The values of a tensor of any kind.
pub(crate) fn array<const D: usize>(tensor: &Tensor<D>) -> Array {
    let data = tensor.to_data();
    Array {
        shape: tensor.dims().to_vec(),
        values: data.iter::<f32>().collect(),
    }
}

/// Reads every parameter and running statistic. Dense weights are `[out, in]`, as in PyTorch.
#[must_use]
pub fn read<M: Module>(model: &M) -> StateDict {
    let mut reader = Reader {
        path: Vec::new(),
        state: StateDict::new(),
    };
    // `valid` first brings the running statistics up to date.
    model.valid().visit(&mut reader);
    reader.state
}

/// Puts `state` into the model.
///
/// # Errors
/// A tensor that is missing, of another shape, not finite, or that the model has no place for.
/// PyTorch's `num_batches_tracked` counters are skipped.
pub fn load<M: Module>(model: M, state: StateDict) -> Result<M, Error> {
    let mut loader = Loader {
        path: Vec::new(),
        state,
        error: None,
    };
    let model = model.map(&mut loader);
    if let Some(error) = loader.error {
        return Err(error);
    }
    match loader
        .state
        .iter()
        .find(|(name, _)| !name.ends_with("num_batches_tracked"))
    {
        Some((name, array)) => Err(Error::Tensor {
            name: name.clone(),
            expected: "only tensors that the model has".into(),
            found: format!("this one, of shape {:?}", array.shape),
        }),
        None => Ok(model),
    }
}

/// The name that PyTorch gives the parameter at `path`.
pub(crate) fn torch_name(path: &[String]) -> String {
    let mut name = path.join(".");
    for (burn, torch) in [(".gamma", ".weight"), (".beta", ".bias")] {
        if let Some(stem) = name.strip_suffix(burn) {
            name = format!("{stem}{torch}");
        }
    }
    name
}

struct Reader {
    path: Vec<String>,
    state: StateDict,
}

impl ModuleVisitor for Reader {
    fn enter_module(&mut self, name: &str, _container: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.path.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let array = array(&param.val()).transposed();
        self.state.insert(torch_name(&self.path), array);
    }
}

struct Loader {
    path: Vec<String>,
    state: StateDict,
    error: Option<Error>,
}

impl Loader {
    fn take(&mut self, name: &str, shape: &[usize]) -> Result<Array, Error> {
        let wrong = |expected: String, found: String| Error::Tensor {
            name: name.to_owned(),
            expected,
            found,
        };
        let array = self
            .state
            .remove(name)
            .ok_or_else(|| wrong(format!("a tensor of shape {shape:?}"), "none".into()))?
            .transposed();
        if array.shape != shape {
            // Dense layers are kept transposed: say what the file should have.
            let order = |shape: &[usize]| match shape {
                [a, b] => vec![*b, *a],
                _ => shape.to_vec(),
            };
            return Err(wrong(
                format!("shape {:?}", order(shape)),
                format!("{:?}", order(&array.shape)),
            ));
        }
        match array.values.iter().position(|v| !v.is_finite()) {
            Some(i) => Err(wrong(
                "finite values".into(),
                format!("{} at flat index {i}", array.values[i]),
            )),
            None => Ok(array),
        }
    }
}

impl ModuleMapper for Loader {
    fn enter_module(&mut self, name: &str, _container: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.path.pop();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let shape = param.val().dims();
        let array = match self.take(&torch_name(&self.path), &shape) {
            Ok(array) => array,
            Err(error) => {
                self.error.get_or_insert(error);
                return param;
            }
        };
        param.map(|tensor| {
            let data = TensorData::new(array.values, shape);
            Tensor::from_data(data, &tensor.device()).set_require_grad(tensor.is_require_grad())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rank_2_is_transposed_and_nothing_else() {
        let matrix = Array {
            shape: vec![2, 3],
            values: vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0],
        };
        let expected = Array {
            shape: vec![3, 2],
            values: vec![1.0, 4.0, 2.0, 5.0, 3.0, 6.0],
        };
        assert_eq!(matrix.clone().transposed(), expected);
        assert_eq!(matrix.clone().transposed().transposed(), matrix);
        let vector = Array {
            shape: vec![3],
            values: vec![1.0, 2.0, 3.0],
        };
        assert_eq!(vector.clone().transposed(), vector);
    }
}
