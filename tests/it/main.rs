//! What only shows from outside: the rules of the sources, the documents, and the crate as its users see it.

mod console;
mod docs;
mod files;
mod markdown;
mod rooms;
mod source;
mod tidy;
