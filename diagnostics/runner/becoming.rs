//! From the runner's arguments and variables to the program that it becomes.

use crate::account_layout;
use crate::buffer::{Buffer, List};
use crate::entry;
use crate::sys::{self, File, O_CREAT, O_TRUNC, O_WRONLY, Path};

// These names are known to `src/observe/launch/` and to the observer, too.
const INSTRUCTIONS: &[u8] = b"COFFERDAM_OBSERVED";
const RUNNER: &[u8] = account_layout::RUNNER.as_bytes();
const PREVIOUS_RUNNER: &[u8] = b"COFFERDAM_OBSERVED_RUNNER";
const PROJECT_RUNNER: &[u8] = b"COFFERDAM_OBSERVED_THEIRS";
const EXPORTS: &[u8] = b"COFFERDAM_EXPORTS";
const OBSERVE: &[u8] = b"COFFERDAM_OBSERVE";
const PRELOAD: &[u8] = b"LD_PRELOAD";
/// The word in front of a program that `cargo-cofferdam` has already looked at.
const CHECKED: &[u8] = b"__checked";
/// nextest's name for the absence of a group.
const NO_GROUP: &[u8] = b"@global";

const PROCESS: u8 = b'1';

/// The exit code for a program that could not be started.
pub(crate) const UNKNOWN: u8 = 3;
const PATH_MAX: usize = 4096;

/// # Safety
/// Called once, with what the kernel put on the stack: the number of arguments, and two lists of addresses.
#[cfg(panic = "abort")]
#[unsafe(no_mangle)]
unsafe extern "C" fn begin(stack: *const usize) -> ! {
    sys::fail_large_writes();
    // SAFETY: the caller's promise.
    let start = unsafe {
        let count = *stack;
        let arguments = core::slice::from_raw_parts(stack.add(1).cast::<*const u8>(), count);
        let first = stack.add(count + 2).cast::<*const u8>();
        let mut variables = 0;
        while !(*first.add(variables)).is_null() {
            variables += 1;
        }
        Start {
            arguments: Texts(arguments),
            variables: Texts(core::slice::from_raw_parts(first, variables)),
        }
    };
    if start.run().is_none() {
        let _ = sys::STDERR.write_all(b"error: cofferdam's runner has no memory, or no program to start\n");
    }
    sys::exit(UNKNOWN)
}

/// Texts with a zero at their end, from the kernel.
#[derive(Clone, Copy)]
struct Texts(&'static [*const u8]);

impl Texts {
    fn iter(self) -> impl Iterator<Item = (&'static [u8], *const u8)> {
        self.0.iter().map(|text| {
            // SAFETY: the kernel put the text there, with a zero at its end, and nothing changes it.
            let bytes = unsafe { core::slice::from_raw_parts(*text, sys::length(*text)) };
            (bytes, *text)
        })
    }

    fn get(self, place: usize) -> Option<&'static [u8]> {
        self.iter().nth(place).map(|(text, _)| text)
    }
}

/// Returns the name and the value of a variable.
fn parts(variable: &[u8]) -> Option<(&[u8], &[u8])> {
    let rest = variable.get(1..)?;
    let length = 1 + rest.iter().position(|byte| *byte == b'=')?;
    Some((variable.get(..length)?, variable.get(length + 1..)?))
}

/// The text in [`INSTRUCTIONS`]: `FRAMES;TESTS;FOLDER`.
struct Instructions {
    frames: &'static [u8],
    unit: u8,
    folder: &'static [u8],
}

impl Instructions {
    fn parse(text: &'static [u8]) -> Option<Self> {
        let mut parts = text.splitn(3, |byte| *byte == b';');
        Some(Self {
            frames: parts.next()?,
            unit: *parts.next()?.first()?,
            folder: parts.next()?,
        })
    }
}

/// The arguments and variables of the runner.
#[derive(Clone, Copy)]
struct Start {
    arguments: Texts,
    variables: Texts,
}

