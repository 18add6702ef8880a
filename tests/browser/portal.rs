//! What a person does on the pages.

use anyhow::{Context, Result, bail};
use sallyport_testkit::Browser;
use thirtyfour::prelude::*;

/// A browser on the portal.
pub struct Portal {
    browser: Browser,
    base: String,
    shots: String,
}

impl Portal {
    /// Screenshots are kept as `target/screenshots/SHOTS-NAME.png`.
    pub fn new(browser: Browser, base: &str, shots: &str) -> Self {
        Self {
            browser,
            base: base.to_owned(),
            shots: shots.to_owned(),
        }
    }

    fn driver(&self) -> &WebDriver {
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
                self.text("main").await?
            );
        }
        Ok(())
    }

    async fn one(&self, css: &str) -> Result<WebElement> {
        match self.driver().find(By::Css(css)).await {
            Ok(element) => Ok(element),
            Err(_) => {
                let main = self.driver().find(By::Css("body")).await?.text().await?;
                bail!("no {css} at {}; the page says:\n{main}", self.path().await?)
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

    /// Clicks a link or a form's button, and waits until the page it was on is gone.
    pub async fn follow(&self, css: &str) -> Result<()> {
        let button = self.one(css).await?;
        button.scroll_into_view().await?;
        button.click().await?;
        Ok(button.wait_until().stale().await?)
    }

    /// Whether a box is ticked.
    pub async fn ticked(&self, id: &str) -> Result<bool> {
        Ok(self.one(&format!("#{id}")).await?.is_selected().await?)
    }

    /// The visible text of the first such element.
    pub async fn text(&self, css: &str) -> Result<String> {
        Ok(self.one(css).await?.text().await?)
    }

    /// Whether there is such an element.
    pub async fn has(&self, css: &str) -> Result<bool> {
        Ok(!self.driver().find_all(By::Css(css)).await?.is_empty())
    }

    /// The visible texts of all such elements.
    pub async fn texts(&self, css: &str) -> Result<Vec<String>> {
        let mut texts = Vec::new();
        for element in self.driver().find_all(By::Css(css)).await? {
            texts.push(element.text().await?);
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

    /// Keeps a picture of the page.
    pub async fn picture(&self, name: &str) -> Result<()> {
        self.browser
            .screenshot(&format!("{}-{name}", self.shots))
            .await?;
        Ok(())
    }

    /// Signs in with the first step.
    pub async fn sign_in(&self, email: &str, password: &str) -> Result<()> {
        self.open("/sign-in").await?;
        self.fill("email", email).await?;
        self.fill("password", password).await?;
        self.follow("main form button.primary").await
    }

    /// Types the password again where the portal asks for it.
    pub async fn confirm_password_if_asked(&self, password: &str) -> Result<()> {
        if self.path().await? == "/confirm" {
            self.fill("password", password).await?;
            self.follow("main form button.primary").await?;
        }
        Ok(())
    }

    /// Gives a code on the code page.
    pub async fn give_code(&self, code: &str) -> Result<()> {
        self.at("/code").await?;
        self.fill("code", code).await?;
        self.follow("#code-form button.primary").await
    }

    /// Signs out from the user's menu.
    pub async fn sign_out(&self) -> Result<()> {
        self.click("nav details:last-of-type summary").await?;
        self.follow("form[action='/sign-out'] button").await?;
        self.at("/sign-in").await
    }
}
