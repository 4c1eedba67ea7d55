//! The statics that a hunt names as causes.

use super::failure_rate::{RateView, rate};
use super::text::plain;
use crate::hunt::{Experiment, StaticCause, TypedStatic};
use serde::Serialize;
use std::io::{self, Write};
use std::path::Path;

/// Writes the statics through which the test fails, and the experiment that shows it.
pub(super) fn statics(
    out: &mut dyn Write,
    shown: &StaticCause,
    culprits: &str,
    root: &Path,
) -> io::Result<()> {
    let set = |set: &[TypedStatic]| {
        let named: Vec<String> = set.iter().map(|one| typed(one, root)).collect();
        plain(&named.join(" together with ")).into_owned()
    };
    match shown.sets.as_slice() {
        [one] => writeln!(out, "  through static {}", set(one))?,
        several => {
            writeln!(out, "  through one of the statics")?;
            for one in several {
                writeln!(out, "    {}", set(one))?;
            }
        }
    }
    let what = if shown.sets.iter().all(|set| set.len() == 1) {
        "it"
    } else {
        "them"
    };
    let (with, without) = (rate(shown.with), rate(shown.without));
    match shown.experiment {
        Experiment::PutBack => {
            writeln!(
                out,
                "    with {what} put back after {culprits}, the test failed in {with}; without, in {without}"
            )
        }
        Experiment::Pause => writeln!(
            out,
            "    with one test run while the other paused at a use of {what}, the test failed in {with}; one after the other, in \
             {without}"
        ),
    }
}

/// Returns a static with its type and the place of its declaration.
fn typed(one: &TypedStatic, root: &Path) -> String {
    let of_type = match one.type_name.as_str() {
        "" => String::new(),
        name => format!(": {name}"),
    };
    format!("{}{of_type} ({})", one.id.shown(), place(one, root))
}

/// Returns the file and line of a declaration, below `root` where it is.
fn place(one: &TypedStatic, root: &Path) -> String {
    let path = Path::new(&one.id.line);
    path.strip_prefix(root).unwrap_or(path).display().to_string()
}

#[derive(Serialize)]
pub(super) struct StaticsView<'a> {
    experiment: &'static str,
    with: RateView,
    without: RateView,
    /// Each set suffices; those of one set are needed together.
    sets: Vec<Vec<StaticView<'a>>>,
}

#[derive(Serialize)]
struct StaticView<'a> {
    name: &'a str,
    r#type: &'a str,
    declared: String,
}

impl<'a> StaticsView<'a> {
    pub(super) fn of(shown: &'a StaticCause, root: &Path) -> Self {
        let view = |one: &'a TypedStatic| StaticView {
            name: one.id.shown(),
            r#type: &one.type_name,
            declared: place(one, root),
        };
        Self {
            experiment: match shown.experiment {
                Experiment::PutBack => "put-back",
                Experiment::Pause => "pause",
            },
            with: RateView::of(shown.with),
            without: RateView::of(shown.without),
            sets: shown
                .sets
                .iter()
                .map(|set| set.iter().map(view).collect())
                .collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rates::FailureRate;
    use crate::scene::StaticId;

    fn typed_static(name: &str, type_name: &str) -> TypedStatic {
        TypedStatic {
            id: StaticId {
                name: name.to_owned(),
                line: "/w/src/lib.rs:3".to_owned(),
            },
            type_name: type_name.to_owned(),
        }
    }

    #[test]
    fn a_static_is_named_with_the_experiment_that_shows_it() {
        let (till, stock) = (
            typed_static("shop::TILL", "Mutex<u32>"),
            typed_static("shop::STOCK", ""),
        );
        let lazy = typed_static(
            "<shop::ALL as core::ops::deref::Deref>::deref::__stability::LAZY",
            "Lazy<u8>",
        );
        for (experiment, sets, wanted) in [
            (
                Experiment::PutBack,
                vec![vec![till.clone()]],
                "  through static shop::TILL: Mutex<u32> (src/lib.rs:3)\n    with it put back after other, the test failed in 0 of \
                 6 runs; without, in 3 of 3 runs\n",
            ),
            (
                Experiment::PutBack,
                vec![vec![till.clone()], vec![stock.clone()]],
                "  through one of the statics\n    shop::TILL: Mutex<u32> (src/lib.rs:3)\n    shop::STOCK (src/lib.rs:3)\n    \
                 with it put back after other, the test failed in 0 of 6 runs; without, in 3 of 3 runs\n",
            ),
            (
                Experiment::PutBack,
                vec![vec![till.clone(), stock]],
                "  through static shop::TILL: Mutex<u32> (src/lib.rs:3) together with shop::STOCK (src/lib.rs:3)\n    with them put \
                 back after other, the test failed in 0 of 6 runs; without, in 3 of 3 runs\n",
            ),
            (
                Experiment::Pause,
                vec![vec![lazy]],
                "  through static shop::ALL: Lazy<u8> (src/lib.rs:3)\n    with one test run while the other paused at a use of it, \
                 the test failed in 0 of 6 runs; one after the other, in 3 of 3 runs\n",
            ),
        ] {
            let shown = StaticCause {
                sets,
                experiment,
                with: FailureRate { failed: 0, runs: 6 },
                without: FailureRate { failed: 3, runs: 3 },
            };
            let mut out = Vec::new();
            statics(&mut out, &shown, "other", Path::new("/w")).unwrap();
            assert_eq!(String::from_utf8(out).unwrap(), wanted);
        }
    }
}
