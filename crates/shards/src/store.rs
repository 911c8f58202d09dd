//! A place that all shards reach, whatever it is made of.

use std::path::Path as FilePath;
use std::sync::Arc;

use futures_util::{StreamExt, TryStreamExt};
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::prefix::PrefixStore;
use object_store::{Error, ObjectStore, ObjectStoreExt, PutMode};
use tokio::runtime::{Builder, Runtime};

use crate::error::ShardsError;

/// How many requests are under way at once.
const AT_ONCE: usize = 32;

/// Files by name, in a directory or a bucket.
///
/// Every file is there as a whole or not at all, and [`put_new`](Store::put_new) never replaces one: of two processes that
/// give the same name, one wins, and both know.
///
/// ```
/// use mirrorwatch_shards::Store;
///
/// # let shared = tempfile::tempdir()?;
/// let store = Store::open(shared.path().to_string_lossy().as_ref())?;
/// assert!(store.put_new("parts/1", b"first".to_vec())?);
/// assert!(!store.put_new("parts/1", b"second".to_vec())?);
/// assert_eq!(store.get("parts/1")?.as_deref(), Some(b"first".as_slice()));
/// assert_eq!(store.list("parts")?, ["parts/1"]);
/// store.remove(&["parts/1".to_string()])?;
/// assert_eq!(store.get("parts/1")?, None);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Store {
    files: PrefixStore<Box<dyn ObjectStore>>,
    place: String,
    runtime: Runtime,
}

