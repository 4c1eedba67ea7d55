fn main() {
    suite::meet("main");
}
