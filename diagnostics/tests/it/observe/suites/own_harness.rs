//! A harness of its own: it lists its tests as nextest wants it, and runs one.

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let has = |word: &str| arguments.iter().any(|argument| argument == word);
    if has("--list") {
        if !has("--ignored") {
            println!("passes: test\nfails: test\nends: test\nis killed: test");
        }
    } else if has("fails") {
        std::process::exit(3);
    } else if has("ends") {
        unsafe extern "C" {
            fn _exit(status: i32) -> !;
        }
        unsafe { _exit(0) }
    } else if has("is killed") {
        std::process::abort();
    }
}
