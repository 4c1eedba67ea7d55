//! A scene as the options of `rerun`.

use super::{Arrangement, Scene, TestId};

/// Returns the words after `cargo cofferdam rerun` that repeat this scene and judge it by the test; `all` has every test of
/// the suite.
///
/// A test is named without its program where that is unambiguous.
pub(crate) fn rerun_words(scene: &Scene, judged: &TestId, all: &[TestId]) -> Vec<String> {
    let name = |test: &TestId| {
        let same = all.iter().filter(|other| other.name == test.name).count();
        if same > 1 {
            test.to_string()
        } else {
            test.name.clone()
        }
    };
    let mut words = vec![name(judged)];
    let company = || scene.tests.iter().filter(|test| *test != judged);
    match scene.arrangement {
        Arrangement::InOrder if scene.tests.len() > 1 => {
            let order: Vec<String> = scene.tests.iter().map(name).collect();
            words.extend(["--order".to_owned(), order.join(",")]);
        }
        Arrangement::InOrder => {}
        Arrangement::Parallel => {
            words.extend(company().map(name));
            words.push("--parallel".to_owned());
        }
        Arrangement::Alone => {
            words.extend(company().map(name));
            words.push("--alone".to_owned());
        }
    }
    if scene.load > 0 {
        words.extend(["--load".to_owned(), scene.load.to_string()]);
    }
    if scene.twice {
        words.push("--twice".to_owned());
    }
    if scene.empty_temp {
        words.push("--empty-temp".to_owned());
    }
    words
}
