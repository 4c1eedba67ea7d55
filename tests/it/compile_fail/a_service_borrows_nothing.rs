//! A service outlives the test that had it built.

use cofferdam::ServiceLocator;
use std::sync::Arc;

struct Borrows<'a>(&'a str);

fn main() {
    let text = String::from("the test's own");
    ServiceLocator::builder()
        .register::<Borrows<'_>>(|_| Ok(Arc::new(Borrows(&text))))
        .build();
}
