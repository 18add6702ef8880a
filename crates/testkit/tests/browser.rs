//! Chromium, really started, on a page of a server in this test.

use sallyport_testkit::{Browser, BrowserOptions};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

/// Serves one page to everybody: its title tells whether scripts run, its body what the browser
/// said about itself.
async fn page() -> anyhow::Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}/", listener.local_addr()?);
    tokio::spawn(async move {
        while let Ok((mut connection, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut request = vec![0; 16 * 1024];
                let length = connection.read(&mut request).await?;
                let request = String::from_utf8_lossy(&request[..length]).into_owned();
                let language = request
                    .lines()
                    .find(|line| line.to_ascii_lowercase().starts_with("accept-language:"))
                    .unwrap_or("none");
                let body = format!(
                    "<!doctype html><title>off</title><p>{language}</p>\
                     <script>document.title = 'on ' + innerWidth</script>"
                );
                let head = "HTTP/1.1 200 OK\r\ncontent-type: text/html; charset=utf-8\r\n";
                let length = body.len();
                let answer =
                    format!("{head}content-length: {length}\r\nconnection: close\r\n\r\n{body}");
                connection.write_all(answer.as_bytes()).await
            });
        }
    });
    Ok(url)
}

#[tokio::test]
async fn a_browser_runs_scripts_and_has_the_window_and_language_asked_for() -> anyhow::Result<()> {
    let url = page().await?;
    let options = BrowserOptions {
        languages: "fr-FR,fr".into(),
        window: (800, 600),
        ..BrowserOptions::default()
    };
    let browser = Browser::start(options).await?;
    browser.driver().goto(&url).await?;
    assert_eq!(browser.driver().title().await?, "on 800");
    let text = browser
        .driver()
        .find(thirtyfour::By::Tag("p"))
        .await?
        .text()
        .await?;
    assert!(
        text.to_ascii_lowercase()
            .starts_with("accept-language: fr-fr,fr"),
        "{text}"
    );
    let picture = std::fs::read(browser.screenshot("testkit-browser").await?)?;
    assert_eq!(&picture[..8], b"\x89PNG\r\n\x1a\n");
    Ok(())
}

#[tokio::test]
async fn a_browser_can_be_without_javascript() -> anyhow::Result<()> {
    let url = page().await?;
    let options = BrowserOptions {
        javascript: false,
        ..BrowserOptions::default()
    };
    let browser = Browser::start(options).await?;
    browser.driver().goto(&url).await?;
    assert_eq!(browser.driver().title().await?, "off");
    Ok(())
}
