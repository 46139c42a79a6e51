//! Options of a combination of adapters: the arguments of PEFT's `add_weighted_adapter`.

use crate::ExportError;

/// Way in which adapters are combined: PEFT's `combination_type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Combination {
    /// The matrices side by side: exactly the weighted sum, with the sum of the ranks.
    Cat,
    /// The weighted sum of `A` and of `B`, each by the root of its weight.
    Linear,
    /// The largest values of each, and of those the ones with the sign of the majority (Yadav et al., 2023).
    Ties,
    /// Values left out at random and the rest scaled up, then as `Linear` (Yu et al., 2023).
    DareLinear,
    /// Values left out at random and the rest scaled up, then the signs of `Ties`.
    DareTies,
    /// The largest values of each, then as `Linear`.
    MagnitudePrune,
}

impl Combination {
    /// Every combination by PEFT's name.
    pub const ALL: [(&'static str, Combination); 6] = [
        ("linear", Combination::Linear),
        ("cat", Combination::Cat),
        ("ties", Combination::Ties),
        ("dare_linear", Combination::DareLinear),
        ("dare_ties", Combination::DareTies),
        ("magnitude_prune", Combination::MagnitudePrune),
    ];

    /// Returns the combination of this name.
    ///
    /// # Errors
    /// If there is none, or PEFT's decomposes matrices (`svd`).
    pub fn by_name(name: &str) -> Result<Self, ExportError> {
        let known = Self::ALL.iter().find(|(known, _)| *known == name);
        let names = Self::ALL.map(|(name, _)| name).join(", ");
        known.map(|(_, kind)| *kind).ok_or_else(|| {
            let help = match name.ends_with("svd") {
                true => format!(
                    "singular values are not computed here: write {names} (cat is exact too), or use PEFT"
                ),
                false => format!("write one of {names}"),
            };
            ExportError::adapter("combination_type", format!("{name:?} is not known"), help)
        })
    }

    /// Returns true for a combination that leaves values out.
    pub(crate) fn prunes(self) -> bool {
        !matches!(self, Self::Cat | Self::Linear)
    }

    /// Returns true for a combination that draws the values that it leaves out.
    pub(crate) fn is_random(self) -> bool {
        matches!(self, Self::DareLinear | Self::DareTies)
    }
}

/// Rule by which the majority's sign is found: PEFT's `majority_sign_method`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum MajoritySign {
    /// The sign of the sum.
    #[default]
    Total,
    /// The sign that more adapters have.
    Frequency,
}

impl MajoritySign {
    /// Every rule by PEFT's name.
    pub const ALL: [(&'static str, MajoritySign); 2] =
        [("total", MajoritySign::Total), ("frequency", MajoritySign::Frequency)];
}

/// Options of a weighted adapter.
#[derive(Debug, Clone, PartialEq)]
pub struct WeightedOptions {
    /// Way in which adapters are combined.
    pub combination: Combination,
    /// Weight of each adapter, which may be negative.
    pub weights: Vec<f64>,
    /// Share of the values that are kept, where some are left out.
    pub density: Option<f64>,
    /// Rule by which the majority's sign is found.
    pub majority_sign: MajoritySign,
    /// Seed of the random numbers of DARE.
    pub seed: u64,
}
