//! The page and its files.

use std::io::Read;

use axum::body::Body;
use axum::http::Request;

use crate::{Answer, Server};

async fn ask(server: &Server, uri: &str, header: (&str, &str)) -> Answer {
    server.send(Request::get(uri).header(header.0, header.1).body(Body::empty()).expect("valid request")).await
}

#[tokio::test]
async fn the_page_loads_only_its_own_files_and_all_exist() {
    let server = Server::new();
    let page = server.get("/").await;
    assert_eq!((page.status.as_u16(), page.header("content-type")), (200, "text/html; charset=utf-8"));
    let loaded = page.text().split('"').filter(|text| text.starts_with("/assets/")).map(str::to_owned);
    let mut open: Vec<String> = loaded.collect();
    let mut seen = 0;
    assert!(!page.text().contains("http://") && !page.text().contains("https://"), "nothing from elsewhere");
    while let Some(path) = open.pop() {
        let file = server.get(&path).await;
        assert_eq!(file.status, 200, "{path}");
        seen += 1;
        assert!(!file.text().contains("innerHTML") && !file.text().contains("eval("), "{path}");
        let imports = file.text().split("from \"./").skip(1).filter_map(|rest| rest.split('"').next());
        open.extend(imports.map(|name| format!("/assets/js/{name}")).filter(|_| seen < 100));
    }
    assert!(seen > 10, "{seen} files");
}

#[tokio::test]
async fn files_are_revalidated_by_their_tag() {
    let server = Server::new();
    let first = server.get("/assets/app.css").await;
    assert_eq!((first.header("content-type"), first.header("cache-control")), ("text/css; charset=utf-8", "no-cache"));
    let tag = first.header("etag").to_owned();
    let again = ask(&server, "/assets/app.css", ("if-none-match", &tag)).await;
    assert_eq!((again.status.as_u16(), again.body.len()), (304, 0));
    assert_eq!(ask(&server, "/assets/app.css", ("if-none-match", "\"other\"")).await.status, 200);
}

#[tokio::test]
async fn the_chart_script_is_served_whole_zipped_and_tagged() {
    let server = Server::new();
    let plain = server.get("/assets/plotly.js").await;
    assert_eq!((plain.status.as_u16(), plain.header("content-type")), (200, "text/javascript; charset=utf-8"));
    let zipped = ask(&server, "/assets/plotly.js", ("accept-encoding", "gzip, br")).await;
    assert_eq!(zipped.header("content-encoding"), "gzip");
    let mut unzipped = Vec::new();
    flate2::read::GzDecoder::new(&zipped.body[..]).read_to_end(&mut unzipped).expect("gzip");
    assert!(unzipped == plain.body, "same script");
    assert_eq!(ask(&server, "/assets/plotly.js", ("if-none-match", plain.header("etag"))).await.status, 304);
}

#[tokio::test]
async fn other_answers_are_zipped_when_large() {
    let server = Server::new();
    let zipped = ask(&server, "/api/forecasts/checkout-rps", ("accept-encoding", "gzip")).await;
    assert_eq!(zipped.header("content-encoding"), "gzip");
    let small = ask(&server, "/-/ready", ("accept-encoding", "gzip")).await;
    assert_eq!(small.header("content-encoding"), "");
}

#[tokio::test]
async fn unknown_files_are_404() {
    let server = Server::new();
    for uri in ["/assets/none.js", "/assets/index.html", "/assets/", "/assets/js"] {
        assert_eq!(server.get(uri).await.status, 404, "{uri}");
    }
}