impl Store {
    /// Opens `place`: a directory (or `file:` URL), which is made where there is none, `s3://BUCKET/PREFIX` or
    /// `gs://BUCKET/PREFIX`.
    ///
    /// Credentials, endpoint and region of a bucket come from the environment, by their usual names (`AWS_ACCESS_KEY_ID`,
    /// `AWS_ENDPOINT`, `AWS_REGION`, `AWS_ALLOW_HTTP`, `AWS_WEB_IDENTITY_TOKEN_FILE`, …,
    /// `GOOGLE_APPLICATION_CREDENTIALS`, …), or from the machine's own role.
    ///
    /// # Errors
    ///
    /// A place that is none, or options that do not fit it.
    ///
    /// ```
    /// use mirrorwatch_shards::Store;
    ///
    /// # let shared = tempfile::tempdir()?;
    /// let url = format!("file://{}/not-yet", shared.path().display());
    /// assert!(Store::open(&url)?.list("")?.is_empty());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn open(place: &str) -> Result<Self, ShardsError> {
        let failed = |message: String| ShardsError::Place {
            place: place.to_string(),
            message,
        };
        let (files, prefix) = match place.split_once("://") {
            None => (directory(place.as_ref()).map_err(failed)?, Path::default()),
            Some(("file", path)) => (directory(path.as_ref()).map_err(failed)?, Path::default()),
            Some(_) => bucket(place).map_err(failed)?,
        };
        let runtime = Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| failed(error.to_string()))?;
        Ok(Self {
            files: PrefixStore::new(files, prefix),
            place: place.to_string(),
            runtime,
        })
    }

    /// As it was named when it was opened.
    ///
    /// ```
    /// # let shared = tempfile::tempdir()?;
    /// let place = shared.path().to_string_lossy().into_owned();
    /// assert_eq!(mirrorwatch_shards::Store::open(&place)?.place(), place);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn place(&self) -> &str {
        &self.place
    }

    /// Writes a file that must not exist yet; says whether it was written.
    ///
    /// # Errors
    ///
    /// It cannot be written.
    ///
    /// ```
    /// # let shared = tempfile::tempdir()?;
    /// # let store = mirrorwatch_shards::Store::open(shared.path().to_string_lossy().as_ref())?;
    /// assert_eq!((store.put_new("a", vec![1])?, store.put_new("a", vec![2])?), (true, false));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn put_new(&self, path: &str, bytes: Vec<u8>) -> Result<bool, ShardsError> {
        let at = self.at(path)?;
        let put = self
            .files
            .put_opts(&at, bytes.into(), PutMode::Create.into());
        match self.runtime.block_on(put) {
            Ok(_) => Ok(true),
            Err(Error::AlreadyExists { .. }) => Ok(false),
            Err(error) => Err(self.failed("write", path, &error)),
        }
    }

    /// Writes a file, in the place of an older one if there is one.
    ///
    /// # Errors
    ///
    /// It cannot be written.
    ///
    /// ```
    /// # let shared = tempfile::tempdir()?;
    /// # let store = mirrorwatch_shards::Store::open(shared.path().to_string_lossy().as_ref())?;
    /// store.put("a", vec![1])?;
    /// store.put("a", vec![2])?;
    /// assert_eq!(store.get("a")?, Some(vec![2]));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn put(&self, path: &str, bytes: Vec<u8>) -> Result<(), ShardsError> {
        let at = self.at(path)?;
        let put = self.runtime.block_on(self.files.put(&at, bytes.into()));
        put.map(|_| ())
            .map_err(|error| self.failed("write", path, &error))
    }

    /// Reads a file; none where there is none.
    ///
    /// # Errors
    ///
    /// It cannot be read.
    ///
    /// ```
    /// # let shared = tempfile::tempdir()?;
    /// # let store = mirrorwatch_shards::Store::open(shared.path().to_string_lossy().as_ref())?;
    /// assert_eq!(store.get("nothing/of/the/kind")?, None);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn get(&self, path: &str) -> Result<Option<Vec<u8>>, ShardsError> {
        let at = self.at(path)?;
        match self.runtime.block_on(self.read(&at)) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(self.failed("read", path, &error)),
        }
    }

    /// Reads a file of which at most `most` bytes are wanted: of a longer one, one byte more, so that whoever uses it sees
    /// that it is too long. The rest is never asked for.
    ///
    /// # Errors
    ///
    /// It cannot be read.
    ///
    /// ```
    /// # let shared = tempfile::tempdir()?;
    /// # let store = mirrorwatch_shards::Store::open(shared.path().to_string_lossy().as_ref())?;
    /// store.put("a", vec![7; 1000])?;
    /// assert_eq!(store.get_at_most("a", 1000)?.map(|bytes| bytes.len()), Some(1000));
    /// assert_eq!(store.get_at_most("a", 10)?.map(|bytes| bytes.len()), Some(11));
    /// assert_eq!(store.get_at_most("b", 10)?, None);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn get_at_most(&self, path: &str, most: u64) -> Result<Option<Vec<u8>>, ShardsError> {
        let at = self.at(path)?;
        let enough = usize::try_from(most.saturating_add(1)).unwrap_or(usize::MAX);
        let read = async {
            let mut bytes = Vec::new();
            let mut chunks = self.files.get(&at).await?.into_stream();
            while let Some(chunk) = chunks.try_next().await? {
                let left = enough - bytes.len();
                bytes.extend_from_slice(&chunk[..left.min(chunk.len())]);
                if bytes.len() == enough {
                    break;
                }
            }
            Ok(bytes)
        };
        match self.runtime.block_on(read) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(self.failed("read", path, &error)),
        }
    }

    /// Reads files, some at a time, in this order.
    ///
    /// # Errors
    ///
    /// One of them cannot be read, or is not there.
    ///
    /// ```
    /// # let shared = tempfile::tempdir()?;
    /// # let store = mirrorwatch_shards::Store::open(shared.path().to_string_lossy().as_ref())?;
    /// store.put("a", vec![1])?;
    /// store.put("b", vec![2])?;
    /// assert_eq!(store.get_all(&["b".to_string(), "a".to_string()])?, [[2], [1]]);
    /// assert!(store.get_all(&["c".to_string()]).is_err());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn get_all(&self, paths: &[String]) -> Result<Vec<Vec<u8>>, ShardsError> {
        let reads = paths.iter().map(|path| async move {
            let at = self.at(path)?;
            let bytes = self.read(&at).await;
            bytes.map_err(|error| self.failed("read", path, &error))
        });
        let reads = futures_util::stream::iter(reads).buffered(AT_ONCE);
        self.runtime.block_on(reads.try_collect())
    }

    /// The names of all files below `path`, sorted.
    ///
    /// # Errors
    ///
    /// It cannot be listed.
    ///
    /// ```
    /// # let shared = tempfile::tempdir()?;
    /// # let store = mirrorwatch_shards::Store::open(shared.path().to_string_lossy().as_ref())?;
    /// store.put("a/2", vec![1])?;
    /// store.put("a/1", vec![2])?;
    /// assert_eq!(store.list("a")?, ["a/1", "a/2"]);
    /// assert!(store.list("b")?.is_empty());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn list(&self, path: &str) -> Result<Vec<String>, ShardsError> {
        let marked = self.list_marked(path)?;
        Ok(marked.into_iter().map(|(name, _)| name).collect())
    }

    /// [`list`](Store::list), with a mark that changes whenever the file does.
    ///
    /// # Errors
    ///
    /// It cannot be listed.
    ///
    /// ```
    /// # let shared = tempfile::tempdir()?;
    /// # let store = mirrorwatch_shards::Store::open(shared.path().to_string_lossy().as_ref())?;
    /// store.put("a", vec![1])?;
    /// let first = store.list_marked("")?;
    /// store.put("a", vec![1, 2])?;
    /// let second = store.list_marked("")?;
    /// assert_eq!((first[0].0.as_str(), second.len()), ("a", 1));
    /// assert_ne!(first, second);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn list_marked(&self, path: &str) -> Result<Vec<(String, String)>, ShardsError> {
        let at = self.at(path)?;
        let below = (!path.is_empty()).then_some(&at);
        let files = self.files.list(below).map_ok(|meta| {
            let time = || format!("{} {}", meta.last_modified, meta.size);
            let mark = meta.e_tag.clone().unwrap_or_else(time);
            (meta.location.to_string(), mark)
        });
        let files: Result<Vec<(String, String)>, Error> =
            self.runtime.block_on(files.try_collect());
        match files {
            Ok(mut files) => {
                files.sort_unstable();
                Ok(files)
            }
            // A directory that nobody has written to yet.
            Err(Error::NotFound { .. }) => Ok(Vec::new()),
            Err(error) => Err(self.failed("list", path, &error)),
        }
    }

    /// Removes files; one that is not there is no trouble.
    ///
    /// # Errors
    ///
    /// One of them cannot be removed.
    ///
    /// ```
    /// # let shared = tempfile::tempdir()?;
    /// # let store = mirrorwatch_shards::Store::open(shared.path().to_string_lossy().as_ref())?;
    /// store.put("a", vec![1])?;
    /// store.remove(&["a".to_string(), "b".to_string()])?;
    /// assert!(store.list("")?.is_empty());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn remove(&self, paths: &[String]) -> Result<(), ShardsError> {
        for path in paths {
            let at = self.at(path)?;
            match self.runtime.block_on(self.files.delete(&at)) {
                Ok(()) | Err(Error::NotFound { .. }) => {}
                Err(error) => return Err(self.failed("remove", path, &error)),
            }
        }
        Ok(())
    }

    async fn read(&self, at: &Path) -> Result<Vec<u8>, Error> {
        Ok(self.files.get(at).await?.bytes().await?.to_vec())
    }

    fn at(&self, path: &str) -> Result<Path, ShardsError> {
        Path::parse(path).map_err(|error| ShardsError::Access {
            action: "name",
            path: path.to_string(),
            place: self.place.clone(),
            message: error.to_string(),
        })
    }

    fn failed(&self, action: &'static str, path: &str, error: &Error) -> ShardsError {
        ShardsError::Access {
            action,
            path: path.to_string(),
            place: self.place.clone(),
            message: error.to_string(),
        }
    }
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").field("place", &self.place).finish()
    }
}

