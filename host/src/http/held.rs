//! Ends an answer that would not end by itself when whoever asked for it would not be let in any more: a token that is
//! revoked, or whose time is over, hears nothing further. Knows the gate by its answer only.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use futures_util::StreamExt;
use tracing::info;

use super::access::Caller;
use super::server::Endless;
use crate::access::Access;

/// How often it is asked.
const ASK_EVERY: Duration = Duration::from_secs(1);

/// Who is answered, and who says whether it may be.
pub(super) struct Held {
    pub(super) gate: Arc<Access>,
    pub(super) caller: Caller,
    pub(super) peer: Option<IpAddr>,
}

impl Held {
    /// The answer, as long as its caller is let in. What ends by itself was granted as a whole.
    pub(super) fn bounds(self, answer: Response) -> Response {
        let is_endless = answer.extensions().get::<Endless>().is_some();
        if !is_endless || self.gate.path().is_none() {
            return answer;
        }
        answer.map(|body| {
            let frames = body.into_data_stream();
            Body::from_stream(frames.take_until(Box::pin(self.lost())))
        })
    }

    async fn lost(self) {
        loop {
            tokio::time::sleep(ASK_EVERY).await;
            if self.gate.is_due_again() {
                let gate = Arc::clone(&self.gate);
                // Whatever becomes of it, what is known still holds.
                let _ = tokio::task::spawn_blocking(move || gate.look()).await;
            }
            if !self.gate.holds(&self.caller, self.peer) {
                let token = self.caller.token.as_deref();
                return info!(
                    token,
                    "a stream was ended: its caller is not let in any more"
                );
            }
        }
    }
}
