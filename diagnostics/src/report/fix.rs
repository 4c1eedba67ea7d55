//! The changes that end the observed conflicts, as a diff with notes, or as JSON.

use super::diff;
use super::human::block;
use super::json_line;
use super::shell_line::rerun_command;
use super::style::BOLD;
use super::text::{count, plain};
use crate::cli::ListFormat;
use crate::commands::fix::{Advice, Fixed, OrderDependence, PlacedTest, Proof, ProofOutcome};
use crate::findings::{Account, ReproducedClass, SharedUse};
use crate::fix::draft::Change;
use crate::fix::key_plan::Key;
use crate::fix::nextest_groups::TestGroup;
use crate::fix::own_statics::OwnStatic;
use crate::fix::proposal::{ManualStep, Requirement};
use crate::fix::spelled;
use crate::fix::unused_attributes::UnusedAttribute;
use crate::rates::FailureRate;
use cofferdam::Resource;
use cofferdam_conflicts::Conflict;
use serde::Serialize;
use std::collections::BTreeSet;
use std::io::{self, Write};

/// The version of the JSON that this build writes.
const VERSION: u64 = 3;
/// The number of attributes of each kind that are listed; the others are counted.
const LISTED: usize = 20;

pub(super) fn write(out: &mut dyn Write, format: ListFormat, fixed: &Fixed) -> io::Result<()> {
    match format {
        ListFormat::Human => human(out, fixed),
        ListFormat::Json => json_line::write(out, &FixView::of(fixed)),
    }
}

fn human(mut out: &mut dyn Write, fixed: &Fixed) -> io::Result<()> {
    let mut is_first = !keys(out, fixed)?;
    for change in &fixed.proposal.changes {
        if !std::mem::take(&mut is_first) {
            writeln!(out)?;
        }
        diff::write(out, &change.diff(&fixed.root))?;
    }
    if !fixed.proposal.changes.is_empty() {
        writeln!(out)?;
    }
    advice(out, fixed)?;
    for one in &fixed.proposal.manual_steps {
        say(out, "by hand", &by_hand(one))?;
    }
    for (manifest, missing) in &fixed.proposal.missing_crates {
        say(out, "needed", &missing.sentence(&fixed.shown(manifest)))?;
    }
    attributes(out, fixed, "unused attribute", fixed.unneeded.iter())?;
    attributes(
        out,
        fixed,
        "no effect under nextest",
        fixed.ineffective_under_nextest.iter(),
    )?;
    for dependence in &fixed.order_dependent {
        let text = order_dependence(dependence, fixed);
        say(out, dependence.failure.class.id(), &text)?;
    }
    for proof in &fixed.proofs {
        let word = match proof.outcome {
            ProofOutcome::Fixed => "fixed",
            ProofOutcome::StillFails => "not fixed",
            ProofOutcome::NotProven { .. } => "not proven",
        };
        say(out, word, &proof_text(proof, fixed))?;
        if let Some(rerun) = rerun_command(&proof.rerun, &fixed.command).filter(|_| !proof.rerun.is_empty()) {
            say(out, "  rerun", &rerun)?;
        }
    }
    for problem in &fixed.problems {
        say(out, "unreadable", problem)?;
    }
    for failed in &fixed.failed_teardowns {
        block(&mut out, failed, None)?;
    }
    writeln!(out, "{BOLD}cofferdam:{BOLD:#} {}", plain(&last_line(fixed)))
}

pub(super) fn say(out: &mut dyn Write, word: &str, text: &str) -> io::Result<()> {
    writeln!(out, "{BOLD}{word}:{BOLD:#} {}", plain(text))
}

