use ticket_office::{change, day_pass, open_till, print_sales};

#[test]
fn a_day_pass_costs_ten_euros() {
    assert_eq!(day_pass(), "10 EUR");
}

#[test]
fn a_day_pass_costs_eleven_dollars() {
    unsafe { std::env::set_var("TICKETS_CURRENCY", "USD") };
    assert_eq!(day_pass(), "11 USD");
}

#[test]
fn the_till_opens() {
    open_till(50);
    assert_eq!(change(), Some(50));
}

#[test]
fn tickets_are_sold_when_the_till_is_open() {
    assert_eq!(change(), Some(50));
}

#[test]
fn sales_of_monday_are_printed() {
    assert_eq!(print_sales("Monday", 7).unwrap(), "Monday,7\n");
}

#[test]
fn sales_of_sunday_are_printed() {
    assert_eq!(print_sales("Sunday", 90).unwrap(), "Sunday,90\n");
}
