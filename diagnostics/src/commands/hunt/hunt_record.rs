//! The scenes that a hunt has run, kept so that `--resume` need not run them again.
//!
//! A hunt decides what to run next only by what it has seen. So a hunt that gets the kept results first, in their order, does
//! the same as before up to the point where it ended, and goes on from there.

use crate::scene::{Scene, SceneResult, TestId};
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};

/// The version of the file.
const VERSION: u64 = 1;
const FOLDER: &str = "hunts";
const FILE: &str = "last.jsonl";

/// What a hunt started from. Another one cannot continue it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Origin {
    version: u64,
    /// A digest of the command, which may hold secrets.
    command: u64,
    pub(super) tests: Vec<TestId>,
    pub(super) given: Vec<TestId>,
    pub(super) seed: u64,
    pub(super) alone: bool,
}

impl Origin {
    pub(super) fn new(command: u64, tests: Vec<TestId>, given: Vec<TestId>, seed: u64, alone: bool) -> Self {
        Self {
            version: VERSION,
            command,
            tests,
            given,
            seed,
            alone,
        }
    }
}

#[derive(Serialize, Deserialize)]
struct Step {
    scene: Scene,
    result: SceneResult,
}

/// The results so far, and the file that they are added to.
#[derive(Debug)]
pub(super) struct HuntRecord {
    path: PathBuf,
    file: Option<File>,
    /// Results of the hunt that is continued, in their order.
    kept: VecDeque<(Scene, SceneResult)>,
}

impl HuntRecord {
    /// Begins the record of a hunt below `base`, in place of the last.
    pub(super) fn begin(base: &Path, origin: &Origin) -> Self {
        let mut record = Self {
            path: base.join(FOLDER).join(FILE),
            file: None,
            kept: VecDeque::new(),
        };
        // Without a record, the hunt cannot be continued, and its report is the same.
        record.file = record.create(base, origin).ok();
        record
    }

    fn create(&self, base: &Path, origin: &Origin) -> io::Result<File> {
        cofferdam::diagnostics::private_dir(base, FOLDER).map_err(io::Error::other)?;
        let mut file = File::create(&self.path)?;
        writeln!(file, "{}", serde_json::to_string(origin)?)?;
        Ok(file)
    }

    /// Continues the last hunt below `base`, with its seed if `any_seed`. Returns it with what it started from.
    ///
    /// # Errors
    ///
    /// There is none, or it started from something else.
    pub(super) fn resume(base: &Path, origin: &Origin, any_seed: bool) -> Result<(Self, Origin), String> {
        let path = base.join(FOLDER).join(FILE);
        let file = File::open(&path).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => "there is no hunt to resume".to_owned(),
            _ => format!("could not read {}: {error}", path.display()),
        })?;
        let mut lines = BufReader::new(file).lines().map_while(Result::ok);
        let known: Option<Origin> = lines.next().and_then(|line| serde_json::from_str(&line).ok());
        let known = known.filter(|known| {
            let seed = if any_seed { known.seed } else { origin.seed };
            *known
                == Origin {
                    seed,
                    ..origin.clone()
                }
        });
        let Some(known) = known else {
            return Err("the last hunt was of another command, or its tests have changed since".to_owned());
        };
        // The last line may be torn.
        let steps = lines.map_while(|line| serde_json::from_str::<Step>(&line).ok());
        let kept: VecDeque<_> = steps.map(|step| (step.scene, step.result)).collect();
        let mut record = Self {
            file: None,
            kept,
            path,
        };
        record.file = record.rewrite(&known).ok();
        Ok((record, known))
    }

    /// Writes the file again without a torn line.
    fn rewrite(&self, origin: &Origin) -> io::Result<File> {
        let mut text = serde_json::to_string(origin)?;
        text.push('\n');
        for (scene, result) in &self.kept {
            text.push_str(&step_line(scene, result)?);
        }
        cofferdam::file::write_atomic(&self.path, text.as_bytes()).map_err(io::Error::other)?;
        fs::OpenOptions::new().append(true).open(&self.path)
    }

    /// Returns the kept result of the next scene. After a scene that differs, nothing kept counts.
    pub(super) fn next(&mut self, scene: &Scene) -> Option<SceneResult> {
        match self.kept.pop_front() {
            Some((known, result)) if known == *scene => Some(result),
            _ => {
                self.kept.clear();
                None
            }
        }
    }

    /// Adds a result.
    pub(super) fn add(&mut self, scene: &Scene, result: &SceneResult) {
        let write = |file: &mut File| file.write_all(step_line(scene, result)?.as_bytes());
        if self.file.as_mut().is_some_and(|file| write(file).is_err()) {
            // A record with a gap would not lead to the same hunt.
            self.file = None;
        }
    }
}

fn step_line(scene: &Scene, result: &SceneResult) -> io::Result<String> {
    let step = serde_json::json!({ "scene": scene, "result": result });
    Ok(format!("{step}\n"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scene::{Arrangement, Outcome};

    fn test(name: &str) -> TestId {
        TestId {
            binary: "shop".to_owned(),
            name: name.to_owned(),
        }
    }

    fn scene(names: &[&str]) -> Scene {
        Scene::of(
            names.iter().map(|name| test(name)).collect(),
            Arrangement::InOrder,
        )
    }

    fn result(name: &str, outcome: Outcome) -> SceneResult {
        SceneResult {
            outcomes: [(test(name), outcome)].into(),
            ..SceneResult::default()
        }
    }

    fn origin(command: u64) -> Origin {
        Origin::new(command, vec![test("a"), test("b")], Vec::new(), 7, false)
    }

    #[test]
    fn a_resumed_hunt_gets_the_kept_results_in_their_order_until_it_differs() {
        let base = tempfile::tempdir().unwrap();
        let (a, b) = (scene(&["a"]), scene(&["a", "b"]));
        let mut record = HuntRecord::begin(base.path(), &origin(1));
        record.add(&a, &result("a", Outcome::Passed));
        record.add(&b, &result("b", Outcome::Failed));
        drop(record);
        // A kill in the middle of a write tears the last line.
        let path = base.path().join("hunts/last.jsonl");
        let torn = fs::read_to_string(&path).unwrap() + "{\"scene\":";
        fs::write(&path, torn).unwrap();
        for _ in 0..2 {
            let mut record = HuntRecord::resume(base.path(), &origin(1), true).unwrap().0;
            assert_eq!(record.next(&a), Some(result("a", Outcome::Passed)));
            assert_eq!(record.next(&b), Some(result("b", Outcome::Failed)));
            assert_eq!(record.next(&a), None);
        }
        let mut record = HuntRecord::resume(base.path(), &origin(1), true).unwrap().0;
        assert_eq!(record.next(&b), None);
        assert_eq!(record.next(&a), None);
    }

    #[test]
    fn a_hunt_of_something_else_is_not_resumed() {
        let base = tempfile::tempdir().unwrap();
        assert!(HuntRecord::resume(base.path(), &origin(1), true).is_err());
        HuntRecord::begin(base.path(), &origin(1));
        assert!(HuntRecord::resume(base.path(), &origin(2), true).is_err());
        assert!(HuntRecord::resume(base.path(), &origin(1), true).is_ok());
    }
}
