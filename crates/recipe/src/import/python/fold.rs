//! Arithmetic and comparison of known values, with Python's results. What Python would raise an error for has no value.

use std::cmp::Ordering;

use ruff_python_ast::{CmpOp, Operator, UnaryOp};

use super::value::{Item, Val, What};

/// Longest text that is made, in bytes.
pub(super) const MAX_TEXT: usize = 4096;
/// Integers below this are doubles exactly.
pub(super) const EXACT: u64 = 1 << 53;

/// A number: `True` is 1.
#[derive(Clone, Copy)]
pub(super) enum Number {
    Int(i64),
    Float(f64),
}

pub(super) fn number(what: &What) -> Option<Number> {
    match what {
        What::Bool(flag) => Some(Number::Int(i64::from(*flag))),
        What::Int(number) => Some(Number::Int(*number)),
        What::Float(number) => Some(Number::Float(*number)),
        _ => None,
    }
}

fn exact(number: i64) -> Option<f64> {
    (number.unsigned_abs() <= EXACT).then_some(number as f64)
}

impl Number {
    pub(super) fn float(self) -> Option<f64> {
        match self {
            Self::Int(number) => exact(number),
            Self::Float(number) => Some(number),
        }
    }
}

/// Computes `left op right`.
pub(super) fn binary(left: &What, op: Operator, right: &What) -> Option<What> {
    match (left, op, right) {
        (What::Text(a), Operator::Add, What::Text(b)) => text(&[a, b]),
        (What::Text(a), Operator::Mult, What::Int(times))
        | (What::Int(times), Operator::Mult, What::Text(a)) => {
            let times = usize::try_from((*times).max(0)).ok()?;
            (a.len().checked_mul(times)? <= MAX_TEXT).then(|| What::Text(a.repeat(times).into()))
        }
        (What::List(a), Operator::Add, What::List(b)) if a.is_tuple == b.is_tuple => {
            let items: Vec<Item> = a.items.iter().chain(&b.items).cloned().collect();
            known(Val::list(items, a.is_tuple))
        }
        (What::Dict(a), Operator::BitOr, What::Dict(b)) => {
            known(Val::dict(a.entries.iter().chain(&b.entries).cloned().collect()))
        }
        _ => match (number(left)?, number(right)?) {
            (Number::Int(a), Number::Int(b)) => integers(a, op, b),
            (a, b) => floats(a.float()?, op, b.float()?),
        },
    }
}

/// Joins texts.
pub(super) fn text(parts: &[&str]) -> Option<What> {
    (parts.iter().map(|part| part.len()).sum::<usize>() <= MAX_TEXT)
        .then(|| What::Text(parts.concat().into()))
}

pub(super) fn known(val: Val) -> Option<What> {
    (!val.is_unknown()).then_some(val.what)
}

fn integers(a: i64, op: Operator, b: i64) -> Option<What> {
    Some(What::Int(match op {
        Operator::Add => a.checked_add(b)?,
        Operator::Sub => a.checked_sub(b)?,
        Operator::Mult => a.checked_mul(b)?,
        Operator::Div if b == 0 => return None,
        Operator::Div => return Some(What::Float(exact(a)? / exact(b)?)),
        Operator::FloorDiv => {
            let quotient = a.checked_div(b)?;
            if a % b != 0 && (a < 0) != (b < 0) { quotient - 1 } else { quotient }
        }
        Operator::Mod => {
            let rest = a.checked_rem(b)?;
            if rest != 0 && (rest < 0) != (b < 0) { rest + b } else { rest }
        }
        Operator::Pow if b >= 0 => a.checked_pow(u32::try_from(b).ok()?)?,
        Operator::Pow => return power(exact(a)?, exact(b)?),
        Operator::LShift => {
            let shift = u32::try_from(b).ok().filter(|shift| *shift < 63)?;
            a.checked_mul(1i64 << shift)?
        }
        Operator::RShift => a >> u32::try_from(b).ok()?.min(63),
        Operator::BitAnd => a & b,
        Operator::BitOr => a | b,
        Operator::BitXor => a ^ b,
        Operator::MatMult => return None,
    }))
}