/// Writes the keys with their resources, and returns whether there was anything to write.
fn keys(out: &mut dyn Write, fixed: &Fixed) -> io::Result<bool> {
    let named = |resources: &[Resource]| {
        let names: Vec<String> = resources.iter().map(|one| fixed.shown_resource(one)).collect();
        names.join(", ")
    };
    for key in &fixed.proposal.keys {
        let (alone, shared) = (key.writers.len() as u64, key.readers.len() as u64);
        let written = |word: &str| attribute(word, &[&key.name]);
        let shared = match shared {
            0 => String::new(),
            shared => format!(", {} on {}", written("parallel"), count(shared, "test")),
        };
        let existing = if key.is_existing {
            ", as some of them have it"
        } else {
            ""
        };
        let text = format!(
            "{} on {}{shared}{existing}: {}",
            written("serial"),
            count(alone, "test"),
            named(&key.resources)
        );
        say(out, "key", &text)?;
    }
    for group in &fixed.proposal.groups {
        let tests = count(group.tests.len() as u64, "test");
        let extended = if group.is_existing { ", extended" } else { "" };
        say(
            out,
            "test group",
            &format!("{} of {tests}{extended}: {}", group.name, named(&group.resources)),
        )?;
    }
    for own in &fixed.proposal.own_statics {
        let (file, each) = (
            fixed.shown(&own.path),
            if own.per_test { "test" } else { "worker" },
        );
        let resource = fixed.shown_resource(&own.resource);
        say(
            out,
            "own",
            &format!("{resource} ({file}:{}): one for each {each}", own.line),
        )?;
    }
    for resource in &fixed.proposal.already_separated {
        let text = format!(
            "{}: its tests have a key or a test group in common already. If it is seen again, it is used outside of their \
             bodies: give each its own, or use --with test-group",
            fixed.shown_resource(resource)
        );
        say(out, "kept apart", &text)?;
    }
    for resource in &fixed.proposal.not_shared_under_nextest {
        let text = format!(
            "{}: under nextest each test has its own",
            fixed.shown_resource(resource)
        );
        say(out, "no group", &text)?;
    }
    let proposal = &fixed.proposal;
    if !proposal.outside_nextest.is_empty() {
        let text = format!(
            "under `cargo test`, where tests met on {}: only nextest reads test groups; --with attributes acts there",
            named(&proposal.outside_nextest)
        );
        say(out, "no effect", &text)?;
    }
    let is_none = proposal.keys.is_empty()
        && proposal.groups.is_empty()
        && proposal.own_statics.is_empty()
        && proposal.already_separated.is_empty();
    Ok(!is_none || !proposal.not_shared_under_nextest.is_empty())
}

fn advice(out: &mut dyn Write, fixed: &Fixed) -> io::Result<()> {
    for (resource, advice) in &fixed.advice {
        let places = match advice.places.as_slice() {
            [] => String::new(),
            places => format!(" ({})", places.join(", ")),
        };
        let resource = fixed.shown_resource(resource);
        let text = format!("{resource}: {}{places}", advice.help);
        say(out, if advice.is_leak { "left behind" } else { "better" }, &text)?;
    }
    Ok(())
}

fn attributes<'a>(
    out: &mut dyn Write,
    fixed: &Fixed,
    word: &str,
    all: impl ExactSizeIterator<Item = &'a UnusedAttribute>,
) -> io::Result<()> {
    let more = all.len().saturating_sub(LISTED);
    for one in all.take(LISTED) {
        say(
            out,
            word,
            &format!("{} ({}:{})", one.text, fixed.shown(&one.file), one.line),
        )?;
    }
    if more > 0 {
        say(out, word, &format!("{more} more"))?;
    }
    Ok(())
}

/// Returns a change to make by hand, with the reason.
pub(super) fn by_hand(one: &ManualStep) -> String {
    let ManualStep {
        test, binary, why, ..
    } = one;
    format!("{} {test} in {binary}: {why}", needed_for(one))
}

fn needed_for(one: &ManualStep) -> String {
    let word = if matches!(one.needs, Requirement::OwnResource(_)) {
        "for"
    } else {
        "on"
    };
    format!("{} {word}", needed(one))
}

fn needed(one: &ManualStep) -> String {
    let words: Vec<String> = match &one.needs {
        Requirement::Keys(takes) => {
            let all = |word: &str, keys: &BTreeSet<String>| {
                let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
                (!keys.is_empty()).then(|| attribute(word, &keys))
            };
            let both = [all("serial", &takes.exclusive), all("parallel", &takes.shared)];
            both.into_iter().flatten().collect()
        }
        Requirement::Locks(takes) => {
            let alone = takes
                .exclusive
                .iter()
                .map(|key| format!("cofferdam::lock({key:?})"));
            let shared = takes
                .shared
                .iter()
                .map(|key| format!("cofferdam::lock::lock_shared({key:?})"));
            alone.chain(shared).collect()
        }
        Requirement::OwnResource(resource) => vec![format!("its own {}", resource.kind().label())],
        Requirement::TestGroup(name) => vec![format!("test-group = {name:?}")],
    };
    words.join(" ")
}

/// Returns the attribute as it is written. An empty key is that of attributes without a key.
fn attribute(word: &str, keys: &[&str]) -> String {
    match keys {
        [""] => format!("#[{word}]"),
        keys => {
            let keys: Vec<String> = keys.iter().map(|key| spelled(key)).collect();
            format!("#[{word}({})]", keys.join(", "))
        }
    }
}

