//! The library that every test opens, which no other test uses.

mod server;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::Request;
use cofferdam::locator::ServiceHandle;
use cofferdam::worker::Claim;
use cofferdam::{Access, Resource, WorkerLocal, claim};
use serde_json::Value;
use server::DATABASE;
use sqlx::PgPool;
use sqlx::postgres::PgPoolOptions;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tower::ServiceExt;

/// The connections of a worker. Under `cargo test` its tests share them, one after the other.
static POOL: WorkerLocal<PgPool> = WorkerLocal::new_async(&|_| async {
    let database = DATABASE.get_async().await;
    let pool = PgPoolOptions::new().max_connections(MOST_CONNECTIONS);
    Ok(pool.connect_with(database.options()).await?)
});

pub(crate) const MOST_CONNECTIONS: u32 = 4;

/// An empty library.
pub(crate) struct Library {
    pub(crate) pool: ServiceHandle<PgPool>,
    router: Router,
    /// The servers of this test, which end with it.
    servers: JoinSet<()>,
    _claim: Claim,
}

/// Returns the worker's library, without the data of its last test.
pub(crate) async fn library() -> Library {
    let database = DATABASE.get_async().await;
    // With this claim the report would name two tests that use one database at the same time.
    let claim = claim(
        Resource::name(format!("database {}", database.name)),
        Access::Write,
    );
    let pool = POOL.get_async().await;
    let library = Library {
        router: lending_library::app(PgPool::clone(&pool)),
        pool,
        servers: JoinSet::new(),
        _claim: claim,
    };
    library.has_no_foreign_session().await;
    sqlx::query("TRUNCATE books, loans RESTART IDENTITY")
        .execute(&*library.pool)
        .await
        .unwrap();
    library
}

impl Library {
    pub(crate) async fn get(&self, path: &str) -> (u16, Value) {
        self.call("GET", path, Value::Null).await
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> (u16, Value) {
        self.call("POST", path, body).await
    }

    pub(crate) async fn delete(&self, path: &str) -> (u16, Value) {
        self.call("DELETE", path, Value::Null).await
    }

    /// Sends a request through the router, and returns the response's status and body.
    pub(crate) fn call(
        &self,
        method: &str,
        path: &str,
        body: Value,
    ) -> impl Future<Output = (u16, Value)> + use<> {
        let request = Request::builder().method(method).uri(path);
        let request = request.header("content-type", "application/json");
        let response = self
            .router
            .clone()
            .oneshot(request.body(Body::from(body.to_string())).unwrap());
        async {
            let response = response.await.unwrap();
            let status = response.status().as_u16();
            let body = to_bytes(response.into_body(), usize::MAX).await.unwrap();
            (status, serde_json::from_slice(&body).unwrap_or_default())
        }
    }

    /// Adds a book, and returns its path.
    pub(crate) async fn add(&self, title: &str, copies: i32) -> String {
        let book = serde_json::json!({ "title": title, "copies": copies });
        let (status, book) = self.post("/books", book).await;
        assert_eq!(status, 201, "{book}");
        format!("/books/{}", book["id"])
    }

    /// Serves the library on a port of its own until the end of the test.
    pub(crate) async fn serve(&mut self) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = axum::serve(listener, self.router.clone());
        self.servers.spawn(async { server.await.unwrap() });
        address
    }

    /// Waits until all connections of the pool are idle, and returns their number.
    pub(crate) async fn idle_connections(&self) -> u32 {
        let idle = async {
            while self.pool.num_idle() != self.pool.size() as usize {
                tokio::task::yield_now().await;
            }
            self.pool.size()
        };
        timeout(LIMIT, idle).await.expect("a connection is still in use")
    }

    /// Waits until all sessions in the database are the pool's: those of earlier tests are gone.
    pub(crate) async fn has_no_foreign_session(&self) {
        let sessions = "SELECT count(*) FROM pg_stat_activity
                        WHERE datname = current_database() AND backend_type = 'client backend'";
        let gone = async {
            while sqlx::query_scalar::<_, i64>(sessions)
                .fetch_one(&*self.pool)
                .await
                .unwrap()
                > i64::from(self.pool.size())
            {}
        };
        timeout(LIMIT, gone).await.expect("a session is left behind");
    }
}

/// A wait that takes longer fails its test.
pub(crate) const LIMIT: Duration = Duration::from_secs(10);

/// Sends a request over a connection of its own.
pub(crate) async fn request(server: SocketAddr, method: &str, path: &str, body: Value) -> (u16, Value) {
    let body = body.to_string();
    let mut connection = TcpStream::connect(server).await.unwrap();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nhost: library\r\nconnection: close\r\ncontent-type: application/json\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    );
    connection.write_all(request.as_bytes()).await.unwrap();
    let mut response = String::new();
    connection.read_to_string(&mut response).await.unwrap();
    let (head, body) = response.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, serde_json::from_str(body).unwrap_or_default())
}
