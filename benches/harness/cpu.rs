//! Processor time of whole process trees.

/// Seconds that the children of this process and theirs have used, as far as they have been waited for; `None` where
/// there is no `/proc`. It is told in hundredths of a second.
pub(crate) fn of_children() -> Option<f64> {
    let text = std::fs::read_to_string("/proc/self/stat").ok()?;
    // The second field is the program's name in brackets, and may hold anything.
    let fields = text.rsplit_once(')')?.1.split_whitespace();
    let ticks: Vec<f64> = fields
        .skip(13)
        .take(2)
        .filter_map(|ticks| ticks.parse().ok())
        .collect();
    (ticks.len() == 2).then(|| ticks.iter().sum::<f64>() / 100.0)
}
