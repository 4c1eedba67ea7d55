//! Two hundred async tests, each with a server that starts a task for every connection, as axum does.

use cofferdam::{Worker, WorkerLocal};
use std::fs::OpenOptions;
use std::io::Write;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// Library code, which knows no worker but by its thread.
async fn serve(listener: TcpListener) {
    while let Ok((mut stream, _)) = listener.accept().await {
        tokio::spawn(async move {
            let id = Worker::current().id().to_owned();
            let _ = stream.write_all(id.as_bytes()).await;
        });
    }
}

/// A pool with a task of its own, and one connection to it.
struct Pool(tokio::sync::Mutex<TcpStream>);

static POOL: WorkerLocal<Pool> = WorkerLocal::new_async(&|cx| async move {
    let mut builds = OpenOptions::new().append(true).create(true).open(std::env::var("BUILDS")?)?;
    writeln!(builds, "{}", cx.worker())?;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut query = [0];
        while stream.read_exact(&mut query).await.is_ok() {
            stream.write_all(&query).await.unwrap();
        }
    });
    Ok(Pool(TcpStream::connect(address).await?.into()))
});

async fn test(number: u8) {
    let own = Worker::current().id().to_owned();
    let pool = POOL.get_async().await;
    let mut connection = pool.0.lock().await;
    connection.write_all(&[number]).await.unwrap();
    assert_eq!(connection.read_u8().await.unwrap(), number);

    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut tasks = JoinSet::new();
    tasks.spawn(serve(listener));
    let mut id = String::new();
    TcpStream::connect(address).await.unwrap().read_to_string(&mut id).await.unwrap();
    assert_eq!(id, own);
    assert_eq!(tokio::task::spawn_blocking(|| Worker::current().id().to_owned()).await.unwrap(), own);
}

macro_rules! ten {
    ($($name:ident)*) => {$(mod $name {
        #[cofferdam::test] async fn t0() { super::test(0).await }
        #[cofferdam::test] async fn t1() { super::test(1).await }
        #[cofferdam::test] async fn t2() { super::test(2).await }
        #[cofferdam::test] async fn t3() { super::test(3).await }
        #[cofferdam::test] async fn t4() { super::test(4).await }
        #[cofferdam::test] async fn t5() { super::test(5).await }
        #[cofferdam::test] async fn t6() { super::test(6).await }
        #[cofferdam::test] async fn t7() { super::test(7).await }
        #[cofferdam::test] async fn t8() { super::test(8).await }
        #[cofferdam::test] async fn t9() { super::test(9).await }
    })*};
}

ten! { a b c d e f g h i j k l m n o p q r s t }

mod fails {
    /// Run by name only.
    #[cofferdam::test]
    #[ignore]
    async fn by_its_result() -> Result<(), String> {
        Err("as it should".to_owned())
    }

    #[cofferdam::test]
    #[ignore]
    async fn by_a_panic() {
        tokio::task::yield_now().await;
        panic!("as it should");
    }
}
