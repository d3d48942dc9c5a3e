//! One target of `mg_fuzz` under libFuzzer; see `fuzz/run`.

#![no_main]

use mg_fuzz::{Target, target};
use std::sync::OnceLock;

static TARGET: OnceLock<&'static Target> = OnceLock::new();

libfuzzer_sys::fuzz_target!(
    init: {
        let name = std::env::var("FUZZ_TARGET").expect("FUZZ_TARGET names a target");
        let found = target(&name).unwrap_or_else(|| panic!("no target is called {name}"));
        // What the writers make is where it begins.
        let corpus = std::env::var("FUZZ_CORPUS").expect("FUZZ_CORPUS is a folder");
        for (n, input) in (found.corpus)().iter().enumerate() {
            std::fs::write(format!("{corpus}/writer-{n}"), input).expect("the corpus can be written");
        }
        TARGET.get_or_init(|| found);
    },
    |bytes: &[u8]| {
        (TARGET.get().expect("it was found").run)(bytes);
    }
);
