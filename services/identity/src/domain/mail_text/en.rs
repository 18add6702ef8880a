//! English.

use super::{Message, Notice, Text, instant};

pub(super) fn word(message: Message<'_>) -> Text {
    match message {
        Message::Invitation { link, until } => Text {
            subject: "Choose your password".to_owned(),
            body: format!(
                "You have been invited to the portal. Choose your password here:\n\n\
                 {link}\n\n\
                 The link works once, until {}.\n\n\
                 If you did not expect this mail, you need do nothing.\n",
                instant(until)
            ),
        },
        Message::Reset { link, until } => Text {
            subject: "Set a new password".to_owned(),
            body: format!(
                "Somebody asked for a new password for this address. Set it here:\n\n\
                 {link}\n\n\
                 The link works once, until {}.\n\n\
                 If it was not you, you need do nothing: your password stays as it is.\n",
                instant(until)
            ),
        },
        Message::Enrolment { link, until } => Text {
            subject: "Set up your codes again".to_owned(),
            body: format!(
                "Your password was entered and a link was asked for, because codes to your\n\
                 number no longer sign in. Confirm a mobile number here:\n\n\
                 {link}\n\n\
                 The link works once, until {}. You will be asked for your password.\n\n\
                 If it was not you, somebody knows your password: set a new one at once with\n\
                 \"Forgotten password\" on the sign-in page, and tell your administrator.\n",
                instant(until)
            ),
        },
        Message::Notice { notice, at, portal } => {
            let (subject, what) = notice_words(notice);
            Text {
                subject: subject.to_owned(),
                body: format!(
                    "{what}\n\n\
                     Time: {}\n\n\
                     If it was not you, set a new password at once and tell your administrator:\n\
                     {portal}\n",
                    instant(at)
                ),
            }
        }
    }
}

fn notice_words(notice: Notice) -> (&'static str, &'static str) {
    match notice {
        Notice::PasswordChanged => (
            "Your password was changed",
            "The password of your account was changed.\nOther sessions have been ended.",
        ),
        Notice::SignInClosed => (
            "Too many wrong passwords",
            "A wrong password was given for your account so often that only browsers which\n\
             you asked us to remember can still sign in. To open sign-in again, use\n\
             \"Forgotten password\" on the sign-in page.",
        ),
        Notice::TwoFactorEnabled => (
            "Two-factor authentication is on",
            "Two-factor authentication was switched on for your account.",
        ),
        Notice::TwoFactorDisabled => (
            "Two-factor authentication is off",
            "Two-factor authentication was switched off for your account.",
        ),
        Notice::NumberChanged => (
            "Your codes go to another number",
            "The number that receives your codes was changed.",
        ),
        Notice::RecoveryCodeUsed => (
            "A recovery code was used",
            "One of your recovery codes was used.",
        ),
        Notice::RecoveryCodesRemade => (
            "You have new recovery codes",
            "Your recovery codes were replaced. The old ones no longer work.",
        ),
        Notice::SecondStepLocked => (
            "The code page is locked for a while",
            "Wrong codes were given for your account after your password was entered\n\
             correctly. The second step is locked for a while.",
        ),
        Notice::SecondStepDisabled => (
            "Codes to your number no longer sign in",
            "Very many wrong codes were given for your account. Codes by text message and of an\n\
             authenticator app are disabled. To sign in, use a recovery code, or have a link\n\
             mailed from the code page.",
        ),
        Notice::BrowserRemembered => (
            "A browser is remembered",
            "A browser was remembered for your account: it may sign in without a code.",
        ),
        Notice::PhoneLost => (
            "Your phone was reported lost",
            "Your password was entered, and your phone was reported lost. Codes by text message\n\
             are disabled, your sessions have been ended, and remembered browsers are forgotten.\n\
             The code page has the other ways to sign in.",
        ),
        Notice::AuthenticatorAdded => (
            "An authenticator app was set up",
            "An authenticator app was set up for your account: its codes sign in from now on.\n\
             One that was set up before no longer works.",
        ),
        Notice::AuthenticatorRemoved => (
            "The authenticator app was removed",
            "The authenticator app of your account was removed. Its codes no longer sign in.",
        ),
        Notice::PasskeyAdded => (
            "A passkey was added",
            "A passkey was added to your account: it signs in from now on, after your password.",
        ),
        Notice::PasskeyRemoved => (
            "A passkey was removed",
            "A passkey of your account was removed. It no longer signs in.",
        ),
        Notice::PasskeyCopied => (
            "A passkey was refused",
            "A passkey of your account was refused, because it counted fewer uses than we did: it\n\
             may have been copied. Remove it on the page Passkeys and add it anew.",
        ),
    }
}
