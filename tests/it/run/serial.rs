//! `#[serial]` and `#[parallel]` on each kind of test.

use crate::role::{play, plays, role};
use cofferdam::diagnostics::{LockState, locks};
use cofferdam::lock::{LockOptions, try_lock, try_lock_shared};
use cofferdam::{parallel, serial};
use std::fmt;

/// The state of the lock as another process sees it.
pub(crate) fn state(name: &str) -> LockState {
    let all = locks(&cofferdam::diagnostics::base_dir(None).unwrap()).unwrap();
    all.iter().find(|lock| lock.name == name).unwrap().state
}

#[test]
#[serial(attribute_tests_alone)]
fn a_serial_test_has_its_lock_alone() {
    assert_eq!(state("attribute_tests_alone"), LockState::Exclusive);
}

#[test]
#[parallel(attribute_tests_shared)]
fn a_parallel_test_shares_its_lock() {
    assert_eq!(state("attribute_tests_shared"), LockState::Shared);
}

#[serial]
#[test]
fn without_a_key_the_lock_is_called_serial() -> Result<(), fmt::Error> {
    assert_eq!(state("serial"), LockState::Exclusive);
    Ok(())
}

#[serial(attribute_tests_b, "attribute_tests_a")]
#[test]
#[parallel(attribute_tests_c)]
fn several_keys_and_attributes_are_all_taken() -> Result<(), fmt::Error> {
    assert_eq!(state("attribute_tests_a"), LockState::Exclusive);
    assert_eq!(state("attribute_tests_b"), LockState::Exclusive);
    assert_eq!(state("attribute_tests_c"), LockState::Shared);
    Ok(())
}

#[tokio::test]
#[serial(attribute_tests_async)]
async fn an_async_test_holds_its_lock_while_it_waits() {
    tokio::task::yield_now().await;
    assert_eq!(state("attribute_tests_async"), LockState::Exclusive);
}

#[serial(attribute_tests_async_below)]
#[tokio::test(flavor = "multi_thread")]
async fn an_async_test_may_have_the_attribute_above() -> Result<(), fmt::Error> {
    tokio::task::yield_now().await;
    assert_eq!(state("attribute_tests_async_below"), LockState::Exclusive);
    Ok(())
}

#[test]
#[should_panic(expected = "as it should")]
#[serial(attribute_tests_panics)]
fn a_test_that_should_panic_does() {
    assert_eq!(state("attribute_tests_panics"), LockState::Exclusive);
    panic!("as it should");
}

mod elsewhere {
    pub(super) use cofferdam as renamed;
}

#[test]
#[serial(attribute_tests_renamed, crate = elsewhere::renamed)]
fn the_crate_may_have_another_name() {
    assert_eq!(state("attribute_tests_renamed"), LockState::Exclusive);
}

/// Two guards would deadlock: the test holds its own lock shared, so it could not get it exclusively.
#[elsewhere::renamed::serial(attribute_tests_both, crate = elsewhere::renamed)]
#[elsewhere::renamed::parallel(attribute_tests_both, crate = elsewhere::renamed)]
#[test]
fn attributes_of_a_renamed_crate_are_one_guard() {
    assert_eq!(state("attribute_tests_both"), LockState::Exclusive);
}

#[elsewhere::renamed::serial(attribute_tests_both_of_module, crate = elsewhere::renamed)]
#[elsewhere::renamed::parallel(attribute_tests_both_of_module, crate = elsewhere::renamed)]
mod a_module_of_a_renamed_crate {
    use super::*;

    #[test]
    fn has_one_guard_in_each_test() {
        assert_eq!(state("attribute_tests_both_of_module"), LockState::Exclusive);
    }
}

#[serial(attribute_tests_above)]
mod another_module {
    use super::*;

    #[test]
    #[elsewhere::renamed::serial(attribute_tests_renamed_own, crate = elsewhere::renamed)]
    fn gives_nothing_to_one_with_an_attribute_of_a_renamed_crate() {
        assert_eq!(state("attribute_tests_renamed_own"), LockState::Exclusive);
        let _shared = try_lock_shared("attribute_tests_above").unwrap().unwrap();
        assert_eq!(state("attribute_tests_above"), LockState::Shared);
    }
}

#[test]
#[serial(attribute_tests_inner)]
fn attributes_in_a_tests_body_stay_first_in_it() {
    //! So does its text.
    #![expect(unused_variables, reason = "the attribute counts for the whole body")]

    let unused = 0;
    assert_eq!(state("attribute_tests_inner"), LockState::Exclusive);
}

#[serial(attribute_tests_module)]
#[parallel(attribute_tests_module_too)]
mod a_module {
    //! Its own attributes are left alone.

    use super::*;

    #[test]
    fn each_of_its_tests_has_the_lock() {
        assert_eq!(state("attribute_tests_module"), LockState::Exclusive);
        assert_eq!(state("attribute_tests_module_too"), LockState::Shared);
    }

    #[test]
    #[parallel(attribute_tests_own)]
    fn one_with_an_attribute_of_its_own_has_that() {
        assert_eq!(state("attribute_tests_own"), LockState::Shared);
        assert!(helper());
    }

    #[cfg_attr(all(), test)]
    fn so_has_one_that_is_a_test_by_a_condition() {
        assert_eq!(state("attribute_tests_module"), LockState::Exclusive);
    }

    #[cfg_attr(all(), cfg_attr(all(), inline, tokio::test(flavor = "current_thread")))]
    async fn so_has_one_by_two_conditions() {
        assert_eq!(state("attribute_tests_module"), LockState::Exclusive);
    }

    /// Not a test, so it may be called without the lock.
    #[cfg_attr(test, inline)]
    fn helper() -> bool {
        try_lock_shared("attribute_tests_module").is_ok()
    }

    mod inner {
        use super::*;

        #[test]
        fn so_has_each_test_of_its_modules() {
            assert_eq!(state("attribute_tests_module"), LockState::Exclusive);
            assert!(
                try_lock("attribute_tests_module").unwrap().is_some(),
                "its own thread may"
            );
        }
    }
}

/// The function that libtest would call; the caller only checks whether it panics.
#[should_panic]
#[serial(panics)]
fn begins() {
    panic!("it began without its lock");
}

const QUIET: &str = "run::serial::role_quiet";

#[test]
#[ignore = "a role"]
fn role_quiet() {
    if plays(QUIET) {
        let _reading = LockOptions::new().shared().lock("panics").unwrap();
        begins();
    }
}

#[test]
fn a_test_that_should_panic_and_cannot_have_its_lock_ends_without_a_panic_and_says_why() {
    let base = tempfile::tempdir().unwrap();
    let ended = play(role(QUIET, "serial").env("COFFERDAM_DIR", base.path())).end();
    let warnings = ended.passed().warnings();
    let why = "cofferdam: the test did not begin, and ends without a panic: lock `panics` would wait for its own test";
    assert!(
        warnings.len() == 1 && warnings[0].starts_with(why),
        "{warnings:?}"
    );
}
