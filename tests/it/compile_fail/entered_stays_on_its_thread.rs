fn main() {
    let entered = cofferdam::Worker::current().enter();
    std::thread::spawn(move || drop(entered));
}