/// Returns what was repeated, and what became of the changes.
fn proof_text(proof: &Proof, fixed: &Fixed) -> String {
    let resources: Vec<String> = proof
        .resources
        .iter()
        .map(|resource| fixed.shown_resource(resource))
        .collect();
    let mut text = resources.join(" or ");
    if let Some(test) = &proof.test {
        let (before, after) = (proof.before, proof.after);
        text.push_str(&format!(
            ": {test} failed in {} of {}, before the change in {} of {}",
            after.failed,
            count(after.runs.into(), "run"),
            before.failed,
            before.runs
        ));
    }
    if let ProofOutcome::NotProven { why } = &proof.outcome {
        text.push_str(&format!(": {why}"));
    }
    if !proof.is_kept {
        text.push_str("; no change for it was kept");
    }
    text
}

/// Returns what a test needs or finds, where that comes from, and where it can be ended.
fn order_dependence(dependence: &OrderDependence, fixed: &Fixed) -> String {
    let failure = &dependence.failure;
    let is_brittle = failure.class == ReproducedClass::Brittle;
    let (test, culprits) = (
        placed(std::slice::from_ref(&dependence.test)),
        placed(&dependence.culprits),
    );
    let uses = failure.uses.iter().take(LISTED);
    let uses: Vec<String> = uses.map(|shared| shared_use(shared, is_brittle, fixed)).collect();
    let statics = dependence.statics.iter();
    let statics: Vec<String> = statics.map(|one| one.shown(&fixed.root)).collect();
    let what = match (uses.is_empty(), statics.is_empty()) {
        (true, true) => "something that was not observed, such as a static".to_owned(),
        (true, false) => format!("perhaps {}", statics.join(" or ")),
        (false, _) => uses.join(" or "),
    };
    let meaning = dependence
        .statics
        .first()
        .map(|one| format!(": {}", one.meaning()));
    let what = what + &meaning.unwrap_or_default();
    if is_brittle {
        format!(
            "{test} needs what {culprits} creates: {what}; create it in the test itself, a lock does not help"
        )
    } else {
        let names: Vec<&str> = dependence
            .culprits
            .iter()
            .map(|placed| placed.test.name.as_str())
            .collect();
        format!(
            "{test} finds what {culprits} leaves behind: {what}; restore it at the end of {}, a lock does not help",
            names.join(" and ")
        )
    }
}

fn placed(tests: &[PlacedTest]) -> String {
    let one = |placed: &PlacedTest| match &placed.line {
        Some(line) => format!("{} ({line})", placed.test),
        None => placed.test.to_string(),
    };
    tests.iter().map(one).collect::<Vec<_>>().join(" and ")
}

fn shared_use(shared: &SharedUse, is_brittle: bool, fixed: &Fixed) -> String {
    let word = if is_brittle { "created" } else { "changed" };
    let at = |word: &str, place: &Option<String>| place.as_ref().map(|place| format!("{word} at {place}"));
    let places = [at(word, &shared.culprit_place), at("used", &shared.test_place)];
    let places: Vec<String> = places.into_iter().flatten().collect();
    let resource = fixed.shown_resource(&shared.resource);
    match places.is_empty() {
        true => resource,
        false => format!("{resource} ({})", places.join(", ")),
    }
}

fn last_line(fixed: &Fixed) -> String {
    match &fixed.unknown {
        Some(why) if fixed.conflicts == 0 => format!(
            "could not tell: {why}; no conflict was seen in {}",
            count(fixed.tests, "test")
        ),
        Some(why) => format!("{}; there may be more: {why}", changes(fixed)),
        None => changes(fixed),
    }
}

