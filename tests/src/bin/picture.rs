//! Makes the terminal picture at the top of the README, from a real run.
//!
//! ```text
//! cargo run --release -p mg-tests --bin picture -- docs/promote.svg
//! ```
//!
//! A cluster of three processes comes up, four clients write to whichever node is MAIN, MAIN is moved
//! to another node meanwhile, and every acknowledged id is then read back on every node.

use mg_tests::bolt::{Bolt, all_ready};
use mg_tests::mgctl::{User, Where};
use mg_tests::wait;
use mgbolt::{Map, PackValue};
use std::collections::BTreeSet;
use std::fmt::Write;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

const CLIENTS: usize = 4;
const BASE: u16 = 27900;
const WRITES_EACH_SIDE: usize = 2000;
const LIMIT: Duration = Duration::from_secs(60);

/// What the clients were told, and by whom.
#[derive(Default)]
struct Told {
    acknowledged: Vec<(i64, usize)>,
    refused: BTreeSet<i64>,
}

fn main() -> ExitCode {
    let Some(target) = std::env::args().nth(1) else {
        eprintln!("usage: picture FILE.svg");
        return ExitCode::from(2);
    };
    let dir = tempfile::tempdir().expect("a temporary folder");
    let user = User::new(dir.path(), Where::Process);
    user.file(
        "three.yaml",
        &format!(
            "name: three\nports: {{ bolt_base: {BASE} }}\ninstances:\n  a: {{ role: main }}\n  \
             b: {{ role: replica, mode: SYNC }}\n  c: {{ role: replica, mode: ASYNC }}\n"
        ),
    );
    let mut lines = Vec::new();
    let shown = |lines: &mut Vec<String>, args: &[&str]| {
        lines.push(format!("$ mgctl {}", args.join(" ")));
        let out = user.run(args);
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
        String::from_utf8(out.stdout).expect("mgctl writes UTF-8")
    };
    shown(&mut lines, &["up", "three.yaml"]);
    lines.extend(table(&user.ok(&["status", "three.yaml"])));

    let bolts = [0, 1, 2].map(|i| format!("127.0.0.1:{}", BASE + i));
    let (told, ids, stop) = (Arc::default(), Arc::new(AtomicI64::new(0)), Arc::new(AtomicBool::new(false)));
    let clients: Vec<_> = (0..CLIENTS)
        .map(|_| {
            let (bolts, told, ids, stop) = (bolts.clone(), Arc::clone(&told), ids.clone(), stop.clone());
            std::thread::spawn(move || write(&bolts, &told, &ids, &stop))
        })
        .collect();
    let by = |node: usize| {
        told.lock().expect("no writer panics").acknowledged.iter().filter(|(_, n)| *n == node).count()
    };
    let reach = |node: usize| {
        wait::until("enough acknowledged writes", LIMIT, || match by(node) {
            n if n >= WRITES_EACH_SIDE => Ok(()),
            n => Err(format!("{n} so far")),
        });
    };
    lines.push(String::new());
    lines.push(format!("  # {CLIENTS} clients write without a pause ..."));
    reach(0);
    let said = shown(&mut lines, &["promote", "b"]);
    lines.extend(said.lines().filter(|l| l.starts_with("Switchover")).map(str::to_owned));
    reach(1);
    stop.store(true, Ordering::Relaxed);
    for client in clients {
        client.join().expect("no writer panics");
    }
    wait::until("every replica has everything", LIMIT, || all_ready(&bolts[1], 2));
    lines.extend(table(&user.ok(&["status", "three.yaml"])));
    lines.push(String::new());
    lines.push(count(&told.lock().expect("no writer panics"), &bolts));
    user.ok(&["down", "three.yaml", "--volumes", "--yes"]);

    println!("{}", lines.join("\n"));
    std::fs::write(&target, svg(&lines)).expect("the picture can be written");
    ExitCode::SUCCESS
}

/// The part of `status` that is the table.
fn table(status: &str) -> Vec<String> {
    status.lines().filter(|l| l.starts_with(' ')).map(|l| l.trim_end().to_owned()).collect()
}

fn write(bolts: &[String], told: &Mutex<Told>, ids: &AtomicI64, stop: &AtomicBool) {
    let mut main: Option<(usize, Bolt)> = None;
    while !stop.load(Ordering::Relaxed) {
        let Some((node, bolt)) = &mut main else {
            main = bolts.iter().enumerate().find_map(|(i, address)| {
                let mut bolt = Bolt::connect(address).ok()?;
                let role = bolt.run("SHOW REPLICATION ROLE").ok()?;
                (role.rows == [[PackValue::from("main")]]).then_some((i, bolt))
            });
            continue;
        };
        let id = ids.fetch_add(1, Ordering::Relaxed);
        let parameters = Map::from_iter([("id", PackValue::Int(id))]);
        match bolt.run_with("CREATE (:W {id: $id})", parameters) {
            Ok(_) => told.lock().expect("no writer panics").acknowledged.push((id, *node)),
            Err(e) => {
                if !e.is_outcome_unknown() {
                    told.lock().expect("no writer panics").refused.insert(id);
                }
                main = None;
            }
        }
    }
}

fn count(told: &Told, bolts: &[String]) -> String {
    let acknowledged: BTreeSet<i64> = told.acknowledged.iter().map(|(id, _)| *id).collect();
    let (mut lost, mut twice, mut phantoms) = (0, 0, 0);
    for address in bolts {
        let mut bolt = Bolt::connect(address).expect("the node answers");
        let rows = bolt.run("MATCH (w:W) RETURN w.id").expect("a read").rows;
        let held: Vec<i64> = rows
            .iter()
            .map(|row| match row[0] {
                PackValue::Int(id) => id,
                ref other => panic!("{other:?} is not an id"),
            })
            .collect();
        let there: BTreeSet<i64> = held.iter().copied().collect();
        lost += acknowledged.difference(&there).count();
        twice += held.len() - there.len();
        phantoms += told.refused.intersection(&there).count();
    }
    format!(
        "  acknowledged {}   lost {lost}   twice {twice}   refused but there {phantoms}   (read back on 3 nodes)",
        acknowledged.len()
    )
}

/// Draws the lines as a terminal would show them.
fn svg(lines: &[String]) -> String {
    const ADVANCE: f64 = 8.43;
    const LINE: usize = 20;
    let width = lines.iter().map(|l| l.chars().count()).max().unwrap_or(0) as f64 * ADVANCE + 40.0;
    let height = lines.len() * LINE + 40;
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width:.0}\" height=\"{height}\" \
         font-family=\"ui-monospace,Menlo,Consolas,'DejaVu Sans Mono',monospace\" font-size=\"14\">\n\
         <rect width=\"100%\" height=\"100%\" rx=\"8\" fill=\"#16181d\"/>\n"
    );
    for (i, line) in lines.iter().enumerate() {
        let colour = match line.trim_start().chars().next() {
            Some('$') => "#8be28b",
            Some('#') => "#7f8694",
            _ if line.contains("lost 0") => "#ffd75f",
            _ => "#e6e6e6",
        };
        let text = line.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
        let y = 30 + i * LINE;
        writeln!(out, "<text x=\"20\" y=\"{y}\" fill=\"{colour}\" xml:space=\"preserve\">{text}</text>")
            .expect("a string takes everything");
    }
    out.push_str("</svg>\n");
    out
}
