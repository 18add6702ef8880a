//! The portal by keyboard alone (rule 72): Tab, Shift+Tab, Enter, Space, Escape and typed text. At
//! each step it is asserted where the focus is.

use anyhow::{Result, bail};
use thirtyfour::prelude::*;

use crate::portal::Portal;
use crate::{PASSWORD, Scene};

/// How often Tab is pressed on the way to something, before it counts as out of reach.
const MOST: usize = 60;
const MENU: &str = "nav details:last-of-type summary";
const OPEN_MENU: &str = "nav details:last-of-type[open]";
const SAVE: &str = "form#account .save button";

/// Signs in, changes the first name, is led to an error and out of it, switches two-factor
/// authentication on, signs out, and signs in with a code.
pub async fn alone(scene: &Scene) -> Result<()> {
    let Scene {
        system,
        words,
        portal,
        phone,
        ..
    } = scene;
    portal.open(&system.admin_link).await?;
    portal.focus_is("#password").await?;
    portal.keys(PASSWORD).await?;
    portal.keys(Key::Tab).await?;
    portal.focus_is("#password_again").await?;
    portal.keys(PASSWORD).await?;
    portal.tab_to("main button.primary").await?;
    portal.leave_by(Key::Space).await?;
    portal.at("/sign-in").await?;
    first_step(portal, &system.admin_email).await?;
    portal.at("/account").await?;

    // Past the bar, to the content.
    portal.keys(Key::Tab).await?;
    portal.focus_is("a.skip").await?;
    portal.keys(Key::Enter).await?;
    portal.focus_is("main").await?;
    // Back to the bar, and through its menu.
    portal.back_tab_to(MENU).await?;
    portal.keys(Key::Enter).await?;
    assert!(portal.has(OPEN_MENU).await?, "Enter opens the menu");
    portal.picture("menu").await?;
    portal.keys(Key::Escape).await?;
    assert!(!portal.has(OPEN_MENU).await?, "Escape closes it");
    portal.focus_is(MENU).await?;
    portal.keys(Key::Space).await?;
    assert!(portal.has(OPEN_MENU).await?, "Space opens it");
    portal.keys(Key::Tab).await?;
    portal.focus_is("nav a[href='/account']").await?;
    portal.keys(Key::Tab).await?;
    portal.focus_is("nav a[href='/activity']").await?;
    portal.leave_by(Key::Enter).await?;
    portal.at("/activity").await?;
    portal.tab_to(MENU).await?;
    portal.keys(Key::Enter).await?;
    portal.keys(Key::Tab).await?;
    portal.focus_is("nav a[href='/account']").await?;
    portal.leave_by(Key::Enter).await?;
    portal.at("/account").await?;

    portal.tab_to("#first_name").await?;
    // Tab has selected what stood there.
    portal.keys("Grace").await?;
    assert_eq!(portal.value("first_name").await?, "Grace");
    portal.tab_to(SAVE).await?;
    portal.leave_by(Key::Space).await?;
    portal.at("/account").await?;
    portal.says(".notice", &words.say("done_saved")).await?;
    portal.says(MENU, "Grace").await?;
    assert_eq!(portal.value("first_name").await?, "Grace");

    error(scene).await?;
    portal.at("/code").await?;
    portal.focus_is("#code").await?;
    portal.keys(phone.code(system).await?).await?;
    portal.leave_by(Key::Enter).await?;
    portal
        .says(".notice", &words.say("done_two_factor_on"))
        .await?;
    portal.tab_to("a.primary[href='/account']").await?;
    portal.leave_by(Key::Enter).await?;
    portal.at("/account").await?;

    portal.tab_to(MENU).await?;
    portal.keys(Key::Space).await?;
    portal.tab_to("form[action='/sign-out'] button").await?;
    portal.leave_by(Key::Space).await?;
    portal.at("/sign-in").await?;
    first_step(portal, &system.admin_email).await?;
    portal.at("/code").await?;
    portal.focus_is("#code").await?;
    portal.keys(phone.code(system).await?).await?;
    portal.leave_by(Key::Enter).await?;
    portal.at("/account").await
}

