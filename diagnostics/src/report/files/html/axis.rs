//! The time axis: from moments to positions, with long times without a test shortened.

/// The last position on an axis; the first is 0.
pub(super) const WIDTH: f64 = 100_000.0;
/// A time without a test is shortened if it takes more than this share of the time with tests.
const LONG_GAP: f64 = 0.25;
/// The share of the time with tests that a shortened time takes.
const SHORTENED: f64 = 0.04;
/// The approximate number of labels on an axis.
const LABELS: u64 = 6;

/// A time axis.
#[derive(Debug)]
pub(super) struct Axis {
    pieces: Vec<Piece>,
}

/// A part of the axis with one scale.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Piece {
    pub(super) begin: u64,
    pub(super) end: u64,
    pub(super) from: f64,
    pub(super) to: f64,
    /// Whether no test ran in it, so that it is shortened.
    pub(super) is_gap: bool,
}

impl Axis {
    /// Returns the axis of these times, from first to last moment; `None` if there are none.
    pub(super) fn of(times: impl Iterator<Item = (u64, u64)>) -> Option<Self> {
        let mut times: Vec<(u64, u64)> = times.collect();
        times.sort_unstable();
        let mut busy: Vec<(u64, u64)> = Vec::new();
        for (begin, end) in times {
            match busy.last_mut() {
                Some(last) if begin <= last.1 => last.1 = last.1.max(end),
                _ => busy.push((begin, end.max(begin))),
            }
        }
        let lasted: u64 = busy.iter().map(|(begin, end)| end - begin).sum();
        let lasted = lasted.max(1) as f64;
        let mut spans: Vec<(u64, u64, bool)> = Vec::new();
        for (begin, end) in busy {
            match spans.last_mut() {
                Some(last) if (begin - last.1) as f64 <= lasted * LONG_GAP => last.1 = end,
                Some(last) => {
                    let before = last.1;
                    spans.extend([(before, begin, true), (begin, end, false)]);
                }
                None => spans.push((begin, end, false)),
            }
        }
        let length = |&(begin, end, is_gap): &(u64, u64, bool)| match is_gap {
            true => lasted * SHORTENED,
            false => (end - begin) as f64,
        };
        let whole = spans.iter().map(length).sum::<f64>().max(1.0);
        let mut from = 0.0;
        let pieces = spans.iter().map(|span| {
            let to = from + length(span) * WIDTH / whole;
            let piece = Piece {
                begin: span.0,
                end: span.1,
                from,
                to,
                is_gap: span.2,
            };
            from = to;
            piece
        });
        let pieces: Vec<Piece> = pieces.collect();
        (!pieces.is_empty()).then_some(Self { pieces })
    }

    /// Returns the first moment.
    pub(super) fn begin(&self) -> u64 {
        self.pieces.first().map_or(0, |piece| piece.begin)
    }

    pub(super) fn pieces(&self) -> &[Piece] {
        &self.pieces
    }

    /// Returns the position of a moment. A moment outside of the axis is at its nearer end.
    pub(super) fn at(&self, moment: u64) -> f64 {
        let piece = self.pieces.iter().find(|piece| moment <= piece.end);
        let Some(piece) = piece.or(self.pieces.last()) else {
            return 0.0;
        };
        let length = (piece.end - piece.begin).max(1) as f64;
        let share = moment.saturating_sub(piece.begin) as f64 / length;
        piece.from + share.min(1.0) * (piece.to - piece.from)
    }

    /// Returns round moments, counted from the first moment, with their positions.
    pub(super) fn labels(&self) -> Vec<(u64, f64)> {
        let pieces = self.pieces.iter().filter(|piece| !piece.is_gap);
        let lasted: u64 = pieces.clone().map(|piece| piece.end - piece.begin).sum();
        let step = round_step(lasted / LABELS);
        let mut labels: Vec<(u64, f64)> = Vec::new();
        for piece in pieces {
            let since = piece.begin - self.begin();
            let moments = (since.div_ceil(step)..).map(|number| number * step);
            let end = piece.end - self.begin();
            labels.extend(
                moments
                    .take_while(|moment| *moment <= end)
                    .map(|moment| (moment, self.at(self.begin() + moment))),
            );
        }
        labels
    }
}

/// Returns the smallest of 1, 2, 5, 10, … that is at least this long.
fn round_step(least: u64) -> u64 {
    let mut power = 1;
    loop {
        let step = [1, 2, 5]
            .map(|digit| digit * power)
            .into_iter()
            .find(|step| *step >= least);
        if let Some(step) = step {
            return step;
        }
        power *= 10;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_long_time_without_a_test_is_shortened_and_a_short_one_is_not() {
        let axis = Axis::of([(1_000, 2_000), (2_100, 3_000), (1_000_000, 1_001_000)].into_iter()).unwrap();
        let gaps: Vec<bool> = axis.pieces().iter().map(|piece| piece.is_gap).collect();
        assert_eq!(gaps, [false, true, false]);
        let gap = axis.pieces()[1];
        assert_eq!((gap.begin, gap.end), (3_000, 1_000_000));
        assert!(gap.to - gap.from < WIDTH / 20.0);
    }

    #[test]
    fn labels_are_round_and_in_order() {
        let axis = Axis::of([(7_000, 1_207_000)].into_iter()).unwrap();
        let moments: Vec<u64> = axis.labels().iter().map(|(moment, _)| *moment).collect();
        assert_eq!(
            moments,
            [0, 200_000, 400_000, 600_000, 800_000, 1_000_000, 1_200_000]
        );
    }

    proptest! {
        #[test]
        fn later_moments_are_further_right_and_all_are_on_the_axis(
            times in prop::collection::vec((0_u64..1_000_000_000, 0_u64..1_000_000), 1..40),
            mut moments in prop::collection::vec(0_u64..1_100_000_000, 2..40),
        ) {
            let axis = Axis::of(times.iter().map(|(begin, long)| (*begin, begin + long))).unwrap();
            moments.sort_unstable();
            let at: Vec<f64> = moments.iter().map(|moment| axis.at(*moment)).collect();
            prop_assert!(at.windows(2).all(|pair| pair[0] <= pair[1] + 1e-6), "{at:?}");
            prop_assert!(at.iter().all(|at| (-1e-6..=WIDTH + 1e-6).contains(at)), "{at:?}");
            prop_assert!(axis.labels().len() < 100);
        }
    }
}
