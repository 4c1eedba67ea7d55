//! A value that ends with its test is never reset.

use cofferdam::WorkerLocal;

static RESET: WorkerLocal<u8> = WorkerLocal::new(|_| Ok(1)).per_test().reset(|_| Ok(()));
static PER_TEST: WorkerLocal<u8> = WorkerLocal::new(|_| Ok(1)).reset(|_| Ok(())).per_test();

fn main() {
    (RESET.get(), PER_TEST.get());
}