/// The first field of the page has the focus.
async fn first_step(portal: &Portal, email: &str) -> Result<()> {
    portal.focus_is("#email").await?;
    portal.keys(email).await?;
    portal.keys(Key::Tab).await?;
    portal.focus_is("#password").await?;
    portal.keys(PASSWORD).await?;
    portal.tab_to("main button.primary").await?;
    portal.leave_by(Key::Space).await
}

/// Ticks the box with a number that has no country. The summary of errors takes the focus, its link
/// leads to the field; the number in full is accepted, with the box ticked anew.
async fn error(scene: &Scene) -> Result<()> {
    let Scene { words, portal, .. } = scene;
    portal.tab_to("#mobile_number").await?;
    portal.keys("0612345678").await?;
    portal.tab_to("#two_factor").await?;
    portal.keys(Key::Space).await?;
    assert!(portal.ticked("two_factor").await?, "Space ticks the box");
    portal.tab_to(SAVE).await?;
    portal.leave_by(Key::Enter).await?;
    portal.focus_is("#summary").await?;
    portal
        .says("#summary", &words.say("r_phone_country_required"))
        .await?;
    portal.keys(Key::Tab).await?;
    portal.focus_is("#summary a").await?;
    portal.keys(Key::Enter).await?;
    portal.focus_is("#country").await?;
    portal.tab_to("#mobile_number").await?;
    portal.keys("+33612345678").await?;
    assert_eq!(portal.value("mobile_number").await?, "+33612345678");
    assert!(
        !portal.ticked("two_factor").await?,
        "a refused number leaves the box unticked"
    );
    portal.tab_to("#two_factor").await?;
    portal.keys(Key::Space).await?;
    portal.tab_to(SAVE).await?;
    portal.leave_by(Key::Space).await
}

impl Portal {
    /// Presses keys one after the other; they go to what has the focus.
    async fn keys(&self, keys: impl Into<TypingData>) -> Result<()> {
        let chain = self.driver().action_chain().send_keys(keys);
        Ok(chain.perform().await?)
    }

    /// Presses a key that leads to another page, and waits until this one is gone. Where that page
    /// opens with a field in focus it is Space: the driver, cut off by the new page, gives the key
    /// once more there, and Enter would send its form.
    async fn leave_by(&self, key: Key) -> Result<()> {
        let page = self.driver().find(By::Css("html")).await?;
        self.keys(key).await?;
        Ok(page.wait_until().stale().await?)
    }

    /// Presses Tab until the first such element has the focus.
    async fn tab_to(&self, css: &str) -> Result<()> {
        for _ in 0..MOST {
            self.keys(Key::Tab).await?;
            if self.has_focus(css).await? {
                return Ok(());
            }
        }
        bail!(
            "{MOST} times Tab did not lead to {css}, but to {}",
            self.focus().await?
        )
    }

    /// Presses Shift and Tab until the first such element has the focus.
    async fn back_tab_to(&self, css: &str) -> Result<()> {
        for _ in 0..MOST {
            let chain = self.driver().action_chain();
            let chain = chain.key_down(Key::Shift).send_keys(Key::Tab);
            chain.key_up(Key::Shift).perform().await?;
            if self.has_focus(css).await? {
                return Ok(());
            }
        }
        bail!(
            "{MOST} times Shift+Tab did not lead to {css}, but to {}",
            self.focus().await?
        )
    }

    async fn has_focus(&self, css: &str) -> Result<bool> {
        self.has(&format!("{css}:focus")).await
    }

    /// Waits until such an element has the focus: a page that was just opened gives it a moment
    /// after it has loaded.
    async fn focus_is(&self, css: &str) -> Result<()> {
        let query = self.driver().query(By::Css(format!("{css}:focus")));
        match query.first().await {
            Ok(_) => Ok(()),
            Err(_) => bail!(
                "the focus is not at {css}, but at {}; the page says:\n{}",
                self.focus().await?,
                self.text("main").await?
            ),
        }
    }

    /// Where the focus is: id, name, address, or kind of element.
    async fn focus(&self) -> Result<String> {
        let script = "const e = document.activeElement; \
                      return e.id || e.name || e.getAttribute('href') || e.tagName;";
        let answer = self.driver().execute(script, Vec::new()).await?;
        Ok(answer.convert()?)
    }
}
