//! A real browser: Debian's Chromium, driven over WebDriver.

use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use base64::prelude::{BASE64_STANDARD, Engine as _};
use thirtyfour::cdp::domains::page::CaptureScreenshot;
use thirtyfour::{ChromiumLikeCapabilities, DesiredCapabilities, WebDriver};

use crate::account::is_root;
use crate::folder::Folder;
use crate::port::Port;
use crate::supervised::{Launch, Supervised, find};

/// What kind of visitor the browser is.
#[derive(Debug, Clone)]
pub struct BrowserOptions {
    /// The value of `Accept-Language`, the preferred language first: `fr-FR,fr`.
    pub languages: String,
    /// Width and height of the window in CSS pixels.
    pub window: (u32, u32),
    /// Whether pages may run JavaScript.
    pub javascript: bool,
}

impl Default for BrowserOptions {
    fn default() -> Self {
        Self {
            languages: "en-GB,en".into(),
            window: (1280, 900),
            javascript: true,
        }
    }
}

/// A headless Chromium with an empty profile, and its chromedriver.
///
/// The browser is reached by [`driver`](Self::driver). Dropping this kills both at once, so a test
/// need not quit.
#[derive(Debug)]
pub struct Browser {
    driver: Option<WebDriver>,
    _chromedriver: Supervised,
    _port: Port,
    _folder: Folder,
}

impl Browser {
    /// Starts a browser; returns when it shows an empty page.
    pub async fn start(options: BrowserOptions) -> anyhow::Result<Self> {
        let chromedriver = find("chromedriver", &[], "chromium-driver")?;
        let chromium = find("chromium", &[], "chromium")?;
        let mut folder = Folder::new("browser")?;
        std::fs::create_dir(folder.join("tmp")).context("cannot make the browser's folder")?;
        let port = Port::take()?;
        let mut chromedriver =
            Launch::new(chromedriver, folder.path(), folder.join("chromedriver.log"))
                .arg(format!("--port={}", port.number()))
                .env("HOME", folder.path())
                .env("TMPDIR", folder.join("tmp"))
                .spawn()?;

        let client = reqwest::Client::builder().no_proxy().build()?;
        let base = format!("http://127.0.0.1:{}", port.number());
        let status = format!("{base}/status");
        chromedriver
            .until("it was ready", || async {
                let answer: serde_json::Value = client.get(&status).send().await?.json().await?;
                ensure!(
                    answer["value"]["ready"] == true,
                    "chromedriver says {answer}"
                );
                Ok(())
            })
            .await
            .inspect_err(|_| folder.keep())?;
        let capabilities = capabilities(&options, &chromium, &folder.join("profile"))?;
        let driver = WebDriver::builder(base, capabilities)
            .client(client)
            .await
            .inspect_err(|_| folder.keep())
            .with_context(|| format!("Chromium did not start; see {}", folder.path().display()))?;
        Ok(Self {
            driver: Some(driver),
            _chromedriver: chromedriver,
            _port: port,
            _folder: folder,
        })
    }

    /// The session to drive.
    pub fn driver(&self) -> &WebDriver {
        self.driver.as_ref().expect("taken by drop only")
    }

    /// Writes the whole page, not only what the window shows of it, to `target/screenshots/NAME.png`; returns the path.
    pub async fn screenshot(&self, name: &str) -> anyhow::Result<PathBuf> {
        let folder = crate::target_folder().join("screenshots");
        std::fs::create_dir_all(&folder)
            .with_context(|| format!("cannot make {}", folder.display()))?;
        let path = folder.join(format!("{name}.png"));
        let whole = CaptureScreenshot {
            capture_beyond_viewport: Some(true),
            ..CaptureScreenshot::default()
        };
        let picture = self.driver().cdp().send(whole).await?.data;
        let picture = BASE64_STANDARD.decode(picture)?;
        std::fs::write(&path, picture)
            .with_context(|| format!("cannot write {}", path.display()))?;
        Ok(path)
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        if let Some(driver) = self.driver.take() {
            // Without this it would ask chromedriver to end the session and block; killing
            // chromedriver and all its children, which comes next, does that at once.
            let _ = driver.leak();
        }
    }
}

fn capabilities(
    options: &BrowserOptions,
    chromium: &Path,
    profile: &Path,
) -> anyhow::Result<thirtyfour::ChromeCapabilities> {
    let mut capabilities = DesiredCapabilities::chrome();
    capabilities.set_binary(&chromium.display().to_string())?;
    let (width, height) = options.window;
    let language = options.languages.split(',').next().unwrap_or_default();
    let mut arguments = vec![
        "--headless=new".to_owned(),
        "--disable-gpu".to_owned(),
        "--disable-quic".to_owned(),
        "--no-first-run".to_owned(),
        "--disable-background-networking".to_owned(),
        "--disable-component-update".to_owned(),
        "--disable-sync".to_owned(),
        // Containers give /dev/shm too little for a page with pictures.
        "--disable-dev-shm-usage".to_owned(),
        "--hide-scrollbars".to_owned(),
        format!("--window-size={width},{height}"),
        format!("--user-data-dir={}", profile.display()),
        format!("--lang={language}"),
        format!("--accept-lang={}", options.languages),
    ];
    if is_root()? {
        arguments.push("--no-sandbox".to_owned());
    }
    for argument in &arguments {
        capabilities.add_arg(argument)?;
    }
    let mut preferences = serde_json::json!({ "intl.accept_languages": options.languages });
    if !options.javascript {
        preferences["profile.managed_default_content_settings.javascript"] = 2.into();
    }
    capabilities.add_experimental_option("prefs", preferences)?;
    Ok(capabilities)
}
