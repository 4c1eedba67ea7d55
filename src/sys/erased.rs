//! A type-erased value that is recovered with one comparison.
//!
//! `dyn Any` gets the type of the value by a virtual call that returns it through memory, which cost more than the rest of
//! the fast path.

use std::any::{Any, TypeId};

/// A value of an unknown type.
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

    /// Returns the value if it is a `V`.
    #[inline]
    pub(crate) fn get<V: 'static>(&self) -> Option<&V> {
        if self.type_id != TypeId::of::<V>() {
            return None;
        }
        let value: *const dyn Any = &*self.value;
        // SAFETY: `new` is the only constructor and stores the ID of the value's type, so the value is a `V`. `self`, which is
        // borrowed as long as the result, owns it and never gives mutable access to it.
        #[expect(unsafe_code, reason = "see the module documentation")]
        let value = unsafe { &*value.cast::<V>() };
        Some(value)
    }
}

#[cfg(test)]
mod tests {
    use super::Erased;
    use std::sync::{Arc, Weak};

    #[test]
    fn a_value_is_recovered_as_its_own_type_only() {
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
