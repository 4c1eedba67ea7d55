//! The binary, run as people run it: real processes over journals made by hand.

mod check;
mod hostile;
mod recording;
mod run;
