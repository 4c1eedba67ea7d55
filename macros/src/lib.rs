//! The attributes of [cofferdam](https://docs.rs/cofferdam), which re-exports and documents them.
//!
//! They parse no more of a test than the positions of its name, its result and its body, and need no parser of Rust.

mod arguments;
mod gate;
mod item;
mod test;

use arguments::{Arguments, UsageError};
use proc_macro::TokenStream;

/// Excludes all other tests with the same key; see `cofferdam::serial`.
///
/// On a module it applies to each function with an attribute whose path ends in `test` or `rstest`, also in a `cfg_attr`.
/// Tests of other macros (`test_case`, `proptest!`) need the attribute themselves.
#[proc_macro_attribute]
pub fn serial(arguments: TokenStream, item: TokenStream) -> TokenStream {
    expand(arguments, item, false)
}

/// Runs the test in parallel with others that are `parallel`, but not with those that are `serial`; see
/// `cofferdam::parallel`.
///
/// On a module it applies to the same functions as [`macro@serial`].
#[proc_macro_attribute]
pub fn parallel(arguments: TokenStream, item: TokenStream) -> TokenStream {
    expand(arguments, item, true)
}

/// Runs the test in a process of its own; see `cofferdam::isolated`.
#[proc_macro_attribute]
pub fn isolated(arguments: TokenStream, item: TokenStream) -> TokenStream {
    or_error(gate::gate(arguments, item.clone()), item)
}

/// Runs a test on the runtime of its worker; see `cofferdam::test`.
#[proc_macro_attribute]
pub fn test(arguments: TokenStream, item: TokenStream) -> TokenStream {
    or_error(test::test(arguments, item.clone()), item)
}

fn expand(arguments: TokenStream, item: TokenStream, shared: bool) -> TokenStream {
    let expanded = Arguments::read(arguments, shared).and_then(|read| item::guard(item.clone(), read));
    or_error(expanded, item)
}

fn or_error(expanded: Result<TokenStream, UsageError>, item: TokenStream) -> TokenStream {
    expanded.unwrap_or_else(|error| {
        // The item is kept, so that references to it are no further errors.
        let mut tokens = error.to_tokens();
        tokens.extend(item);
        tokens
    })
}

impl UsageError {
    fn to_tokens(&self) -> TokenStream {
        let error = format!("::core::compile_error!({:?});", self.reason);
        let tokens: TokenStream = error.parse().unwrap_or_default();
        tokens
            .into_iter()
            .map(|mut token| {
                token.set_span(self.at);
                token
            })
            .collect()
    }
}
