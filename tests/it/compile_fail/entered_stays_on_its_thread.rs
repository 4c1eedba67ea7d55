fn send<T: Send>() {}

fn main() {
    send::<cofferdam::worker::Entered>();
}
