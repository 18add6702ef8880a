//! Stylesheet and scripts, from inside the binary. Their addresses carry a hash of their content, so
//! browsers keep them for a year and a new release is a new address.

use std::sync::LazyLock;

use axum::Router;
use axum::extract::Path;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::{StatusCode, header};
use sha2::{Digest, Sha256};

struct Asset {
    name: &'static str,
    kind: &'static str,
    text: &'static str,
}

const CSS: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";

static ASSETS: [Asset; 6] = [
    Asset {
        name: "portal.css",
        kind: CSS,
        text: include_str!("../assets/portal.css"),
    },
    Asset {
        name: "portal.js",
        kind: SCRIPT,
        text: include_str!("../assets/portal.js"),
    },
    Asset {
        name: "code.js",
        kind: SCRIPT,
        text: include_str!("../assets/code.js"),
    },
    Asset {
        name: "number.js",
        kind: SCRIPT,
        text: include_str!("../assets/number.js"),
    },
    Asset {
        name: "passkey.js",
        kind: SCRIPT,
        text: include_str!("../assets/passkey.js"),
    },
    Asset {
        name: "icon.svg",
        kind: "image/svg+xml",
        text: include_str!("../assets/icon.svg"),
    },
];

static ADDRESSES: LazyLock<Vec<String>> = LazyLock::new(|| {
    ASSETS
        .iter()
        .map(|asset| {
            let hash = hex::encode(&Sha256::digest(asset.text)[..6]);
            format!("/assets/{hash}/{}", asset.name)
        })
        .collect()
});

/// The address of an asset; a name that is not one of ours has none.
pub(crate) fn address(name: &str) -> &'static str {
    ASSETS
        .iter()
        .position(|asset| asset.name == name)
        .map_or("", |index| ADDRESSES[index].as_str())
}

/// Serves them.
pub(crate) fn router<S: Clone + Send + Sync + 'static>() -> Router<S> {
    Router::new()
        .route("/assets/{hash}/{name}", get(asset))
        .route("/favicon.ico", get(|| async { StatusCode::NOT_FOUND }))
}

async fn asset(Path((hash, name)): Path<(String, String)>) -> Response {
    let wanted = format!("/assets/{hash}/{name}");
    match ADDRESSES.iter().position(|address| *address == wanted) {
        None => StatusCode::NOT_FOUND.into_response(),
        Some(index) => (
            [
                (header::CONTENT_TYPE, ASSETS[index].kind),
                (header::CACHE_CONTROL, "public, max-age=31536000, immutable"),
            ],
            ASSETS[index].text,
        )
            .into_response(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_asset_that_a_template_names_is_there() {
        for name in [
            "portal.css",
            "portal.js",
            "code.js",
            "number.js",
            "icon.svg",
        ] {
            assert!(address(name).ends_with(name));
        }
        assert_eq!(address("other.js"), "");
    }

    /// What comes from elsewhere becomes text in a page, and nothing is kept in the browser.
    #[test]
    fn scripts_write_no_markup_and_keep_nothing() {
        let scripts = ASSETS.iter().filter(|asset| asset.kind == SCRIPT);
        for script in scripts {
            for word in [
                "innerHTML",
                "outerHTML",
                "insertAdjacentHTML",
                "document.write",
                "eval(",
                "Function(",
                "postMessage",
                "localStorage",
                "sessionStorage",
                "indexedDB",
                " == ",
                " != ",
            ] {
                assert!(!script.text.contains(word), "{}: {word}", script.name);
            }
        }
    }
}
