//! A test that needs a value set by another one.

#[test]
fn a_sets_it() {
    unsafe { std::env::set_var("NEEDED", "there") };
}

#[test]
fn b_finds_it() {
    std::thread::sleep(std::time::Duration::from_millis(30));
    assert_eq!(std::env::var("NEEDED").as_deref(), Ok("there"));
}
