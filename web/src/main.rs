//! The page: choosing a model and data, filling in a recipe, training, trying the result, downloading it, and sharing the recipe as a link.
//!
//! The page is the user interface only. It knows the recipe and the messages of `lorelei-protocol`; a worker on the other side of `postMessage`
//! trains. `logic` has the parts that need no browser, and `page` has the rest. Outside a browser this is an empty program.

#[cfg(any(target_family = "wasm", test))]
mod logic;
#[cfg(target_family = "wasm")]
mod page;

#[cfg(target_family = "wasm")]
fn main() {
    page::start();
}

#[cfg(not(target_family = "wasm"))]
fn main() {}