fn changes(fixed: &Fixed) -> String {
    let proposal = &fixed.proposal;
    let seen = format!(
        "{} seen in {}",
        count(fixed.conflicts as u64, "conflict"),
        count(fixed.tests, "test")
    );
    if fixed.conflicts == 0 && !fixed.order_dependent.is_empty() {
        let tests = count(fixed.order_dependent.len() as u64, "failure");
        return format!("{tests} caused by the order of tests, to fix by hand; no lock helps");
    }
    if fixed.conflicts == 0 {
        return format!(
            "nothing to fix: no conflict was seen in {}",
            count(fixed.tests, "test")
        );
    }
    if !fixed.written && !fixed.proofs.is_empty() {
        return format!("nothing was changed: no change was proven to end {seen}");
    }
    let is_lacking = !proposal.missing_crates.is_empty();
    if proposal.changes.is_empty() && proposal.manual_steps.is_empty() {
        return if is_lacking {
            format!("no attribute can be written for {seen}; add a crate first")
        } else {
            format!("nothing to change: {seen}, and the tests are already kept apart")
        };
    }
    let (statics, functions, groups) = (
        proposal.own_statics.len(),
        proposal.functions,
        proposal.groups.len(),
    );
    let files = match (statics, functions, groups) {
        (0, 0, 1..) => String::new(),
        _ => format!(", in {}", count(proposal.changes.len() as u64, "file")),
    };
    let parts = [
        (statics > 0).then(|| match statics {
            1 => "a new declaration of 1 static".to_owned(),
            _ => format!("new declarations of {statics} statics"),
        }),
        (functions > 0 || statics + groups == 0).then(|| match functions {
            1 => "an attribute on 1 test".to_owned(),
            _ => format!("attributes on {functions} tests"),
        }),
        (groups > 0).then(|| format!("{} for nextest", count(groups as u64, "test group"))),
    ];
    let what = parts.into_iter().flatten().collect::<Vec<_>>().join(" and ") + &files;
    let then = match (fixed.written, proposal.manual_steps.is_empty()) {
        (true, _) if fixed.proofs.iter().any(|proof| !proof.is_kept) => "written, except what was not kept",
        (true, true) if fixed.proofs.is_empty() => {
            "written, not proven: --apply -- COMMAND repeats what failed"
        }
        (true, true)
            if fixed
                .proofs
                .iter()
                .all(|proof| proof.outcome == ProofOutcome::Fixed) =>
        {
            "written and proven"
        }
        (true, true) => "written; not all of it is proven",
        (true, false) => "written; the rest is to be done by hand",
        (false, _) if is_lacking => "add a crate first",
        (false, _) if proposal.changes.is_empty() => "all of it is to be done by hand",
        (false, _) => "--apply writes it",
    };
    format!("{what}, for {seen}; {then}")
}

/// The report, for programs.
#[derive(Serialize)]
struct FixView<'a> {
    version: u64,
    written: bool,
    account: &'a Account,
    unknown: Option<&'a str>,
    tests: u64,
    conflicts: usize,
    functions: usize,
    keys: Vec<KeyView<'a>>,
    test_groups: Vec<GroupView<'a>>,
    statics: Vec<StaticView<'a>>,
    kept_apart: Vec<ResourceView<'a>>,
    not_shared_under_nextest: Vec<ResourceView<'a>>,
    outside_nextest: Vec<ResourceView<'a>>,
    changes: Vec<ChangeView>,
    advice: Vec<AdviceView<'a>>,
    by_hand: Vec<ByHandView<'a>>,
    missing_library: Vec<String>,
    unused_attributes: Vec<AttributeView<'a>>,
    ineffective_under_nextest: Vec<AttributeView<'a>>,
    proofs: Vec<ProofView<'a>>,
    order_dependent: Vec<OrderView<'a>>,
    problems: &'a [String],
    failed_teardowns: &'a [Conflict],
}

#[derive(Serialize)]
struct ProofView<'a> {
    outcome: &'static str,
    kept: bool,
    resources: Vec<ResourceView<'a>>,
    test: Option<String>,
    before: FailureRate,
    after: FailureRate,
    reason: Option<&'a str>,
}

impl<'a> ProofView<'a> {
    fn of(proof: &'a Proof) -> Self {
        Self {
            outcome: proof.outcome.id(),
            kept: proof.is_kept,
            resources: views(&proof.resources),
            test: proof.test.as_ref().map(ToString::to_string),
            before: proof.before,
            after: proof.after,
            reason: match &proof.outcome {
                ProofOutcome::NotProven { why } => Some(why),
                _ => None,
            },
        }
    }
}

#[derive(Serialize)]
struct OrderView<'a> {
    class: &'static str,
    test: PlacedView<'a>,
    culprits: Vec<PlacedView<'a>>,
    uses: &'a [SharedUse],
}

#[derive(Serialize)]
struct PlacedView<'a> {
    name: String,
    place: Option<&'a str>,
}

impl<'a> OrderView<'a> {
    fn of(dependence: &'a OrderDependence) -> Self {
        let placed = |one: &'a PlacedTest| PlacedView {
            name: one.test.to_string(),
            place: one.line.as_deref(),
        };
        Self {
            class: dependence.failure.class.id(),
            test: placed(&dependence.test),
            culprits: dependence.culprits.iter().map(placed).collect(),
            uses: &dependence.failure.uses,
        }
    }
}

