//! Async tests that share a server, each with a pool on its worker's runtime and a task, and wait to be released.

mod server;

use cofferdam::WorkerLocal;
use server::SERVER;
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A pool whose task lives as long as its worker's runtime.
static POOL: WorkerLocal<String> = WorkerLocal::new_async(&|_| async {
    tokio::spawn(std::future::pending::<()>());
    Ok(Arc::unwrap_or_clone(SERVER.try_get_async().await?))
});

async fn held() {
    let (folder, pool) = tokio::join!(SERVER.get_async(), POOL.get_async());
    assert_eq!(*folder, *pool);
    tokio::spawn(std::future::pending::<()>());
    let mut stream = TcpStream::connect(std::env::var("MEET").unwrap()).await.unwrap();
    let line = format!("test {} {folder}\n", std::process::id());
    stream.write_all(line.as_bytes()).await.unwrap();
    let _ = stream.read(&mut [0]).await;
    assert_eq!(SERVER.get_async().await, folder);
}

#[cofferdam::test]
async fn a() {
    held().await;
}

#[cofferdam::test]
async fn b() {
    held().await;
}
