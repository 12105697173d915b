//! The event thread: handlers of signals, functions to run apart, and what stopped queues have to say.
//!
//! One thread for all of it, begun when there is first something to watch. While handlers wait it sleeps on the session's word for any signal;
//! otherwise on nothing that the worker rings, so that it costs no wake-ups.
//!
//! Promise: callbacks are called without a lock of ours held, one at a time; a handler that answers false is not called again.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};

use client::{Condition, Deadline};
use hsa_sys::raw::*;

use crate::edge::{Answer, Opaque};
use crate::export::export;
use crate::runtime::{Runtime, failed, status_with, without_signals};
use crate::signal::{condition_of, signal_of};

/// A handler that waits for its signal.
#[derive(Clone, Copy)]
struct Handler {
    signal: hsa_signal_t,
    condition: Condition,
    than: i64,
    call: unsafe extern "C" fn(hsa_signal_value_t, *mut std::ffi::c_void) -> bool,
    argument: Opaque,
}

impl Handler {
    /// Returns the value if it satisfies the condition.
    fn due(&self, runtime: &Runtime) -> Option<i64> {
        let value = runtime.client.signal_at(self.signal.handle)?.load();
        self.condition.holds(value, self.than).then_some(value)
    }
}

/// A function to run apart.
struct Task {
    call: unsafe extern "C" fn(*mut std::ffi::c_void),
    argument: Opaque,
}

#[derive(Default)]
struct Inbox {
    handlers: Vec<Handler>,
    tasks: Vec<Task>,
    /// A queue stopped, or the session ended.
    news: bool,
    closed: bool,
    /// The thread has begun.
    begun: bool,
}

impl Inbox {
    fn is_empty(&self) -> bool {
        self.handlers.is_empty() && self.tasks.is_empty() && !self.news && !self.closed
    }
}

/// What comes into the inbox, and who is told.
#[derive(Default)]
struct Post {
    inbox: Mutex<Inbox>,
    arrived: Condvar,
    /// The inbox is not empty: for the thread while it waits for signals.
    waiting: AtomicBool,
}

impl Post {
    fn inbox(&self) -> MutexGuard<'_, Inbox> {
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn put(&self, change: impl FnOnce(&mut Inbox)) {
        change(&mut self.inbox());
        self.waiting.store(true, Ordering::Release);
        self.arrived.notify_all();
    }
}

/// See the module.
#[derive(Default)]
pub(crate) struct Events {
    post: Arc<Post>,
    groups: Mutex<HashMap<u64, Vec<hsa_signal_t>>>,
    last_group: AtomicU64,
}

impl Events {
    /// Begins the thread if it has not begun, and has it look at what has come.
    fn put(&self, runtime: &Arc<Runtime>, change: impl FnOnce(&mut Inbox)) -> Answer {
        let mut begin = false;
        self.post.put(|inbox| {
            change(inbox);
            begin = !std::mem::replace(&mut inbox.begun, true);
        });
        if begin {
            let (post, weak) = (Arc::clone(&self.post), Arc::downgrade(runtime));
            let named = std::thread::Builder::new().name("wavegate-events".to_owned());
            let begun = without_signals(|| named.spawn(move || run(&post, &weak)));
            begun.map_err(|_| HSA_STATUS_ERROR_OUT_OF_RESOURCES)?;
        }
        runtime.client.stir().map_err(failed)
    }

    /// Has stopped queues told of from now on.
    pub(crate) fn watch_queues(&self, runtime: &Arc<Runtime>) -> Answer {
        let (post, weak) = (Arc::clone(&self.post), Arc::downgrade(runtime));
        runtime.client.on_news(move || {
            post.put(|inbox| inbox.news = true);
            if let Some(runtime) = weak.upgrade() {
                // Who is not woken looks again soon.
                let _ = runtime.client.stir();
            }
        });
        self.put(runtime, |_| {})
    }

    /// Has stopped queues looked at once more: one of them was given something.
    pub(crate) fn look_at_queues(&self) {
        self.post.put(|inbox| inbox.news = true);
    }

    /// Ends the thread; it is not waited for, since this may be it.
    pub(crate) fn close(&self) {
        self.post.put(|inbox| inbox.closed = true);
    }

