//! The attributes of [cofferdam](https://docs.rs/cofferdam), which re-exports and documents them.
//!
//! All that they do is to put a guard first into a test's body, so they read no more of it than where that is, and need
//! no parser of Rust.

mod arguments;
mod item;

use arguments::{Arguments, Refusal};
use proc_macro::TokenStream;

/// Keeps the test apart from all others with the same key; see `cofferdam::serial`.
///
/// On a module it does so with each function that has an attribute whose last word is `test` or `rstest`, also in a
/// `cfg_attr`. What others make tests of (`test_case`, `proptest!`) needs the attribute itself.
#[proc_macro_attribute]
pub fn serial(arguments: TokenStream, item: TokenStream) -> TokenStream {
    expand(arguments, item, false)
}

/// Runs the test beside others that are `parallel`, and apart from those that are `serial`; see `cofferdam::parallel`.
///
/// A module's tests are those that [`macro@serial`] finds.
#[proc_macro_attribute]
pub fn parallel(arguments: TokenStream, item: TokenStream) -> TokenStream {
    expand(arguments, item, true)
}

fn expand(arguments: TokenStream, item: TokenStream, shared: bool) -> TokenStream {
    let expanded = Arguments::read(arguments, shared).and_then(|read| item::guard(item.clone(), read));
    expanded.unwrap_or_else(|refusal| {
        // The item stays: what else names it must not fail too.
        let mut told = refusal.to_tokens();
        told.extend(item);
        told
    })
}

impl Refusal {
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
