#[cofferdam::test(start_paused = true)]
async fn the_clock_is_shared() {}

#[cofferdam::test(flavor = "local")]
async fn the_flavors_are_two() {}

#[cofferdam::test(worker_threads = 2)]
async fn one_thread_is_not_two() {}

#[cofferdam::test(timeout = 7)]
async fn nothing_else_is_known() {}

#[cofferdam::test(flavor = "multi_thread")]
fn there_is_no_runtime() {}

fn main() {}
