//! The whole product, from outside: `mgctl`, Docker, nodes, and clients that are not ours.
//!
//! Engine and Python are looked for when the tests run. A test that cannot run on this machine is
//! ignored with its reason; where an engine answers, its tests run, and what does not work fails.

mod answers;
mod bad_input;
mod broken_disks;
mod catch_up;
mod certificates;
mod chaos;
mod clients;
mod cluster;
mod console;
mod containers;
mod crash;
mod damage;
mod data;
mod export;
mod external;
mod faults;
mod formats;
mod guide;
mod isolation;
mod memory;
mod nodes;
mod operate;
mod outcomes;
mod overlay;
mod phases;
mod policies;
mod refusals;
mod release;
mod swarm;
mod triggers;
mod turns;
mod upgrade;

use libtest_mimic::{Arguments, Completion, Failed, Trial};
use std::process::ExitCode;

/// A test that needs a Docker engine.
fn docker(name: &str, test: fn(&mg_tests::docker::Engine)) -> Trial {
    Trial::ignorable_test(name, move || match mg_tests::docker::Engine::connect() {
        Ok(engine) => {
            test(&engine);
            Ok(Completion::Completed)
        }
        Err(why) => Ok(Completion::ignored_with(why)),
    })
}

/// A test that needs Python with the drivers.
fn python(name: &str, test: fn(&std::path::Path)) -> Trial {
    with_interpreter(name, mg_tests::python::interpreter, test)
}

/// A test that needs the newest of the official driver.
fn newest_python(name: &str, test: fn(&std::path::Path)) -> Trial {
    with_interpreter(name, mg_tests::python::newest, test)
}

fn with_interpreter(
    name: &str,
    interpreter: fn() -> Result<std::path::PathBuf, String>,
    test: fn(&std::path::Path),
) -> Trial {
    Trial::ignorable_test(name, move || match interpreter() {
        Ok(python) => {
            test(&python);
            Ok(Completion::Completed)
        }
        Err(why) => Ok(Completion::ignored_with(why)),
    })
}

/// A test that needs both.
fn docker_and_python(name: &str, test: fn(&mg_tests::docker::Engine, &std::path::Path)) -> Trial {
    Trial::ignorable_test(name, move || {
        let engine = match mg_tests::docker::Engine::connect() {
            Ok(engine) => engine,
            Err(why) => return Ok(Completion::ignored_with(why)),
        };
        match mg_tests::python::interpreter() {
            Ok(python) => test(&engine, &python),
            Err(why) => return Ok(Completion::ignored_with(why)),
        }
        Ok(Completion::Completed)
    })
}

/// A test that needs nothing.
fn plain(name: &str, test: fn()) -> Trial {
    Trial::test(name, move || {
        test();
        Ok::<(), Failed>(())
    })
}

fn main() -> ExitCode {
    let mut args = Arguments::from_args();
    // Each test starts nodes of its own; two at a time are what a small machine carries.
    args.test_threads.get_or_insert(2);
    let tests = [
        guide::tests(),
        bad_input::tests(),
        memory::tests(),
        nodes::tests(),
        formats::tests(),
        damage::tests(),
        refusals::tests(),
        outcomes::tests(),
        isolation::tests(),
        faults::tests(),
        broken_disks::tests(),
        phases::tests(),
        triggers::tests(),
        turns::tests(),
        policies::tests(),
        upgrade::tests(),
        chaos::tests(),
        clients::tests(),
        crash::tests(),
        catch_up::tests(),
        cluster::tests(),
        operate::tests(),
        answers::tests(),
        data::tests(),
        console::tests(),
        containers::tests(),
        certificates::tests(),
        overlay::tests(),
        external::tests(),
        export::tests(),
        release::tests(),
        swarm::tests(),
    ]
    .into_iter()
    .flatten()
    .collect();
    libtest_mimic::run(&args, tests).exit_code()
}
