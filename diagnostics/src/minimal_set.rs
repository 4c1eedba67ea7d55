//! A minimal part of a list that still has an effect.

/// Narrows the list to one element by halving, as if a single one had the effect: tries the later half, and takes the other
/// if it has none. The last list that had the effect comes with it, for the assumption may be wrong.
pub(crate) fn halve<E>(
    list: &[usize],
    has_effect: &mut dyn FnMut(&[usize]) -> Result<bool, E>,
) -> Result<(usize, Vec<usize>), E> {
    let mut seen = list.to_vec();
    let mut left = list.to_vec();
    while left.len() > 1 {
        let later = left.split_off(left.len() / 2);
        if has_effect(&later)? {
            seen.clone_from(&later);
            left = later;
        }
    }
    Ok((left[0], seen))
}

/// Returns a minimal part of a list that has the effect as a list, in its order. Exact if more elements never end the effect
/// (Junker's QuickXplain: of `k` of `n` elements, about `2k·log(n/k)` attempts).
pub(crate) fn minimal<E>(
    list: &[usize],
    has_effect: &mut dyn FnMut(&[usize]) -> Result<bool, E>,
) -> Result<Vec<usize>, E> {
    let elements = |places: &[usize]| -> Vec<usize> { places.iter().map(|place| list[*place]).collect() };
    let places: Vec<usize> = (0..list.len()).collect();
    let found = part(&[], false, &places, &mut |some| has_effect(&elements(some)))?;
    Ok(elements(&found))
}

/// Returns the places of `list` that are needed beside those of `kept`. `is_new` says that `kept` was not tried yet.
fn part<E>(
    kept: &[usize],
    is_new: bool,
    list: &[usize],
    has_effect: &mut dyn FnMut(&[usize]) -> Result<bool, E>,
) -> Result<Vec<usize>, E> {
    if is_new && has_effect(kept)? {
        return Ok(Vec::new());
    }
    if list.len() <= 1 {
        return Ok(list.to_vec());
    }
    let (earlier, later) = list.split_at(list.len() / 2);
    let of_earlier = part(&joined(kept, later), true, earlier, has_effect)?;
    let of_later = part(
        &joined(kept, &of_earlier),
        !of_earlier.is_empty(),
        later,
        has_effect,
    )?;
    Ok(joined(&of_earlier, &of_later))
}

fn joined(some: &[usize], more: &[usize]) -> Vec<usize> {
    let mut joined = [some, more].concat();
    joined.sort_unstable();
    joined
}

/// Returns minimal parts of a list that have the effect, found by halving: disjoint parts, as long as one of the halves has the
/// effect, or else a single part with elements in both.
pub(crate) fn alternatives<E>(
    list: &[usize],
    has_effect: &mut dyn FnMut(&[usize]) -> Result<bool, E>,
) -> Result<Vec<Vec<usize>>, E> {
    if !has_effect(list)? {
        return Ok(Vec::new());
    }
    if list.len() <= 1 {
        return Ok(vec![list.to_vec()]);
    }
    let (earlier, later) = list.split_at(list.len() / 2);
    let mut found = alternatives(earlier, has_effect)?;
    found.extend(alternatives(later, has_effect)?);
    if found.is_empty() {
        let part = minimal(list, has_effect)?;
        // The last attempt need not have been the part itself.
        if has_effect(&part)? {
            found.push(part);
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;
    use std::convert::Infallible;

    fn shuffled(length: usize) -> impl Strategy<Value = Vec<usize>> {
        Just((0..length).collect::<Vec<_>>()).prop_shuffle()
    }

    proptest! {
        #[test]
        fn halving_finds_a_single_element_in_as_many_steps_as_its_number_has_bits(
            (list, at) in (1_usize..400).prop_flat_map(|length| (shuffled(length), 0..length))
        ) {
            let (wanted, mut attempts) = (list[at], 0);
            let Ok((found, seen)) = halve(&list, &mut |some| {
                attempts += 1;
                Ok::<_, Infallible>(some.contains(&wanted))
            });
            prop_assert_eq!(found, wanted);
            prop_assert!(seen.contains(&wanted));
            prop_assert!(1_usize << attempts < 2 * list.len());
        }

        #[test]
        fn a_minimal_part_is_all_that_is_needed_in_the_order_of_the_list(
            (list, mut needed) in (1_usize..200).prop_flat_map(|length| {
                (shuffled(length), prop::collection::btree_set(0..length, 1..4))
            })
        ) {
            let (mut attempts, length) = (0, list.len());
            let Ok(found) = minimal(&list, &mut |some| {
                attempts += 1;
                Ok::<_, Infallible>(needed.iter().all(|element| some.contains(element)))
            });
            prop_assert!(found.is_sorted_by_key(|element| list.iter().position(|other| other == element)));
            let bits = usize::BITS - length.leading_zeros();
            prop_assert!(attempts <= 2 * needed.len() as u32 * (bits + 1));
            for element in found {
                prop_assert!(needed.remove(&element));
            }
            prop_assert!(needed.is_empty());
        }

        #[test]
        fn a_single_part_is_found_and_so_are_two_that_suffice(
            length in 1_usize..40, one in 0_usize..40, other in 0_usize..40
        ) {
            let (one, other) = (one % length, other % length);
            let list: Vec<usize> = (0..length).collect();
            let wanted: BTreeSet<usize> = [one, other].into();
            let Ok(found) = alternatives(&list, &mut |some| {
                Ok::<_, Infallible>(some.contains(&one) || some.contains(&other))
            });
            prop_assert_eq!(found, wanted.iter().map(|one| vec![*one]).collect::<Vec<_>>());
            let Ok(found) = alternatives(&list, &mut |some| {
                Ok::<_, Infallible>(some.contains(&one) && some.contains(&other))
            });
            prop_assert_eq!(found, vec![wanted.into_iter().collect::<Vec<_>>()]);
        }
    }
}
