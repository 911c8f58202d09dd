//! What a request brings besides its head.

use crate::limits::Limits;
use http_body_util::BodyExt;
use hyper::body::{Body, Bytes, Incoming};
use tokio::time::timeout;

/// Status and text of the answer to a body that is not taken, after which the connection must end.
type Refusal = (u16, &'static str);

/// Reads a body to its end, so that the connection can be used again; or refuses it.
///
/// # Arguments
///
/// * `keep` - whether anybody wants it; else it is forgotten as it comes in.
pub(crate) async fn read(
    limits: &Limits,
    mut body: Incoming,
    keep: bool,
) -> Result<Bytes, Refusal> {
    let too_large = || Err((413, "request body too large\n"));
    let largest = u64::try_from(limits.max_body_bytes).unwrap_or(u64::MAX);
    // What the client announces, before a byte of it is read.
    if body.size_hint().lower() > largest {
        return too_large();
    }
    let read_all = async {
        let mut left = limits.max_body_bytes;
        let mut kept = Vec::new();
        while let Some(frame) = body.frame().await {
            let Ok(frame) = frame else {
                return Err((400, "malformed request body\n"));
            };
            let data = frame.data_ref().map_or(&[][..], |data| &data[..]);
            match left.checked_sub(data.len()) {
                Some(rest) => left = rest,
                None => return too_large(),
            }
            if keep {
                kept.extend_from_slice(data);
            }
        }
        Ok(Bytes::from(kept))
    };
    match timeout(limits.idle_timeout, read_all).await {
        Ok(read) => read,
        Err(_) => Err((408, "request body took too long\n")),
    }
}
