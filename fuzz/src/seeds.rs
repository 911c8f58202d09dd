//! Inputs to start from, always the same.

use std::error::Error;
use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use mirrorwatch_checkpoint::{BURNPACK, Consumed, Manifest, Parameter, RunStatus, SCHEMA, Weights};
use mirrorwatch_stats::shards::{
    Cells, ClassCells, Neighbours, Null, ScaleSearch, Shard, Statistic, Sums, Survival, Tally,
};

use crate::{CHECKSUM, HEADER};

/// A target's name, an input's name and the input.
type Seed = (&'static str, &'static str, Vec<u8>);

/// The null scores that parts of cells are counted against, and their classes.
pub const NULL: [f32; 4] = [0.5, 1.5, 2.5, -3.0];
/// See [`NULL`].
pub const CLASSES: [usize; 4] = [0, 1, 0, 1];
/// The columns of sums.
pub const COLUMNS: usize = 4;

/// All of them.
pub fn all() -> Result<Vec<Seed>, Box<dyn Error>> {
    let mut seeds = Vec::new();
    let manifest = manifest();
    seeds.push(("manifest", "whole", serde_json::to_vec(&manifest)?));
    let least = Manifest {
        parameters: Vec::new(),
        consumed: None,
        ..manifest.clone()
    };
    seeds.push(("manifest", "least", serde_json::to_vec(&least)?));
    seeds.push(("status", "finished", serde_json::to_vec(&status())?));
    for (name, positions) in [
        ("few", vec![0, 3, 7, 1_000_000]),
        ("many", (0..300).collect()),
        ("far", vec![u64::MAX - 1]),
    ] {
        let consumed = Consumed::of(positions);
        seeds.push(("consumed", name, serde_json::to_vec(&consumed)?));
    }
    idx(&mut seeds)?;
    parts(&mut seeds)?;
    seeds.push(("web_config", "users", USERS.as_bytes().to_vec()));
    seeds.push(("web_config", "tls", TLS.as_bytes().to_vec()));
    seeds.push(("web_config", "aliases", ALIASES.as_bytes().to_vec()));
    let target = "/api/v1/runs/my%20run/suspects?class=cat&class=d%C3%B6g&all&page=2+3";
    seeds.push(("request", "query", target.as_bytes().to_vec()));
    Ok(seeds)
}

const USERS: &str = "\
# A comment.
basic_auth_users:
  ada: $2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW
rate_limit: {interval: 1m30s, burst: 10}
http_server_config:
  http2: false
  headers:
    X-Frame-Options: deny
    Strict-Transport-Security: max-age=31536000
";

const TLS: &str = "\
tls_server_config:
  cert: |
    -----BEGIN CERTIFICATE-----
    MIIB
    -----END CERTIFICATE-----
  key: \"-----BEGIN PRIVATE KEY-----\\nMIIB\\n-----END PRIVATE KEY-----\"
  client_auth_type: RequireAndVerifyClientCert
  min_version: TLS12
  cipher_suites: [TLS_AES_128_GCM_SHA256]
  curve_preferences: [X25519]
  client_allowed_sans: [a.example]
";

const ALIASES: &str = "\
http_server_config: &a {headers: &b {X-Frame-Options: &c deny}}
rate_limit: {interval: 100ms, burst: !!int 3}
basic_auth_users: {? 'x' : *c}
";

fn manifest() -> Manifest {
    Manifest {
        schema: SCHEMA,
        run: "mnist".into(),
        instance: "0123456789abcdef".repeat(2),
        sequence: 3,
        epoch: 3,
        step: 471,
        time: 1_700_000_000.25,
        train_loss: Some(0.31),
        valid_loss: Some(0.4),
        learning_rate: Some(1e-3),
        consumed: Some(Consumed::of((0..64).collect())),
        weights: Weights {
            file: "epoch-000003-step-0000000471-abababababab.bpk".into(),
            format: BURNPACK.into(),
            bytes: 4096,
            sha256: "ab".repeat(32),
        },
        parameters: vec![Parameter {
            name: "head.weight".into(),
            shape: vec![512, 5],
            dtype: "f32".into(),
        }],
        tags: [("host".to_string(), "gpu-1".to_string())].into(),
    }
}

fn status() -> RunStatus {
    RunStatus {
        schema: SCHEMA,
        run: "mnist".into(),
        instance: "7f".into(),
        started: 1_700_000_000.0,
        updated: 1_700_000_100.5,
        finished: Some(1_700_000_100.5),
        published: 7,
        failed: 0,
        dropped: 1,
    }
}

fn idx(seeds: &mut Vec<Seed>) -> std::io::Result<()> {
    let gzipped = |bytes: &[u8]| -> std::io::Result<Vec<u8>> {
        let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
        gzip.write_all(bytes)?;
        gzip.finish()
    };
    let images = [
        &[0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 2, 0, 0, 0, 2][..],
        &[0, 255, 7, 9, 1, 2, 3, 4],
    ]
    .concat();
    let mut vectors = vec![0, 0, 0x0d, 2, 0, 0, 0, 2, 0, 0, 0, 1];
    vectors.extend([0.5f32, -1e30].iter().flat_map(|value| value.to_be_bytes()));
    let labels = vec![0, 0, 8, 1, 0, 0, 0, 3, 5, 0, 4];
    let wide = vec![0, 0, 0x0c, 1, 0, 0, 0, 2, 0, 1, 0, 0, 0, 0, 0, 7];
    let short = vec![0, 0, 0x0b, 1, 0, 0, 0, 2, 1, 0, 0, 7];
    // A thousand zeros where eight bytes are declared.
    let bomb = [&images[..16], &[0; 1000]].concat();
    seeds.push(("idx_features", "images-gz", gzipped(&images)?));
    seeds.push(("idx_features", "images", images));
    seeds.push(("idx_features", "vectors", vectors));
    seeds.push(("idx_features", "bomb-gz", gzipped(&bomb)?));
    seeds.push(("idx_labels", "bytes-gz", gzipped(&labels)?));
    seeds.push(("idx_labels", "bytes", labels));
    seeds.push(("idx_labels", "wide", wide));
    seeds.push(("idx_labels", "short", short));
    Ok(())
}

/// One of each kind, as the target takes them: the kind less one, and what is between header and checksum.
fn parts(seeds: &mut Vec<Seed>) -> Result<(), Box<dyn Error>> {
    let shard = Shard::new(0, 2, 7)?;
    let scores: Vec<f32> = (0..20).map(|i| (i * 7 % 11) as f32 - 4.0).collect();
    let search = ScaleSearch::new();
    for (name, part) in [
        ("tally", Tally::of([3, 3, 5, 1 << 40]).encode(&shard)),
        ("survival", Survival::of(&scores)?.encode(&shard)),
        ("histogram", search.count(&scores)?.encode(&shard)),
        ("null", Null::of(&NULL, &CLASSES)?.encode(&shard)),
        ("cells", Cells::count(&NULL, &scores)?.encode(&shard)),
        (
            "class-cells",
            ClassCells::count(&NULL, &CLASSES, &[0.5, 2.0, 9.0], &[0, 1, 1], 1)?.encode(&shard),
        ),
        ("sums", Sums::of(&scores, COLUMNS)?.encode(&shard)),
        (
            "neighbours",
            Neighbours::of(&NULL, &scores, &scores)?.encode(&shard),
        ),
    ] {
        // The lower byte of the kind: there are fewer than 256.
        let kind = part[6] - 1;
        let body = &part[HEADER..part.len() - CHECKSUM];
        seeds.push(("parts", name, [&[kind][..], body].concat()));
    }
    Ok(())
}
