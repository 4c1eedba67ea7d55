//! What a command does at the moment, on standard error: a line that changes on a terminal, lines elsewhere.

use super::progress::words;
use indicatif::{ProgressBar, ProgressStyle};
use std::io::{IsTerminal as _, Write as _};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

const TICK: Duration = Duration::from_millis(250);
/// The longest time without a line where there is no terminal.
const SILENCE: Duration = Duration::from_secs(10);

#[derive(Debug, Default)]
pub(super) struct StatusLine {
    /// Set from the first text on.
    display: Option<Display>,
}

#[derive(Debug)]
enum Display {
    Bar(ProgressBar),
    Lines(Sender<Option<String>>, Option<JoinHandle<()>>),
}

impl StatusLine {
    /// Shows what is going on, where it can be replaced. Elsewhere it is a line once no other one was written for [`SILENCE`].
    pub(super) fn show(&mut self, text: &str) {
        let display = self
            .display
            .get_or_insert_with(|| match std::io::stderr().is_terminal() {
                true => Display::Bar(new_bar()),
                false => {
                    let (texts, thread) = repeat(SILENCE, write);
                    Display::Lines(texts, thread)
                }
            });
        match display {
            Display::Bar(bar) => bar.set_message(text.to_owned()),
            Display::Lines(texts, _) => _ = texts.send(Some(text.to_owned())),
        }
    }

    /// Writes a line that stays.
    pub(super) fn say(&self, line: &str) {
        match &self.display {
            Some(Display::Bar(bar)) => bar.println(format!("cofferdam: {line}")),
            Some(Display::Lines(texts, _)) => {
                // First, so that no repeated text follows at once.
                let _ = texts.send(None);
                write(line);
            }
            None => write(line),
        }
    }

    /// Writes that something begins, and shows that it is going on.
    pub(super) fn begin(&mut self, text: &str) {
        self.say(text);
        self.show(text);
    }

    /// Removes the line, so that another program can write to the terminal.
    pub(super) fn clear(&mut self) {
        match self.display.take() {
            Some(Display::Bar(bar)) => bar.finish_and_clear(),
            Some(Display::Lines(texts, thread)) => {
                drop(texts);
                // It may be writing a line, which must not follow those of others.
                let _ = thread.map(JoinHandle::join);
            }
            None => {}
        }
    }
}

impl Drop for StatusLine {
    fn drop(&mut self) {
        self.clear();
    }
}

fn new_bar() -> ProgressBar {
    let bar = ProgressBar::new_spinner();
    // The template is our own; a wrong one would show the plain spinner.
    let style = ProgressStyle::with_template("{spinner} {elapsed} {wide_msg}");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
    bar.enable_steady_tick(TICK);
    bar
}

fn write(line: &str) {
    // An error is ignored, and the runs continue.
    let _ = writeln!(anstream::stderr().lock(), "cofferdam: {line}");
}

/// Starts a thread that writes the newest of the sent texts after each silence of this length. `None` begins a new silence: the
/// sender writes a line itself. The thread ends with the sender.
fn repeat(
    silence: Duration,
    write: impl Fn(&str) + Send + 'static,
) -> (Sender<Option<String>>, Option<JoinHandle<()>>) {
    let (sender, texts) = channel();
    let begun = now();
    let repeat = move || {
        let (mut last, mut newest) = (begun, String::new());
        loop {
            match texts.recv_timeout(silence.saturating_sub(last.elapsed())) {
                Ok(Some(text)) => newest = text,
                Ok(None) => last = now(),
                Err(RecvTimeoutError::Timeout) => {
                    write(&format!("{newest} ({})", words::span(begun.elapsed())));
                    last = now();
                }
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    };
    // Without the thread, the texts are not written.
    let thread = Builder::new().spawn(repeat).ok();
    (sender, thread)
}

fn now() -> Instant {
    #[expect(clippy::disallowed_methods, reason = "people see how long it takes")]
    Instant::now()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_there_is_no_terminal_the_newest_text_is_a_line_from_time_to_time() {
        let (send, lines) = channel();
        let (texts, _) = repeat(Duration::from_millis(1), move |line| {
            _ = send.send(line.to_owned())
        });
        for text in ["run 1", "run 2"] {
            texts.send(Some(text.to_owned())).unwrap();
            let is_it = |line: String| line.starts_with(&format!("{text} ("));
            assert!(lines.iter().any(is_it));
        }
        drop(texts);
        // The channel ends with the thread.
        lines.iter().for_each(drop);
    }

    #[test]
    fn nothing_is_repeated_before_its_time() {
        let (send, lines) = channel();
        let (texts, _) = repeat(SILENCE, move |line| _ = send.send(line.to_owned()));
        texts.send(Some("run 1".to_owned())).unwrap();
        texts.send(None).unwrap();
        drop(texts);
        assert_eq!(lines.iter().count(), 0);
    }

    #[test]
    fn a_line_of_the_sender_begins_a_new_silence() {
        let silence = Duration::from_millis(50);
        loop {
            let (send, lines) = channel();
            let begun = now();
            let (texts, _) = repeat(silence, move |line| _ = send.send(line.to_owned()));
            texts.send(Some("run 1".to_owned())).unwrap();
            let early = lines.recv_timeout(silence / 2);
            let said = now();
            texts.send(None).unwrap();
            // On a machine that is too slow, the first silence was over before.
            if begun.elapsed() < silence {
                assert_eq!(early, Err(RecvTimeoutError::Timeout));
                lines.recv().unwrap();
                assert!(said.elapsed() >= silence);
                return;
            }
        }
    }
}
