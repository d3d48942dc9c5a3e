//! Many clients that write, and tell the book what they heard.

use super::book::{Book, Told};
use crate::bolt::Bolt;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::Duration;

/// What all clients look at before each write.
#[derive(Debug)]
struct Orders {
    /// Who is MAIN; `None`: nobody writes.
    main: Option<String>,
    round: i64,
    /// Clients between a question and its answer.
    busy: usize,
    is_over: bool,
}

#[derive(Debug)]
struct Shared {
    book: Arc<Book>,
    orders: Mutex<Orders>,
    changed: Condvar,
    next_id: AtomicI64,
}

impl Shared {
    fn orders(&self) -> MutexGuard<'_, Orders> {
        self.orders.lock().expect("nobody panics with the orders in hand")
    }
}

/// Clients, each with a thread and a connection of its own. At most one write of each is under way.
#[derive(Debug)]
pub struct Writers {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

/// Pause of a client whose MAIN does not answer or refuses.
const PAUSE: Duration = Duration::from_millis(5);

impl Writers {
    /// Starts clients that wait for a MAIN to be named.
    pub fn start(book: Arc<Book>, count: usize) -> Writers {
        let orders = Orders { main: None, round: 0, busy: 0, is_over: false };
        let shared = Arc::new(Shared {
            book,
            orders: Mutex::new(orders),
            changed: Condvar::new(),
            next_id: AtomicI64::new(1),
        });
        let threads = (0..count)
            .map(|_| {
                let shared = shared.clone();
                std::thread::spawn(move || write(&shared))
            })
            .collect();
        Writers { shared, threads }
    }

    /// Lets everybody write to this node.
    pub fn write_to(&self, main: &str, round: i64) {
        let mut orders = self.shared.orders();
        orders.main = Some(main.to_owned());
        orders.round = round;
        self.shared.changed.notify_all();
    }

    /// Lets nobody begin another write.
    pub fn hold(&self) {
        self.shared.orders().main = None;
    }

    /// Lets nobody begin another write, and waits until every answer is there.
    pub fn pause(&self) {
        let mut orders = self.shared.orders();
        orders.main = None;
        while orders.busy > 0 {
            orders = self.shared.changed.wait(orders).expect("nobody panics with the orders in hand");
        }
    }

    /// Makes one write of its own to any node, as a client that has not heard who is MAIN.
    pub fn write_once(&self, bolt: &mut Bolt, round: i64) -> Told {
        let id = self.shared.next_id.fetch_add(1, Ordering::Relaxed);
        write_one(&self.shared.book, bolt, id, round)
    }

    /// Ends all clients.
    pub fn stop(mut self) {
        self.end();
    }

    fn end(&mut self) {
        {
            let mut orders = self.shared.orders();
            orders.is_over = true;
            self.shared.changed.notify_all();
        }
        for thread in self.threads.drain(..) {
            let ended = thread.join();
            if !std::thread::panicking() {
                ended.expect("a client panicked");
            }
        }
    }
}

impl Drop for Writers {
    fn drop(&mut self) {
        self.end();
    }
}

fn write(shared: &Shared) {
    let mut connection: Option<(String, Bolt)> = None;
    loop {
        let (main, round) = {
            let mut orders = shared.orders();
            loop {
                if orders.is_over {
                    return;
                }
                if let Some(main) = orders.main.clone() {
                    orders.busy += 1;
                    break (main, orders.round);
                }
                orders = shared.changed.wait(orders).expect("nobody panics with the orders in hand");
            }
        };
        let told = match &mut connection {
            Some((to, bolt)) if *to == main => {
                let id = shared.next_id.fetch_add(1, Ordering::Relaxed);
                Some(write_one(&shared.book, bolt, id, round))
            }
            _ => {
                connection = Bolt::connect(&main).ok().map(|bolt| (main, bolt));
                connection.is_none().then_some(Told::Unknown)
            }
        };
        let is_refused = matches!(told, Some(Told::Failed { .. } | Told::Unknown));
        if matches!(told, Some(Told::Unknown)) {
            connection = None;
        }
        let mut orders = shared.orders();
        orders.busy -= 1;
        shared.changed.notify_all();
        drop(orders);
        if is_refused {
            std::thread::sleep(PAUSE);
        }
    }
}

/// Some writes are transactions of several queries, most are one.
fn write_one(book: &Book, bolt: &mut Bolt, id: i64, round: i64) -> Told {
    book.asked(id, round);
    let answer = if id % 4 == 0 {
        bolt.transaction(&[
            &format!("CREATE (:W {{id: {id}, round: {round}}});"),
            &format!("MATCH (w:W {{id: {id}}}) CREATE (w)-[:PART]->(:P {{id: {id}, round: {round}}});"),
        ])
    } else {
        let query =
            format!("CREATE (:W {{id: {id}, round: {round}}})-[:PART]->(:P {{id: {id}, round: {round}}});");
        bolt.run(&query).map(|result| result.summary)
    };
    let told = Told::from_answer(answer);
    book.told(id, told.clone());
    told
}