#[derive(Serialize)]
struct ResourceView<'a> {
    kind: &'static str,
    name: &'a str,
}

#[derive(Serialize)]
struct KeyView<'a> {
    name: &'a str,
    is_existing: bool,
    resources: Vec<ResourceView<'a>>,
    serial: usize,
    parallel: usize,
}

#[derive(Serialize)]
struct GroupView<'a> {
    name: &'a str,
    is_existing: bool,
    tests: usize,
    resources: Vec<ResourceView<'a>>,
}

/// A static with a new declaration.
#[derive(Serialize)]
struct StaticView<'a> {
    resource: ResourceView<'a>,
    file: String,
    line: usize,
    per_test: bool,
}

#[derive(Serialize)]
struct ChangeView {
    file: String,
    is_new: bool,
    diff: String,
}

#[derive(Serialize)]
struct AdviceView<'a> {
    resource: ResourceView<'a>,
    order_leak: bool,
    help: &'a str,
    places: &'a [String],
}

#[derive(Serialize)]
struct ByHandView<'a> {
    test: &'a str,
    binary: &'a str,
    needs: String,
    reason: &'a str,
}

#[derive(Serialize)]
struct AttributeView<'a> {
    file: String,
    line: usize,
    text: &'a str,
}

fn view(resource: &Resource) -> ResourceView<'_> {
    ResourceView {
        kind: resource.kind().key(),
        name: resource.as_str(),
    }
}

fn views(resources: &[Resource]) -> Vec<ResourceView<'_>> {
    resources.iter().map(view).collect()
}

impl<'a> FixView<'a> {
    fn of(fixed: &'a Fixed) -> Self {
        let proposal = &fixed.proposal;
        let attribute = |one: &'a UnusedAttribute| AttributeView {
            file: fixed.shown(&one.file),
            line: one.line,
            text: &one.text,
        };
        let key = |key: &'a Key| KeyView {
            name: &key.name,
            is_existing: key.is_existing,
            resources: views(&key.resources),
            serial: key.writers.len(),
            parallel: key.readers.len(),
        };
        let group = |group: &'a TestGroup| GroupView {
            name: &group.name,
            is_existing: group.is_existing,
            tests: group.tests.len(),
            resources: views(&group.resources),
        };
        let own_static = |own: &'a OwnStatic| StaticView {
            resource: view(&own.resource),
            file: fixed.shown(&own.path),
            line: own.line,
            per_test: own.per_test,
        };
        let change = |change: &Change| ChangeView {
            file: fixed.shown(&change.path),
            is_new: change.old.is_none(),
            diff: change.diff(&fixed.root),
        };
        let advice = |(resource, advice): &'a (Resource, Advice)| AdviceView {
            resource: view(resource),
            order_leak: advice.is_leak,
            help: &advice.help,
            places: &advice.places,
        };
        let by_hand = |one: &'a ManualStep| ByHandView {
            test: &one.test,
            binary: &one.binary,
            needs: needed(one),
            reason: &one.why,
        };
        Self {
            version: VERSION,
            written: fixed.written,
            account: &fixed.account,
            unknown: fixed.unknown.as_deref(),
            tests: fixed.tests,
            conflicts: fixed.conflicts,
            functions: proposal.functions,
            keys: proposal.keys.iter().map(key).collect(),
            test_groups: proposal.groups.iter().map(group).collect(),
            statics: proposal.own_statics.iter().map(own_static).collect(),
            kept_apart: views(&proposal.already_separated),
            not_shared_under_nextest: views(&proposal.not_shared_under_nextest),
            outside_nextest: views(&proposal.outside_nextest),
            changes: proposal.changes.iter().map(change).collect(),
            advice: fixed.advice.iter().map(advice).collect(),
            by_hand: proposal.manual_steps.iter().map(by_hand).collect(),
            missing_library: proposal
                .missing_crates
                .keys()
                .map(|path| fixed.shown(path))
                .collect(),
            unused_attributes: fixed.unneeded.iter().map(attribute).collect(),
            ineffective_under_nextest: fixed.ineffective_under_nextest.iter().map(attribute).collect(),
            proofs: fixed.proofs.iter().map(ProofView::of).collect(),
            order_dependent: fixed.order_dependent.iter().map(OrderView::of).collect(),
            problems: &fixed.problems,
            failed_teardowns: &fixed.failed_teardowns,
        }
    }
}
