//! What a person does on the pages.

use std::cell::Cell;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use sallyport_testkit::{Browser, BrowserOptions};
use thirtyfour::cdp::domains::emulation::SetDeviceMetricsOverride;
use thirtyfour::prelude::*;

use crate::words::plain;
use crate::{Run, accessibility};

/// Width and height of a window, in CSS pixels.
const DESKTOP: (u32, u32) = (1280, 900);
const PHONE: (u32, u32) = (400, 860);
/// How long a page may take to show what another service has yet to tell.
const ARRIVAL: Duration = Duration::from_secs(30);

/// A browser on the portal.
pub struct Portal {
    browser: Browser,
    base: String,
    shots: String,
    pictures: Cell<u32>,
    /// The source of axe-core, where pages run scripts.
    axe: Option<Arc<str>>,
}

impl Portal {
    /// Opens a browser for a person; `who` is part of the names of its pictures.
    pub async fn start(run: &Run, base: &str, who: &str) -> Result<Self> {
        let browser = Browser::start(BrowserOptions {
            languages: run.text("en-CA,en", "fr-CA,fr").into(),
            window: if run.phone { PHONE } else { DESKTOP },
            javascript: run.javascript,
        })
        .await?;
        if run.phone {
            // Chromium opens no window that is narrower than 500 pixels.
            let narrow = SetDeviceMetricsOverride {
                width: PHONE.0,
                height: PHONE.1,
                device_scale_factor: 1.0,
                mobile: false,
                scale: None,
                screen_orientation: None,
            };
            browser.driver().cdp().send(narrow).await?;
        }
        let axe = run.javascript.then(accessibility::axe_core).transpose()?;
        Ok(Self {
            browser,
            base: base.to_owned(),
            shots: format!("{}-{who}", run.shots),
            pictures: Cell::new(0),
            axe,
        })
    }

    /// The session to drive.
    pub fn driver(&self) -> &WebDriver {
        self.browser.driver()
    }

    /// Opens a path of the portal, or a whole address.
    pub async fn open(&self, path: &str) -> Result<()> {
        let url = if path.starts_with("http") {
            path.to_owned()
        } else {
            format!("{}{path}", self.base)
        };
        Ok(self.driver().goto(url).await?)
    }

    /// Opens a page anew until an element says `part`: what it shows comes by way of an outbox.
    pub async fn open_until(&self, path: &str, css: &str, part: &str) -> Result<()> {
        let arrived = async {
            loop {
                self.open(path).await?;
                if self.text(css).await?.contains(part) {
                    return anyhow::Ok(());
                }
            }
        };
        match tokio::time::timeout(ARRIVAL, arrived).await {
            Ok(outcome) => outcome,
            Err(_) => bail!("{path}: {css} never said {part:?}"),
        }
    }

    /// The button Back of the browser.
    pub async fn back(&self) -> Result<()> {
        Ok(self.driver().back().await?)
    }

    /// The path of the page that is shown.
    pub async fn path(&self) -> Result<String> {
        Ok(self.driver().current_url().await?.path().to_owned())
    }

    /// Fails unless the page with this path is shown.
    pub async fn at(&self, path: &str) -> Result<()> {
        let here = self.path().await?;
        if here != path {
            bail!(
                "at {here}, not {path}; the page says:\n{}",
                self.text("body").await?
            );
        }
        Ok(())
    }

    async fn one(&self, css: &str) -> Result<WebElement> {
        match self.driver().find(By::Css(css)).await {
            Ok(element) => Ok(element),
            Err(_) => {
                let body = self.driver().find(By::Css("body")).await?.text().await?;
                bail!("no {css} at {}; the page says:\n{body}", self.path().await?)
            }
        }
    }

    /// Replaces the value of a field.
    pub async fn fill(&self, id: &str, value: &str) -> Result<()> {
        let field = self.one(&format!("#{id}")).await?;
        field.clear().await?;
        Ok(field.send_keys(value).await?)
    }

    /// The value of a field.
    pub async fn value(&self, id: &str) -> Result<String> {
        self.one(&format!("#{id}"))
            .await?
            .value()
            .await?
            .context("no value")
    }

    /// Picks an option by its value.
    pub async fn pick(&self, id: &str, value: &str) -> Result<()> {
        self.one(&format!("#{id} option[value='{value}']"))
            .await?
            .click()
            .await?;
        Ok(())
    }

    /// Clicks something that leads to no other page.
    pub async fn click(&self, css: &str) -> Result<()> {
        let element = self.one(css).await?;
        element.scroll_into_view().await?;
        Ok(element.click().await?)
    }

    /// Presses Enter in a field, and waits until its page is gone.
    pub async fn enter(&self, id: &str) -> Result<()> {
        let field = self.one(&format!("#{id}")).await?;
        field.send_keys(Key::Enter).await?;
        Ok(field.wait_until().stale().await?)
    }

    /// Clicks a link or a form's button, and waits until the page it was on is gone.
    pub async fn follow(&self, css: &str) -> Result<()> {
        leave(self.one(css).await?).await
    }

