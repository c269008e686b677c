//! A listener that runs on one worker: its accepting tasks, and the drain signals of its filter chains.
//!
//! An update keeps the sockets. Filter chains that stay as they were keep their connections; those that change or go are
//! drained: their connections finish what they are doing and then close.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use leno_core::config;
use leno_core::filter_chain::{ConnectionFacts, FilterChain, Listener};
use tokio::sync::{Notify, watch};

use super::accept;
use super::admission::Count;
use super::limit::ConnectionLimit;
use super::socket::Listening;
use crate::lifecycle::{Lifecycle, Phase};
use crate::process::Process;
use crate::tls::Acceptor;
use crate::worker::Worker;

/// What a connection gets when its filter chain is chosen.
pub(crate) struct Chosen {
    pub(crate) chain: Arc<FilterChain>,
    pub(crate) acceptor: Option<Arc<Acceptor>>,
    pub(crate) limits: Rc<[ConnectionLimit]>,
    pub(crate) lifecycle: Rc<Lifecycle>,
}

/// One listener on one worker.
pub(crate) struct ActiveListener {
    state: RefCell<State>,
    /// Told when no more connections are to be accepted.
    stop: Rc<Notify>,
    is_closed: Cell<bool>,
    /// Its connections, on all workers.
    connections: Count,
}

struct State {
    listener: Arc<Listener>,
    chains: Vec<Chain>,
}

struct Chain {
    compiled: Arc<FilterChain>,
    acceptor: Option<Arc<Acceptor>>,
    limits: Rc<[ConnectionLimit]>,
    source: config::FilterChain,
    lifecycle: Rc<Lifecycle>,
}

impl ActiveListener {
    pub(crate) fn new(listener: &Arc<Listener>, process: &Process) -> Self {
        let chains = chains(listener, &mut Vec::new(), process);
        let state = State { listener: Arc::clone(listener), chains };
        Self {
            state: RefCell::new(state),
            stop: Rc::default(),
            is_closed: Cell::default(),
            connections: process.admission.count(listener.name().to_string()),
        }
    }

    /// Where its connections are counted.
    pub(crate) fn connections(&self) -> &Count {
        &self.connections
    }

    /// The compiled listener now.
    pub(crate) fn listener(&self) -> Arc<Listener> {
        Arc::clone(&self.state.borrow().listener)
    }

    /// The filter chain that takes a connection, with its drain signal.
    pub(crate) fn choose(&self, connection: &ConnectionFacts<'_>) -> Option<Chosen> {
        let state = self.state.borrow();
        let chosen = state.listener.choose(connection)?;
        let chain = state.chains.iter().find(|chain| Arc::ptr_eq(&chain.compiled, chosen))?;
        Some(Chosen {
            chain: Arc::clone(&chain.compiled),
            acceptor: chain.acceptor.clone(),
            limits: Rc::clone(&chain.limits),
            lifecycle: Rc::clone(&chain.lifecycle),
        })
    }

    /// Takes over a new version; chains that are no longer there drain, for as long as the process may.
    pub(crate) fn update(&self, listener: &Arc<Listener>, process: &Process) {
        let mut state = self.state.borrow_mut();
        if Arc::ptr_eq(&state.listener, listener) {
            return;
        }
        let mut old = std::mem::take(&mut state.chains);
        state.chains = chains(listener, &mut old, process);
        state.listener = Arc::clone(listener);
        for gone in old {
            drain_chain(gone.lifecycle, process.drain);
        }
    }

    /// Accepts from one more socket, while that `is_open`.
    pub(crate) fn accept_from(
        self: &Rc<Self>,
        worker: &Rc<Worker>,
        socket: Listening,
        is_open: watch::Receiver<bool>,
    ) {
        let (worker, active) = (Rc::clone(worker), Rc::clone(self));
        tokio::task::spawn_local(async move {
            if let Err(error) = accept::run(&worker, &active, socket, is_open).await {
                tracing::error!(listener = %active.listener().name(), %error, "accepting ended");
            }
        });
    }

    /// Drains every connection for at most `limit`; more may come.
    pub(crate) fn drain(&self, limit: Duration) {
        for chain in &self.state.borrow().chains {
            drain_chain(Rc::clone(&chain.lifecycle), limit);
        }
    }

    /// Accepts no more and drains every connection for at most `limit`.
    pub(crate) fn close(&self, limit: Duration) {
        self.is_closed.set(true);
        self.stop.notify_waiters();
        self.drain(limit);
    }

    /// Ends every connection.
    pub(crate) fn cut(&self) {
        for chain in &self.state.borrow().chains {
            chain.lifecycle.advance(Phase::Closing);
        }
    }

    /// Notified when the listener is closed.
    pub(crate) fn stop(&self) -> Rc<Notify> {
        Rc::clone(&self.stop)
    }

    /// Whether it was closed already.
    pub(crate) fn is_closed(&self) -> bool {
        self.is_closed.get()
    }
}

fn drain_chain(lifecycle: Rc<Lifecycle>, limit: Duration) {
    if !lifecycle.drain(limit) {
        return;
    }
    tokio::task::spawn_local(async move {
        tokio::time::sleep(limit).await;
        lifecycle.advance(Phase::Closing);
    });
}

/// The new version's chains; a drain signal moves over from an `old` chain that was configured the same.
fn chains(listener: &Arc<Listener>, old: &mut Vec<Chain>, process: &Process) -> Vec<Chain> {
    let source = listener.source();
    let sources = source.filter_chains.iter().chain(&source.default_filter_chain);
    listener
        .filter_chains()
        .zip(sources)
        .map(|(compiled, source)| {
            let same = old.iter().position(|chain| chain.source == *source);
            let lifecycle = same.map(|at| old.swap_remove(at).lifecycle).unwrap_or_default();
            let acceptor = compiled.tls.as_ref().and_then(|termination| {
                let acceptor = process.tls.acceptor(&termination.settings);
                // The same patterns compiled a moment ago.
                acceptor.inspect_err(|problems| tracing::error!(?problems, "TLS")).ok()
            });
            let limits = ConnectionLimit::of_chain(listener.name(), compiled, process).into();
            let source = source.clone();
            Chain { compiled: Arc::clone(compiled), acceptor, limits, source, lifecycle }
        })
        .collect()
}