fn directory(path: &FilePath) -> Result<Box<dyn ObjectStore>, String> {
    std::fs::create_dir_all(path).map_err(|error| error.to_string())?;
    let files = LocalFileSystem::new_with_prefix(path).map_err(|error| error.to_string())?;
    // Directories of rounds that are over go with their last file.
    Ok(Box::new(files.with_automatic_cleanup(true)))
}

#[cfg(feature = "cloud")]
fn bucket(place: &str) -> Result<(Box<dyn ObjectStore>, Path), String> {
    use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
    use object_store::gcp::{GoogleCloudStorageBuilder, GoogleConfigKey};
    use object_store::{BackoffConfig, RetryConfig};
    use std::time::Duration;

    // The only provider in the build, unless the application has chosen its own.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let url = url::Url::parse(place).map_err(|error| error.to_string())?;
    // Whoever asks tries again by itself, and says what is wrong before that.
    let retry = RetryConfig {
        backoff: BackoffConfig {
            max_backoff: Duration::from_secs(2),
            ..BackoffConfig::default()
        },
        max_retries: 5,
        retry_timeout: Duration::from_secs(30),
    };
    let files: Box<dyn ObjectStore> = match url.scheme() {
        "s3" | "s3a" => {
            let mut builder = AmazonS3Builder::new().with_url(place).with_retry(retry);
            for (key, value) in environment::<AmazonS3ConfigKey>("aws_") {
                builder = builder.with_config(key, value);
            }
            Box::new(builder.build().map_err(|error| error.to_string())?)
        }
        "gs" => {
            let mut builder = GoogleCloudStorageBuilder::new()
                .with_url(place)
                .with_retry(retry);
            for (key, value) in environment::<GoogleConfigKey>("google_") {
                builder = builder.with_config(key, value);
            }
            Box::new(builder.build().map_err(|error| error.to_string())?)
        }
        other => return Err(format!("{other:?} is no kind of store that is known")),
    };
    let prefix = Path::from_url_path(url.path()).map_err(|error| error.to_string())?;
    Ok((files, prefix))
}

/// The variables of the environment that begin so and mean something.
#[cfg(feature = "cloud")]
fn environment<K: std::str::FromStr>(begin: &str) -> Vec<(K, String)> {
    let mut options = Vec::new();
    for (name, value) in std::env::vars() {
        let name = name.to_ascii_lowercase();
        if let (true, Ok(key)) = (name.starts_with(begin), name.parse()) {
            options.push((key, value));
        }
    }
    options
}

#[cfg(not(feature = "cloud"))]
fn bucket(_place: &str) -> Result<(Box<dyn ObjectStore>, Path), String> {
    Err("this build knows directories only; build it with the feature cloud".to_string())
}

/// A store for several users of one process.
pub(crate) type Shared = Arc<Store>;
