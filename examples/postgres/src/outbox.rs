//! The queue of outgoing mails.

use tokio_postgres::{Client, Error};

/// The mails as a sender sees them. Any number of senders may run at once.
pub struct Outbox {
    client: Client,
}

impl Outbox {
    pub fn new(client: Client) -> Self {
        Self { client }
    }

    /// Sends the oldest mail that no other sender is sending, and returns whether there was one. A mail that could not be
    /// sent stays.
    pub async fn send_one(&mut self, send: impl AsyncFnOnce(&str, &str) -> bool) -> Result<bool, Error> {
        let transaction = self.client.transaction().await?;
        let oldest =
            "SELECT number, recipient, text FROM mails ORDER BY number LIMIT 1 FOR UPDATE SKIP LOCKED";
        let Some(mail) = transaction.query_opt(oldest, &[]).await? else {
            return Ok(false);
        };
        if send(mail.get(1), mail.get(2)).await {
            let number: i32 = mail.get(0);
            transaction
                .execute("DELETE FROM mails WHERE number = $1", &[&number])
                .await?;
        }
        transaction.commit().await?;
        Ok(true)
    }
}
