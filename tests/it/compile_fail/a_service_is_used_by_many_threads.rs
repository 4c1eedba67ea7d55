//! A worker may have several threads, and exit drops services on one of its own.

use cofferdam::{ServiceLocator, WorkerLocal};
use std::cell::Cell;
use std::sync::Arc;

static LOCAL: WorkerLocal<Cell<u8>> = WorkerLocal::new(|_| Ok(Cell::new(7)));

fn main() {
    ServiceLocator::builder()
        .register::<Cell<u8>>(|_| Ok(Arc::new(Cell::new(7))))
        .build();
}
