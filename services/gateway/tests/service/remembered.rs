//! Remembered browsers on My account.

use crate::browser::Gateway;
use crate::refusable::SIGNED_IN;
use crate::words::{LANGUAGES, say, term};

#[tokio::test]
async fn remembered_browsers_are_listed_with_their_last_use_and_forgotten() {
    for language in LANGUAGES {
        let gateway = Gateway::start(true).await;
        let mut browser = gateway.speaking(language, SIGNED_IN);
        browser
            .cookies
            .insert("__Host-browser".into(), "spb_b2".into());
        let page = browser.open("/account").await;
        let (_, block) = page.text.split_once(term(language, "browsers")).unwrap();
        assert!(block.contains("Chrome, Linux") && block.contains("203.0.113.41"));
        let used = format!("{} <time", term(language, "last_used"));
        assert_eq!(block.matches(&used).count(), 2, "{block}");
        let (before, own) = block
            .split_once(&format!(">{}<", term(language, "this_browser")))
            .expect("the own one is told");
        assert!(before.contains("Safari, iPhone"), "{before}");
        assert!(!own.contains(term(language, "this_browser")));

        browser
            .submit("/account/browsers", &[("browser_id", "b1")])
            .await;
        let page = browser.follow().await;
        assert!(page.words().contains(&say(language, "done_browsers", &[])));
        assert!(!page.text.contains("value=\"b1\""), "{}", page.text);
        assert!(page.text.contains("value=\"b2\""));
        browser.submit("/account/browsers", &[]).await;
        let page = browser.follow().await;
        assert!(page.words().contains(&say(language, "browsers_none", &[])));
        assert_eq!(gateway.fakes.details("RevokeBrowsers"), ["b1", ""]);
    }
}
