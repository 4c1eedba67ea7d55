//! `notes add TEXT`, `notes list`, `notes serve` and `notes fetch`.

use notes::Notes;
use std::io;
use std::process::ExitCode;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("notes: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> io::Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let notes = Notes::from_env()?;
    match args[..] {
        ["add", text] => notes.add(text)?,
        ["list"] => print!("{}", notes.list()?),
        ["serve"] => notes.serve(|port| println!("listening on port {port}"))?,
        ["fetch"] => print!("{}", notes.fetch()?),
        _ => return Err(io::Error::other("usage: notes add TEXT | list | serve | fetch")),
    }
    Ok(())
}
