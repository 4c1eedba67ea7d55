//! Formats rows of text in aligned columns.

use std::io::{self, Write};

/// Writes the rows with cells as wide as the widest of the column. The names of the columns precede them, if there are
/// rows.
pub(super) fn write<const N: usize>(
    out: &mut dyn Write,
    names: [&str; N],
    rows: &[[String; N]],
) -> io::Result<()> {
    if rows.is_empty() {
        return Ok(());
    }
    let names = names.map(str::to_owned);
    let width = |column: usize| {
        let cells = rows.iter().chain([&names]).map(|row| row[column].chars().count());
        cells.max().unwrap_or(0)
    };
    let widths: [usize; N] = std::array::from_fn(width);
    for row in [&names].into_iter().chain(rows) {
        let mut line = String::from(" ");
        for (cell, width) in row.iter().zip(widths) {
            line.push_str(&format!(" {cell:width$} "));
        }
        writeln!(out, "{}", line.trim_end())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_nothing_is_written_without_rows() {
        let rows = [["a", "long"], ["größer", "b"]].map(|row| row.map(str::to_owned));
        let mut out = Vec::new();
        write(&mut out, ["one", "two"], &rows).unwrap();
        let expected = "  one     two\n  a       long\n  größer  b\n";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
        let mut out = Vec::new();
        write(&mut out, ["one"], &[]).unwrap();
        assert_eq!(out, b"");
    }
}