    /// The same for the link, with `part` in its address, of the row of a table that holds `text`.
    pub async fn follow_in_row(&self, text: &str, part: &str) -> Result<()> {
        let path = format!("{}//a[contains(@href, '{part}')]", row_path(text));
        let link = self.driver().find(By::XPath(path)).await;
        leave(link.with_context(|| format!("no {part} in the row of {text}"))?).await
    }

    /// The visible text of the row of a table that holds `text`.
    pub async fn row(&self, text: &str) -> Result<String> {
        let row = self.driver().find(By::XPath(row_path(text))).await;
        let row = row.with_context(|| format!("no row with {text}"))?;
        Ok(plain(&row.text().await?))
    }

    /// Whether a box is ticked.
    pub async fn ticked(&self, id: &str) -> Result<bool> {
        Ok(self.one(&format!("#{id}")).await?.is_selected().await?)
    }

    /// The visible text of the first such element.
    pub async fn text(&self, css: &str) -> Result<String> {
        Ok(plain(&self.one(css).await?.text().await?))
    }

    /// Fails unless the visible text of the first such element holds the sentence.
    pub async fn says(&self, css: &str, sentence: &str) -> Result<()> {
        let text = self.text(css).await?;
        ensure!(
            text.contains(sentence),
            "at {} {css} says {text:?}, not {sentence:?}",
            self.path().await?
        );
        Ok(())
    }

    /// Whether there is such an element.
    pub async fn has(&self, css: &str) -> Result<bool> {
        Ok(!self.driver().find_all(By::Css(css)).await?.is_empty())
    }

    /// The visible texts of all such elements.
    pub async fn texts(&self, css: &str) -> Result<Vec<String>> {
        let mut texts = Vec::new();
        for element in self.driver().find_all(By::Css(css)).await? {
            texts.push(plain(&element.text().await?));
        }
        Ok(texts)
    }

    /// Waits until the element's text holds `part`.
    pub async fn wait_for_text(&self, css: &str, part: &str) -> Result<()> {
        let query = self
            .driver()
            .query(By::Css(css))
            .with_text(thirtyfour::stringmatch::StringMatch::new(part).partial());
        match query.first().await {
            Ok(_) => Ok(()),
            Err(_) => bail!("{css} never said {part:?}, but:\n{}", self.text(css).await?),
        }
    }

    /// The same inside a frame, which may load itself anew meanwhile.
    pub async fn wait_for_text_in(&self, frame: &str, css: &str, part: &str) -> Result<()> {
        self.one(frame).await?.enter_frame().await?;
        let said = self.wait_for_text(css, part).await;
        self.driver().enter_default_frame().await?;
        said
    }

    /// Keeps a picture of the page as `target/screenshots/RUN-WHO-NUMBER-NAME.png`, and checks what
    /// every page has to hold, so that no page is forgotten.
    pub async fn picture(&self, name: &str) -> Result<()> {
        let number = self.pictures.get() + 1;
        self.pictures.set(number);
        let name = format!("{}-{number:02}-{name}", self.shots);
        self.browser.screenshot(&name).await?;
        self.fits_its_window().await.context(name.clone())?;
        if let Some(axe) = &self.axe {
            self.has_no_violations(axe).await.context(name)?;
        }
        Ok(())
    }

    /// Signs in with the first step.
    pub async fn sign_in(&self, email: &str, password: &str) -> Result<()> {
        self.open("/sign-in").await?;
        self.fill("email", email).await?;
        self.fill("password", password).await?;
        self.follow("main form button.primary").await
    }

    /// Types a new password twice on the page of a one-time link.
    pub async fn set_password(&self, password: &str) -> Result<()> {
        self.fill("password", password).await?;
        self.fill("password_again", password).await?;
        self.follow("main form button.primary").await
    }

    /// Sends a form, whether it is shown or not, and waits until its page is gone.
    pub async fn send(&self, id: &str) -> Result<()> {
        let form = self.one(&format!("#{id}")).await?;
        let script = format!("document.getElementById('{id}').requestSubmit()");
        self.driver().execute(script, Vec::new()).await?;
        Ok(form.wait_until().stale().await?)
    }

    /// Gives a code on the code page.
    pub async fn give_code(&self, code: &str) -> Result<()> {
        self.at("/code").await?;
        self.fill("code", code).await?;
        self.follow("#code-form button.primary").await
    }

    /// Signs out from the user's menu.
    pub async fn sign_out(&self) -> Result<()> {
        self.open("/account").await?;
        self.click("nav details:last-of-type summary").await?;
        self.follow("form[action='/sign-out'] button").await?;
        self.at("/sign-in").await
    }
}

/// The row of a table that holds a text, as an XPath.
fn row_path(text: &str) -> String {
    format!("//tbody/tr[contains(., '{text}')]")
}

/// Clicks, and waits until the page is gone.
async fn leave(element: WebElement) -> Result<()> {
    element.scroll_into_view().await?;
    element.click().await?;
    Ok(element.wait_until().stale().await?)
}