fn floats(a: f64, op: Operator, b: f64) -> Option<What> {
    Some(What::Float(match op {
        Operator::Add => a + b,
        Operator::Sub => a - b,
        Operator::Mult => a * b,
        Operator::Div if b != 0.0 => a / b,
        Operator::FloorDiv if b != 0.0 => divided(a, b).0,
        Operator::Mod if b != 0.0 => divided(a, b).1,
        Operator::Pow => return power(a, b),
        _ => return None,
    }))
}

/// Computes Python's `divmod` of floats (`float_divmod` of CPython).
fn divided(a: f64, b: f64) -> (f64, f64) {
    let mut rest = a % b;
    let mut quotient = (a - rest) / b;
    if rest == 0.0 {
        rest = 0f64.copysign(b);
    } else if (b < 0.0) != (rest < 0.0) {
        rest += b;
        quotient -= 1.0;
    }
    if quotient == 0.0 {
        return (0f64.copysign(a / b), rest);
    }
    let floor = quotient.floor();
    (if quotient - floor > 0.5 { floor + 1.0 } else { floor }, rest)
}

fn power(a: f64, b: f64) -> Option<What> {
    let result = a.powf(b);
    (result.is_finite() && a.is_finite() && b.is_finite()).then_some(What::Float(result))
}

/// Computes `op value`.
pub(super) fn unary(op: UnaryOp, value: &What) -> Option<What> {
    match (op, value) {
        (UnaryOp::Not, _) => truth(value).map(|truth| What::Bool(!truth)),
        (UnaryOp::Invert, _) => match number(value)? {
            Number::Int(number) => Some(What::Int(!number)),
            Number::Float(_) => None,
        },
        (UnaryOp::USub, _) => Some(match number(value)? {
            Number::Int(number) => What::Int(number.checked_neg()?),
            Number::Float(number) => What::Float(-number),
        }),
        (UnaryOp::UAdd, _) => Some(match number(value)? {
            Number::Int(number) => What::Int(number),
            Number::Float(number) => What::Float(number),
        }),
    }
}

/// Whether a value counts as true. Objects may say themselves.
pub(super) fn truth(value: &What) -> Option<bool> {
    Some(match value {
        What::None => false,
        What::Bool(flag) => *flag,
        What::Int(number) => *number != 0,
        What::Float(number) => *number != 0.0,
        What::Text(text) => !text.is_empty(),
        What::List(list) => !list.items.is_empty(),
        What::Dict(dict) if dict.entries.iter().any(|(name, _)| name.is_some()) => true,
        What::Dict(dict) if dict.entries.is_empty() => false,
        What::Dict(_) | What::Object(_) | What::Either(_) | What::Unknown => return None,
    })
}

/// Computes `left op right` of a comparison.
pub(super) fn compare(left: &What, op: CmpOp, right: &What) -> Option<bool> {
    match op {
        CmpOp::Eq => equal(left, right),
        CmpOp::NotEq => equal(left, right).map(|equal| !equal),
        CmpOp::Lt => order(left, right).map(|order| order == Some(Ordering::Less)),
        CmpOp::Gt => order(left, right).map(|order| order == Some(Ordering::Greater)),
        CmpOp::LtE => order(left, right).map(|order| matches!(order, Some(Ordering::Less | Ordering::Equal))),
        CmpOp::GtE => {
            order(left, right).map(|order| matches!(order, Some(Ordering::Greater | Ordering::Equal)))
        }
        CmpOp::Is => identical(left, right),
        CmpOp::IsNot => identical(left, right).map(|same| !same),
        CmpOp::In => contains(right, left),
        CmpOp::NotIn => contains(right, left).map(|found| !found),
    }
}

