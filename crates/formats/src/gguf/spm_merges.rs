//! Merges implied by the scores of a SentencePiece vocabulary.
//!
//! SentencePiece merges the neighbours that form the piece of the best score; `tokenizer.json` needs a list of merges, best first. This is
//! Transformers' `generate_merges`, with the same order among equals.

use std::cmp::Ordering;
use std::collections::HashMap;

/// Length of the longest piece that is split. Longer ones do not come from merges, but from an attack that relies on the square of their length.
const LONGEST_PIECE: usize = 512;

/// Returns every way to form one of `pieces` (text, score) from two others, best score first.
pub(super) fn merges<'a>(pieces: &[(&'a str, f32)]) -> Vec<(&'a str, &'a str)> {
    let ids: HashMap<&str, usize> = pieces.iter().enumerate().map(|(id, (piece, _))| (*piece, id)).collect();
    let mut merges = Vec::new();
    for &(piece, score) in pieces {
        if piece.len() > LONGEST_PIECE {
            continue;
        }
        let mut ways: Vec<_> = piece
            .char_indices()
            .skip(1)
            .filter_map(|(at, _)| {
                let (left, right) = piece.split_at(at);
                Some(((*ids.get(left)?, *ids.get(right)?), left, right))
            })
            .collect();
        ways.sort_by_key(|&(ids, ..)| ids);
        merges.extend(ways.into_iter().map(|(_, left, right)| (score, left, right)));
    }
    // Longer halves first among equal scores; a stable sort keeps the vocabulary's order among the rest.
    let length = |piece: &str| piece.chars().count();
    merges.sort_by(|a, b| match b.0.total_cmp(&a.0) {
        Ordering::Equal => (length(b.1), length(b.2)).cmp(&(length(a.1), length(a.2))),
        unequal => unequal,
    });
    merges.into_iter().map(|(_, left, right)| (left, right)).collect()
}

#[cfg(test)]
mod tests {
    use super::merges;

    #[test]
    fn the_best_score_comes_first_and_longer_halves_among_equals() {
        let pieces = [("a", -9.0), ("b", -9.0), ("ab", -1.0), ("aab", -2.0), ("aa", -2.0), ("é", 0.0)];
        assert_eq!(merges(&pieces), [("a", "b"), ("aa", "b"), ("a", "ab"), ("a", "a")]);
    }
}
