//! The state that optimizers keep between steps.

use lorelei_recipe::OptimizerNames;

/// Returns the optimizer that updates a parameter of this shape. Muon leaves everything but matrices to AdamW, as torch's requires.
pub fn optimizer_of(optimizer: OptimizerNames, shape: &[usize]) -> OptimizerNames {
    match optimizer {
        OptimizerNames::Muon if shape.len() != 2 => OptimizerNames::AdamwTorch,
        other => other,
    }
}

/// Returns the tensors that `optimizer` keeps for a parameter of this shape: the name of each in a checkpoint, as in torch and Transformers, and its
/// number of elements.
pub fn optimizer_state(optimizer: OptimizerNames, shape: &[usize]) -> Vec<(&'static str, usize)> {
    let count = shape.iter().product();
    match optimizer_of(optimizer, shape) {
        OptimizerNames::AdamwTorch | OptimizerNames::AdamwTorchFused => {
            vec![("exp_avg", count), ("exp_avg_sq", count)]
        }
        OptimizerNames::Lion | OptimizerNames::Lion32bit => vec![("exp_avg", count)],
        OptimizerNames::Sgd => Vec::new(),
        OptimizerNames::Muon => vec![("momentum_buffer", count)],
        // Adafactor keeps a matrix's row and column means of squares, or a vector's squares.
        OptimizerNames::Adafactor => match shape {
            [rows, columns] => vec![("exp_avg_sq_row", *rows), ("exp_avg_sq_col", *columns)],
            _ => vec![("exp_avg_sq", count)],
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn optimizers_keep_what_they_need() {
        for (optimizer, matrix, vector) in [
            (OptimizerNames::AdamwTorch, 24, 10),
            (OptimizerNames::Lion, 12, 5),
            (OptimizerNames::Sgd, 0, 0),
            (OptimizerNames::Adafactor, 7, 5),
            (OptimizerNames::Muon, 12, 10),
        ] {
            let elements = |shape: &[usize]| -> usize {
                optimizer_state(optimizer, shape).iter().map(|(_, count)| count).sum()
            };
            assert_eq!((elements(&[3, 4]), elements(&[5])), (matrix, vector), "{optimizer:?}");
        }
    }
}
