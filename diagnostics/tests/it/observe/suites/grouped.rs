//! Tests behind one lock, which share several resources.

use std::sync::Mutex;
use std::{env, fs};

static ONE: Mutex<()> = Mutex::new(());
const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/met/shared");

fn alone(name: &str) {
    let _alone = ONE.lock().unwrap();
    unsafe { env::set_var("GROUPED", name) };
    // Not all to one directory, which would be no conflict.
    let below = ["/src", "/met"][usize::from(name.as_bytes()[0] % 2)];
    env::set_current_dir(env!("CARGO_MANIFEST_DIR").to_owned() + below).unwrap();
    fs::write(FILE, name).unwrap();
    assert_eq!(env::var("GROUPED").unwrap(), name);
    assert_eq!(fs::read_to_string(FILE).unwrap(), name);
}

macro_rules! tests {
    ($($name:ident)*) => { $(#[test] fn $name() { alone(stringify!($name)) })* };
}

tests! { a b c d e f g h i j k l m n }
