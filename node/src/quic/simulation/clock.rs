//! Tasks and time in one thread: nothing happens by itself, and time stands still while a task can go on.

use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

/// A task, by the order in which they began.
type TaskId = u64;

pub(super) struct Clock {
    begun: Instant,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    elapsed: Duration,
    next_id: u64,
    tasks: BTreeMap<TaskId, Option<BoxFuture<'static, ()>>>,
    ready: VecDeque<TaskId>,
    queued: BTreeSet<TaskId>,
    timers: BTreeMap<(Duration, u64), Waker>,
}

struct TaskWaker {
    clock: Arc<Clock>,
    task: TaskId,
}

impl Wake for TaskWaker {
    fn wake(self: Arc<Self>) {
        let mut state = self.clock.state.lock();
        if state.queued.insert(self.task) {
            state.ready.push_back(self.task);
        }
    }
}

impl Clock {
    pub(super) fn new() -> Arc<Clock> {
        Arc::new(Clock { begun: Instant::now(), state: Mutex::default() })
    }

    /// Time since the beginning.
    pub(super) fn elapsed(&self) -> Duration {
        self.state.lock().elapsed
    }

    /// The same as a point in time.
    pub(super) fn now(&self) -> Instant {
        self.begun + self.elapsed()
    }

    pub(super) fn spawn(&self, task: BoxFuture<'static, ()>) {
        let mut state = self.state.lock();
        let id = state.id();
        state.tasks.insert(id, Some(task));
        state.queued.insert(id);
        state.ready.push_back(id);
    }

    /// Lets every task run, and time go by, until `time` from now.
    pub(super) fn run_for(self: &Arc<Self>, time: Duration) {
        let end = self.elapsed() + time;
        loop {
            while self.run_one() {}
            let mut state = self.state.lock();
            let Some((&(at, id), _)) = state.timers.first_key_value().filter(|((at, _), _)| *at <= end)
            else {
                state.elapsed = end;
                return;
            };
            state.elapsed = state.elapsed.max(at);
            let waker = state.timers.remove(&(at, id)).expect("it was just there");
            drop(state);
            waker.wake();
        }
    }

    fn run_one(self: &Arc<Self>) -> bool {
        let (id, task) = {
            let mut state = self.state.lock();
            let Some(id) = state.ready.pop_front() else { return false };
            state.queued.remove(&id);
            (id, state.tasks.get_mut(&id).and_then(Option::take))
        };
        // One that has ended may still be woken.
        let Some(mut task) = task else { return true };
        let waker = Waker::from(Arc::new(TaskWaker { clock: self.clone(), task: id }));
        let poll = task.as_mut().poll(&mut Context::from_waker(&waker));
        let mut state = self.state.lock();
        match poll {
            Poll::Pending => {
                state.tasks.insert(id, Some(task));
            }
            Poll::Ready(()) => {
                state.tasks.remove(&id);
            }
        }
        true
    }

    pub(super) fn sleep_until(self: &Arc<Self>, at: Instant) -> Sleep {
        Sleep { clock: self.clone(), at: at.saturating_duration_since(self.begun), registered: None }
    }

    /// Drops every task: they hold on to what holds them.
    pub(super) fn end(&self) {
        loop {
            let tasks = std::mem::take(&mut self.state.lock().tasks);
            if tasks.is_empty() {
                return;
            }
        }
    }
}

impl State {
    fn id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }
}

/// A timer that can be set anew.
pub(super) struct Sleep {
    clock: Arc<Clock>,
    at: Duration,
    registered: Option<(Duration, u64)>,
}

impl std::fmt::Debug for Sleep {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Sleep({:?})", self.at)
    }
}

impl Sleep {
    fn forget(&mut self) {
        if let Some(key) = self.registered.take() {
            // Its waker may wake on being dropped; the lock is not held then.
            let waker = self.clock.state.lock().timers.remove(&key);
            drop(waker);
        }
    }

    fn poll_at(&mut self, context: &mut Context<'_>) -> Poll<()> {
        self.forget();
        let mut state = self.clock.state.lock();
        if self.at <= state.elapsed {
            return Poll::Ready(());
        }
        let key = (self.at, state.id());
        state.timers.insert(key, context.waker().clone());
        self.registered = Some(key);
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        self.forget();
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        self.poll_at(context)
    }
}

impl quinn::AsyncTimer for Sleep {
    fn reset(mut self: Pin<&mut Self>, at: Instant) {
        self.at = at.saturating_duration_since(self.clock.begun);
    }

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        self.poll_at(context)
    }
}