    /// Keeps a group of signals and returns its handle.
    pub(crate) fn add_group(&self, signals: Vec<hsa_signal_t>) -> u64 {
        let handle = self.last_group.fetch_add(1, Ordering::Relaxed) + 1;
        self.groups.lock().unwrap_or_else(PoisonError::into_inner).insert(handle, signals);
        handle
    }

    /// Forgets a group.
    pub(crate) fn remove_group(&self, handle: u64) -> Answer {
        let removed = self.groups.lock().unwrap_or_else(PoisonError::into_inner).remove(&handle);
        removed.map(drop).ok_or(HSA_STATUS_ERROR_INVALID_SIGNAL_GROUP)
    }

    /// Returns the signals of a group.
    pub(crate) fn group(&self, handle: u64) -> Answer<Vec<hsa_signal_t>> {
        let groups = self.groups.lock().unwrap_or_else(PoisonError::into_inner);
        groups.get(&handle).cloned().ok_or(HSA_STATUS_ERROR_INVALID_SIGNAL_GROUP)
    }
}

/// The thread. It holds the runtime only while there is something to do, so that the last `hsa_shut_down` is the last owner.
fn run(post: &Post, runtime: &Weak<Runtime>) {
    let mut handlers: Vec<Handler> = Vec::new();
    loop {
        let (tasks, news) = {
            let mut inbox = post.inbox();
            while inbox.is_empty() && handlers.is_empty() {
                inbox = post.arrived.wait(inbox).unwrap_or_else(PoisonError::into_inner);
            }
            if inbox.closed {
                return;
            }
            post.waiting.store(false, Ordering::Release);
            handlers.append(&mut inbox.handlers);
            (std::mem::take(&mut inbox.tasks), std::mem::take(&mut inbox.news))
        };
        let Some(runtime) = runtime.upgrade() else { return };
        for task in tasks {
            // SAFETY: C gave the function together with the argument for it.
            unsafe { (task.call)(task.argument.0) };
        }
        if news {
            runtime.queues.tell_faults(&runtime);
        }
        // One at a time: a handler may make, change or destroy what another one waits for.
        while let Some((at, value)) = due(&handlers, &runtime) {
            let handler = handlers.swap_remove(at);
            // SAFETY: C gave the function together with the argument for it.
            if unsafe { (handler.call)(value, handler.argument.0) } {
                handlers.push(handler);
                break;
            }
        }
        if !handlers.is_empty() && runtime.client.first_end().is_none() {
            let called = || post.waiting.load(Ordering::Acquire) || due(&handlers, &runtime).is_some();
            let waited = runtime
                .client
                .changes(Deadline::NEVER, || (called() || runtime.client.first_end().is_some()).then_some(()));
            debug_assert!(waited.is_ok(), "the kernel refuses to wait");
        } else if runtime.client.first_end().is_some() {
            // Nothing will change any more.
            handlers.clear();
        }
    }
}

fn due(handlers: &[Handler], runtime: &Runtime) -> Option<(usize, i64)> {
    handlers.iter().enumerate().find_map(|(at, handler)| Some((at, handler.due(runtime)?)))
}

export! {
    /// Calls a handler when a signal satisfies a condition, and again for as long as it answers true.
    fn hsa_amd_signal_async_handler(
        signal: hsa_signal_t,
        condition: hsa_signal_condition_t,
        value: hsa_signal_value_t,
        handler: hsa_amd_signal_handler,
        argument: Opaque,
    ) -> hsa_status_t {
        status_with(|runtime| {
            let call = handler.ok_or(HSA_STATUS_ERROR_INVALID_ARGUMENT)?;
            signal_of(runtime, signal)?;
            let handler = Handler { signal, condition: condition_of(condition)?, than: value, call, argument };
            runtime.events.put(runtime, |inbox| inbox.handlers.push(handler))
        })
    }

    /// Calls a function on the event thread.
    fn hsa_amd_async_function(
        callback: Option<unsafe extern "C" fn(*mut std::ffi::c_void)>,
        argument: Opaque,
    ) -> hsa_status_t {
        status_with(|runtime| {
            let call = callback.ok_or(HSA_STATUS_ERROR_INVALID_ARGUMENT)?;
            runtime.events.put(runtime, |inbox| inbox.tasks.push(Task { call, argument }))
        })
    }
}