fn is_literal(what: &What) -> bool {
    !matches!(what, What::Unknown | What::Object(_) | What::Either(_))
}

/// Identity is certain for `None` and the truth values alone.
fn identical(left: &What, right: &What) -> Option<bool> {
    match (left, right) {
        (What::None, What::None) => Some(true),
        (What::Bool(a), What::Bool(b)) => Some(a == b),
        (What::None | What::Bool(_), other) | (other, What::None | What::Bool(_)) if is_literal(other) => {
            Some(false)
        }
        _ => None,
    }
}

fn equal(left: &What, right: &What) -> Option<bool> {
    if !is_literal(left) || !is_literal(right) {
        return None;
    }
    if let (Some(a), Some(b)) = (number(left), number(right)) {
        return Some(match (a, b) {
            (Number::Int(a), Number::Int(b)) => a == b,
            (a, b) => a.float()? == b.float()?,
        });
    }
    match (left, right) {
        (What::None, What::None) => Some(true),
        (What::Text(a), What::Text(b)) => Some(a == b),
        (What::List(a), What::List(b)) => {
            if a.is_tuple != b.is_tuple || a.items.len() != b.items.len() {
                return Some(false);
            }
            let mut all = true;
            for (a, b) in a.items.iter().zip(&b.items) {
                all &= equal(&a.val.what, &b.val.what)?;
            }
            Some(all)
        }
        (What::Dict(_), What::Dict(_)) => None,
        _ => Some(false),
    }
}

/// Returns the order of two numbers or texts; within, `None` for a NaN.
fn order(left: &What, right: &What) -> Option<Option<Ordering>> {
    if let (What::Text(a), What::Text(b)) = (left, right) {
        return Some(Some(a.cmp(b)));
    }
    match (number(left)?, number(right)?) {
        (Number::Int(a), Number::Int(b)) => Some(Some(a.cmp(&b))),
        (a, b) => Some(a.float()?.partial_cmp(&b.float()?)),
    }
}

fn contains(all: &What, one: &What) -> Option<bool> {
    match (all, one) {
        (What::Text(all), What::Text(one)) => Some(all.contains(&**one)),
        (What::List(list), _) => {
            let mut found = Some(false);
            for item in &list.items {
                match equal(&item.val.what, one) {
                    Some(true) => return Some(true),
                    Some(false) => {}
                    None => found = None,
                }
            }
            found
        }
        (What::Dict(dict), What::Text(one)) => {
            if dict.entries.iter().any(|(name, _)| name.as_deref() == Some(&**one)) {
                return Some(true);
            }
            dict.entries.iter().all(|(name, _)| name.is_some()).then_some(false)
        }
        _ => None,
    }
}

/// Returns `value[key]`.
pub(super) fn element(value: &What, key: &What) -> Option<Val> {
    match (value, key) {
        (What::Dict(dict), What::Text(key)) => dict.get(key).map(|item| item.val.clone().settled()),
        (What::List(list), What::Int(at)) => {
            let length = i64::try_from(list.items.len()).ok()?;
            let at = if *at < 0 { at.checked_add(length)? } else { *at };
            list.items.get(usize::try_from(at).ok()?).map(|item| item.val.clone().settled())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn division_rounds_down_as_python_does() {
        let int = |a, op, b| match integers(a, op, b) {
            Some(What::Int(number)) => Some(number),
            _ => None,
        };
        assert_eq!(int(-7, Operator::FloorDiv, 2), Some(-4));
        assert_eq!(int(-7, Operator::Mod, 2), Some(1));
        assert_eq!(int(7, Operator::Mod, -2), Some(-1));
        assert_eq!(int(i64::MIN, Operator::FloorDiv, -1), None);
        assert_eq!(int(1, Operator::FloorDiv, 0), None);
        assert_eq!(divided(-7.5, 2.0), (-4.0, 0.5));
        assert_eq!(divided(1.0, 0.1), (9.0, 0.09999999999999995));
    }
}
