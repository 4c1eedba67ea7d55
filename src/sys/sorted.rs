//! Lists that are kept in order.
//!
//! For the short lists of a test process: `sort` is compiled for each type of element and order, and twenty of its copies were
//! a seventh of what a suite compiled of this crate.

/// Inserts an element before the first that it precedes.
pub(crate) fn insert<T>(list: &mut Vec<T>, new: T, precedes: fn(&T, &T) -> bool) {
    let index = list.partition_point(|known| !precedes(&new, known));
    list.insert(index, new);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_elements_stay_in_the_order_of_insertion() {
        let mut list = Vec::new();
        for new in [(2, 'a'), (1, 'b'), (2, 'c'), (3, 'd'), (1, 'e')] {
            insert(&mut list, new, |a, b| a.0 < b.0);
        }
        assert_eq!(list, [(1, 'b'), (1, 'e'), (2, 'a'), (2, 'c'), (3, 'd')]);
    }
}
