//! Targets of requests: path and query.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mirrorwatch_http::Request;

fuzz_target!(|text: &str| {
    if let Ok(request) = Request::get(text) {
        assert!(!request.path.split('/').any(|part| part == ".."));
        let _ = (request.query_value("run"), request.count_of("run"));
    }
});
