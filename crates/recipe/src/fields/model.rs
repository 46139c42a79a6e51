//! `[model]`: the names that a recipe does not keep.

use super::State::*;
use super::{Field, others};

pub(super) const OTHERS: &[Field] = others! { Model;
    torch_dtype: "\"auto\"" upstream "—", Renamed("dtype"), "The name of dtype before Transformers 5.";
};
