//! What the optimizers keep of the past.

use lorelei_recipe::Optimizer;

/// Elements of the first and the second state that `optimizer` keeps of a parameter of this shape.
pub fn optimizer_state(optimizer: Optimizer, shape: &[usize]) -> [usize; 2] {
    let count = shape.iter().product();
    match optimizer {
        Optimizer::AdamwTorch | Optimizer::AdamwTorchFused => [count, count],
        Optimizer::Lion | Optimizer::Lion32bit => [count, 0],
        Optimizer::Sgd => [0, 0],
        // A matrix's row and column means of squares, or a vector's squares.
        Optimizer::Adafactor => match shape {
            [rows, columns] => [*rows, *columns],
            _ => [count, 0],
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn optimizers_keep_what_they_need() {
        for (optimizer, matrix, vector) in [
            (Optimizer::AdamwTorch, [12, 12], [5, 5]),
            (Optimizer::Lion, [12, 0], [5, 0]),
            (Optimizer::Sgd, [0, 0], [0, 0]),
            (Optimizer::Adafactor, [3, 4], [5, 0]),
        ] {
            assert_eq!(optimizer_state(optimizer, &[3, 4]), matrix, "{optimizer:?}");
            assert_eq!(optimizer_state(optimizer, &[5]), vector, "{optimizer:?}");
        }
    }
}
