//! The page: choose a model and data, fill in a recipe, train, try the result, take it home, hand on the recipe as a link.
//!
//! The page is a face. It knows the recipe and the messages of `lorelei-protocol`; what trains is a worker on the other side of
//! `postMessage`. `logic` is what needs no browser, `page` is the rest. Outside a browser this is an empty program.

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
