//! The plain port's own thread: it answers also while every thread that decides is busy.

use std::future::Future;
use std::io;
use std::net::TcpListener;
use std::thread;

use axum::Router;
use tokio::runtime::Builder;
use tokio::sync::oneshot;

use super::accept::{Limits, Transport, serve};
use super::lifecycle::Phases;

/// Serves the plain port in a thread of its own; the future ends when that does.
///
/// # Errors
/// When there is no thread to be had, or the listener can't be used.
pub fn serve_apart(
    listener: TcpListener,
    router: Router,
    limits: Limits,
    phases: Phases,
) -> io::Result<impl Future<Output = ()> + Send + 'static> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    listener.set_nonblocking(true)?;
    let listener = {
        let _entered = runtime.enter();
        tokio::net::TcpListener::from_std(listener)?
    };
    let (ends, ended) = oneshot::channel::<()>();
    thread::Builder::new().name("admin".to_owned()).spawn(move || {
        let _ends = ends;
        runtime.block_on(serve(listener, Transport::Plain, router, limits, None, phases));
    })?;
    Ok(async move {
        // Nothing is ever sent: it fails when the thread has ended, by a panic too.
        let _ = ended.await;
    })
}
