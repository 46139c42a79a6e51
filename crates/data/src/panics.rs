//! Turns a panic of a library, which a file made for it can cause, into an error. In a browser a panic ends the worker, so known causes are looked for
//! before the library reads a file.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};
use std::sync::Once;

thread_local! {
    /// Set while a panic of this thread is caught and reported elsewhere.
    static QUIET: Cell<bool> = const { Cell::new(false) };
}

/// Calls a library without the report that a panic writes to the terminal.
///
/// # Errors
///
/// The message of the panic.
pub(crate) fn caught<T>(call: impl FnOnce() -> T) -> Result<T, String> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let reports = take_hook();
        set_hook(Box::new(move |panic| {
            if !QUIET.get() {
                reports(panic);
            }
        }));
    });
    let before = QUIET.replace(true);
    let result = catch_unwind(AssertUnwindSafe(call));
    QUIET.set(before);
    result.map_err(|panic| {
        let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
        text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default()
    })
}
