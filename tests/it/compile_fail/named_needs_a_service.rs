//! `named`, `per_test` and `reset` speak of the service registered last.

use cofferdam::ServiceLocator;

fn main() {
    ServiceLocator::builder().named("replica").build();
    ServiceLocator::builder().per_test().build();
    ServiceLocator::builder().reset(|_| Ok(())).build();
}