impl Start {
    fn variable(self, wanted: &[u8]) -> Option<&'static [u8]> {
        let known = |(text, _)| parts(text).filter(|(name, _)| *name == wanted);
        self.variables.iter().find_map(known).map(|(_, value)| value)
    }

    /// Returns whether an argument of the program is that word.
    fn has(self, word: &[u8]) -> bool {
        self.arguments
            .iter()
            .skip(3)
            .any(|(argument, _)| argument == word)
    }

    /// Returns the only test of the program, if nextest starts it. Children of a test inherit nextest's variables, so the
    /// arguments decide.
    fn nextest_test(self) -> Option<&'static [u8]> {
        let test = self.variable(b"NEXTEST_TEST_NAME");
        test.filter(|name| self.has(b"--exact") && self.has(name))
    }

    /// Becomes the program. Returns `None` if there is none, and no memory.
    fn run(self) -> Option<()> {
        let size = |texts: Texts| texts.iter().map(|(text, _)| text.len() + 2).sum::<usize>();
        let mut buffer = Buffer::new(2 * (size(self.arguments) + size(self.variables)) + 32 * PATH_MAX)?;
        let program = self.arguments.get(2)?;
        let path = buffer.path(&[program])?;
        let mut variables = List::new(self.variables.0.len() + 3)?;
        let replaced: [&[u8]; 3] = [INSTRUCTIONS, PREVIOUS_RUNNER, RUNNER];
        let own: [&[u8]; 2] = [OBSERVE, PRELOAD];
        let instructions = self.variable(INSTRUCTIONS).and_then(Instructions::parse);
        if self.arguments.get(1) != Some(CHECKED)
            && self.is_rare(&mut buffer, program, instructions.as_ref())?
        {
            return self.become_cofferdam(&mut buffer);
        }
        let is_observed = match instructions.filter(|_| !self.has(b"--list")) {
            Some(instructions) => {
                let observed = self.observe(&mut buffer, &instructions, program, path);
                for text in observed.into_iter().flatten() {
                    variables.push(text.as_ptr())?;
                }
                observed.is_some()
            }
            None => false,
        };
        for (text, at) in self.variables.iter() {
            let is_replaced = parts(text)
                .is_some_and(|(name, _)| replaced.contains(&name) || is_observed && own.contains(&name));
            if !is_replaced {
                variables.push(at)?;
            }
        }
        // A suite that runs cargo itself must find its own settings.
        if let Some(runner) = self.variable(PREVIOUS_RUNNER) {
            variables.push(buffer.text(&[RUNNER, b"=", runner, b"\0"])?.as_ptr())?;
        }
        let mut arguments = List::new(self.arguments.0.len())?;
        for (_, at) in self.arguments.iter().skip(2) {
            arguments.push(at)?;
        }
        // SAFETY: texts of the kernel's, and of the buffer's with a zero at their end.
        let errno = unsafe { sys::exec(path, arguments.all(), variables.all()) };
        for part in [b"error: could not start ", program, b": os error "] {
            buffer.push(part)?;
        }
        buffer.push_number(errno as u64, 1)?;
        buffer.push(b"\n")?;
        let _ = sys::STDERR.write_all(buffer.finish());
        sys::exit(UNKNOWN)
    }

    /// Returns whether `cargo-cofferdam` has to look at the start.
    fn is_rare(
        self,
        buffer: &mut Buffer,
        program: &[u8],
        instructions: Option<&Instructions>,
    ) -> Option<bool> {
        let instructions = instructions.filter(|_| !self.has(b"--list"));
        let mut has = |name: &[u8]| match instructions {
            Some(instructions) => Some(sys::exists(buffer.path(&[instructions.folder, name])?)),
            None => Some(false),
        };
        let is_saved = has(b"/starts")?;
        let has_statics = self.nextest_test().is_none() && has(b"/statics")?;
        let may_be_doctests = program.rsplit(|byte| *byte == b'/').next() == Some(b"rust_out");
        let is_for_cofferdam = |name| self.variable(name).is_some();
        Some(
            is_saved
                || has_statics
                || may_be_doctests
                || is_for_cofferdam(PROJECT_RUNNER)
                || is_for_cofferdam(EXPORTS),
        )
    }

    /// Becomes `cargo-cofferdam`, to which a link beside this program leads.
    fn become_cofferdam(self, buffer: &mut Buffer) -> Option<()> {
        let mut own = [0; PATH_MAX];
        let own = sys::target(Path::new(b"/proc/self/exe\0")?, &mut own)?;
        let folder = own.get(..=own.iter().rposition(|byte| *byte == b'/')?)?;
        let path = buffer.path(&[folder, b"cofferdam"])?;
        let (mut arguments, mut variables) = (
            List::new(self.arguments.0.len())?,
            List::new(self.variables.0.len())?,
        );
        self.arguments.iter().try_for_each(|(_, at)| arguments.push(at))?;
        self.variables.iter().try_for_each(|(_, at)| variables.push(at))?;
        // SAFETY: texts of the kernel's.
        unsafe { sys::exec(path, arguments.all(), variables.all()) };
        None
    }

    /// Enters the program in the account, and returns the variables that the observer needs. On `None` it is not observed.
    fn observe(
        self,
        buffer: &mut Buffer,
        instructions: &Instructions,
        program: &[u8],
        path: Path<'_>,
    ) -> Option<[&'static [u8]; 2]> {
        let folder = instructions.folder;
        let test = self.nextest_test();
        let unit = if test.is_some() {
            PROCESS
        } else {
            instructions.unit
        };
        let name = match (self.variable(b"NEXTEST_BINARY_ID"), test) {
            (Some(binary), Some(test)) => buffer.text(&[binary, b" ", test])?,
            _ => program,
        };
        let slot = entry::enter(buffer, folder, path, name)?;
        buffer.push(OBSERVE)?;
        buffer.push(b"=")?;
        // The observer passes a slot on in a place of this width.
        buffer.push_number(slot, 8)?;
        buffer.push(b";")?;
        buffer.push_number(sys::pid().into(), 1)?;
        // It also records system calls past libc.
        for part in [b";", instructions.frames, b";1;", &[unit], b";", folder, b"\0"] {
            buffer.push(part)?;
        }
        let observe = buffer.finish();
        let mut library = [0; PATH_MAX];
        let library = sys::target(buffer.path(&[folder, b"/library"])?, &mut library)?;
        let own = self.variable(PRELOAD).filter(|own| !own.is_empty());
        let between: &[u8] = if own.is_some() { b":" } else { b"" };
        let own = own.unwrap_or_default();
        let preload = buffer.text(&[PRELOAD, b"=", library, between, own, b"\0"])?;
        if unit == PROCESS {
            // On failure the test is reported as if it were in no group.
            let _ = self.save_group(buffer, folder);
        }
        if unit != PROCESS || sys::exists(buffer.path(&[folder, b"/again"])?) {
            // Needed to rerun tests and to list them. On failure only the threads' own names count.
            let _ = self.save(buffer, folder, program);
        }
        Some([observe, preload])
    }

    /// Writes nextest's group of the test.
    fn save_group(self, buffer: &mut Buffer, folder: &[u8]) -> Option<()> {
        let group = self.variable(b"NEXTEST_TEST_GROUP")?;
        let path = file_of_process(buffer, folder, b".group")?;
        if group == NO_GROUP {
            // Left by an earlier process with the same number.
            sys::remove(path);
            return Some(());
        }
        let workspace = self.variable(b"NEXTEST_WORKSPACE_ROOT").unwrap_or_default();
        let text = buffer.text(&[group, b"\n", workspace])?;
        write_file(path, text)
    }

    /// Writes how the program is started, as `StartedProgram` reads it.
    fn save(self, buffer: &mut Buffer, folder: &[u8], program: &[u8]) -> Option<()> {
        let path = file_of_process(buffer, folder, b".started")?;
        let mut working_dir = [0; PATH_MAX];
        let working_dir = sys::working_directory(&mut working_dir)?;
        if !program.starts_with(b"/") {
            buffer.push(working_dir)?;
            buffer.push(b"/")?;
        }
        for part in [program, b"\0", working_dir, b"\0"] {
            buffer.push(part)?;
        }
        buffer.push_number(self.arguments.0.len().saturating_sub(3) as u64, 1)?;
        buffer.push(b"\0")?;
        for (argument, _) in self.arguments.iter().skip(3) {
            buffer.push(argument)?;
            buffer.push(b"\0")?;
        }
        for (name, value) in self.variables.iter().filter_map(|(text, _)| parts(text)) {
            if ![INSTRUCTIONS, PREVIOUS_RUNNER, RUNNER].contains(&name) {
                for part in [name, b"\0", value, b"\0"] {
                    buffer.push(part)?;
                }
            }
        }
        write_file(path, buffer.finish())
    }
}

/// Returns the path of a file that belongs to this process.
fn file_of_process(buffer: &mut Buffer, folder: &[u8], ending: &[u8]) -> Option<Path<'static>> {
    buffer.push(folder)?;
    buffer.push(b"/")?;
    buffer.push_number(sys::pid().into(), 1)?;
    buffer.path(&[ending])
}

/// Writes a file that its owner alone may read: it holds the values of variables. A part of it would be another start, so
/// it is removed if the rest cannot be written.
fn write_file(path: Path<'_>, text: &[u8]) -> Option<()> {
    let file = File::open(path, O_WRONLY | O_CREAT | O_TRUNC, 0o600).ok()?;
    let written = file.write_all(text).ok();
    file.close();
    if written.is_none() {
        sys::remove(path);
    }
    written
}
