//! What can go wrong where shards meet.

use thiserror::Error;

/// A store that cannot be used, or what lies in it.
///
/// ```
/// use mirrorwatch_shards::Store;
///
/// let error = Store::open("ftp://somewhere").err().map(|error| error.to_string());
/// assert!(error.is_some_and(|text| text.starts_with("cannot use \"ftp://somewhere\"")));
/// ```
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ShardsError {
    /// The place itself.
    #[error(
        "cannot use {place:?} as a place to meet: {message}; name a directory, s3://BUCKET/PREFIX or gs://BUCKET/PREFIX"
    )]
    Place {
        /// As it was given.
        place: String,
        /// What is wrong.
        message: String,
    },
    /// Something in it cannot be read, written, listed or removed.
    #[error("cannot {action} {path} in {place}: {message}")]
    Access {
        /// What was tried.
        action: &'static str,
        /// Where in the place.
        path: String,
        /// The place.
        place: String,
        /// What went wrong.
        message: String,
    },
    /// A file there is not what it should be.
    #[error("{path} in {place} is not what it should be: {message}")]
    Content {
        /// Where in the place.
        path: String,
        /// The place.
        place: String,
        /// What is wrong.
        message: String,
    },
    /// There is no such shard.
    #[error("there is no shard {index} of {count}; number them from 0")]
    NoSuchShard {
        /// As it was given.
        index: u32,
        /// As it was given.
        count: u32,
    },
    /// A file of this machine.
    #[error("cannot {action} {path}: {message}")]
    Local {
        /// What was tried.
        action: &'static str,
        /// The file.
        path: String,
        /// What went wrong.
        message: String,
    },
}
