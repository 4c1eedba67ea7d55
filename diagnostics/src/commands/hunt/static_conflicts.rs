//! The statics that a hunt names as causes, as conflicts that `fix` can end.

use super::Cause;
use crate::findings::{Observation, SharedUse};
use crate::fix::conflict_help;
use crate::fix::own_statics::OwnStatics;
use crate::hunt::Class;
use crate::scene::TestId;
use cofferdam::format::ResourceKind;
use cofferdam::{Access, Resource};
use cofferdam_conflicts::{Conflict, Grade, Kind, Runner, StaticFacts, Test, Use};
use std::path::Path;

/// Enters the help for each cause that is a single static, and adds its conflict to the observation.
pub(super) fn enter(causes: &mut [Cause], kept: &mut Observation) {
    let mut found = Observation {
        conflicts: Vec::new(),
        ..kept.clone()
    };
    let (mut of, mut conflicts): (Vec<&mut Cause>, Vec<Conflict>) = (Vec::new(), Vec::new());
    for cause in causes {
        if let Some(conflict) = conflict(cause, kept) {
            of.push(cause);
            conflicts.push(conflict);
        }
    }
    if conflicts.is_empty() {
        return;
    }
    found.conflicts = conflicts;
    let sources = crate::commands::fix::sources(&found, Path::new(&kept.dir)).unwrap_or_default();
    let own = OwnStatics::of(&found, &sources, false);
    conflict_help::write_help(&mut found, &sources, &[], &own);
    for (cause, conflict) in of.into_iter().zip(&found.conflicts) {
        cause.static_use = conflict.resource.clone().map(|resource| SharedUse {
            resource,
            culprit_place: None,
            culprit_writes: true,
            test_place: None,
            test_writes: cause.verdicts[0].class == Class::Race,
            help: conflict.help.clone(),
        });
    }
    for conflict in found.conflicts {
        let is_known = kept
            .conflicts
            .iter()
            .any(|known| known.resource == conflict.resource);
        if !is_known {
            kept.conflicts.push(conflict);
        }
    }
}

/// Returns the conflict on the single static through which tests fail beside or after others.
fn conflict(cause: &Cause, kept: &Observation) -> Option<Conflict> {
    let first = cause.verdicts.first()?;
    let [set] = cause.static_cause.as_ref()?.sets.as_slice() else {
        return None;
    };
    let ([one], Class::Race | Class::Victim) = (set.as_slice(), &first.class) else {
        return None;
    };
    let mut users: Vec<&TestId> = Vec::new();
    for verdict in &cause.verdicts {
        users.push(&verdict.test);
        users.extend(&verdict.culprits);
    }
    users.sort_unstable();
    users.dedup();
    let declared = Path::new(&one.id.line);
    let declared = declared.strip_prefix(&kept.dir).unwrap_or(declared);
    let name = one.id.shown();
    Some(Conflict {
        kind: Kind::SharedResource,
        resource: Some(Resource::new(ResourceKind::Static, name)),
        service: None,
        grade: Some(Grade::Reproduced),
        overlapped: first.class == Class::Race,
        between_runs: false,
        message: format!("static {name} is used by {} tests", users.len()),
        help: String::new(),
        output: None,
        name_parts: None,
        static_facts: Some(StaticFacts {
            declared: Some(declared.display().to_string()),
            type_name: one.type_name.clone(),
            in_order: first.class == Class::Victim,
            ..StaticFacts::default()
        }),
        use_count: users.len() as u64,
        tests: users.into_iter().map(|test| user(test, kept)).collect(),
        pairs: Vec::new(),
        pair_count: 0,
    })
}

fn user(test: &TestId, kept: &Observation) -> Test {
    let mut programs = kept.ran.iter();
    let program = programs.find(|one| one.binary == test.binary && one.tests.contains(&test.name));
    Test {
        run: String::new(),
        worker: String::new(),
        pid: 0,
        binary: test.binary.clone(),
        package: program.map(|program| program.package.clone()).unwrap_or_default(),
        runner: Some(Runner::CargoTest),
        name: Some(test.name.clone()),
        attempt: 1,
        grade: Some(Grade::Reproduced),
        fails_alone: false,
        uses: vec![Use {
            access: Some(Access::Write),
            service: None,
            place: None,
            test_place: None,
            from: 0,
            to: 0,
        }],
    }
}
