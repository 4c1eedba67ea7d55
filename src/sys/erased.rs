//! A value without its type, had again for one comparison.
//!
//! `dyn Any` asks the value for its type by a virtual call whose answer comes back through memory. On the warm path
//! that cost more than all the rest.

use std::any::{Any, TypeId};

/// A `V` of some kind.
pub(crate) struct Erased {
    type_id: TypeId,
    value: Box<dyn Any>,
}

impl Erased {
    pub(crate) fn new<V: 'static>(value: V) -> Self {
        Self {
            type_id: TypeId::of::<V>(),
            value: Box::new(value),
        }
    }

    /// The value, if it is a `V`.
    #[inline]
    pub(crate) fn get<V: 'static>(&self) -> Option<&V> {
        if self.type_id != TypeId::of::<V>() {
            return None;
        }
        let value: *const dyn Any = &*self.value;
        // SAFETY: `new` alone makes one, and there the ID is that of the value's type, so it is a `V`; `self`, which
        // is borrowed as long as what is returned, owns it and never hands it out to be changed.
        #[expect(unsafe_code, reason = "see the module")]
        let value = unsafe { &*value.cast::<V>() };
        Some(value)
    }
}

#[cfg(test)]
mod tests {
    use super::Erased;
    use std::sync::{Arc, Weak};

    #[test]
    fn a_value_is_had_again_as_what_it_is_and_as_nothing_else() {
        let text: Arc<str> = Arc::from("text");
        let erased = Erased::new(Arc::downgrade(&text));
        let found = erased.get::<Weak<str>>().and_then(Weak::upgrade);
        assert_eq!(found.as_deref(), Some("text"));
        assert!(erased.get::<Weak<u8>>().is_none());
        assert!(erased.get::<Arc<str>>().is_none());
    }

    #[test]
    fn a_value_is_dropped_with_its_box() {
        let value = Arc::new(());
        let erased = Erased::new(Arc::clone(&value));
        assert_eq!(Arc::strong_count(&value), 2);
        drop(erased);
        assert_eq!(Arc::strong_count(&value), 1);
    }
}
