//! A test that needs a value set by another one.

static LOCK: std::sync::Mutex<()> = std::sync::Mutex::new(());

#[test]
fn a_sets_it() {
    let _guard = LOCK.lock();
    unsafe { std::env::set_var("NEEDED", "there") };
}

#[test]
fn b_finds_it() {
    std::thread::sleep(std::time::Duration::from_millis(30));
    let _guard = LOCK.lock();
    assert_eq!(std::env::var("NEEDED").as_deref(), Ok("there"));
}
