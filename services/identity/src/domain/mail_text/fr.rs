//! French, as in Canada.

use super::{Message, Notice, Text, instant};

pub(super) fn word(message: Message<'_>) -> Text {
    match message {
        Message::Invitation { link, until } => Text {
            subject: "Choisissez votre mot de passe".to_owned(),
            body: format!(
                "Vous êtes invité au portail. Choisissez votre mot de passe ici :\n\n\
                 {link}\n\n\
                 Le lien fonctionne une seule fois, jusqu'au {}.\n\n\
                 Si vous n'attendiez pas ce courriel, vous n'avez rien à faire.\n",
                instant(until)
            ),
        },
        Message::Reset { link, until } => Text {
            subject: "Définissez un nouveau mot de passe".to_owned(),
            body: format!(
                "Quelqu'un a demandé un nouveau mot de passe pour cette adresse.\n\
                 Définissez-le ici :\n\n\
                 {link}\n\n\
                 Le lien fonctionne une seule fois, jusqu'au {}.\n\n\
                 Si ce n'était pas vous, vous n'avez rien à faire : votre mot de passe reste\n\
                 le même.\n",
                instant(until)
            ),
        },
        Message::Enrolment { link, until } => Text {
            subject: "Configurez de nouveau vos codes".to_owned(),
            body: format!(
                "Votre mot de passe a été entré et un lien a été demandé, car les codes envoyés\n\
                 à votre numéro ne permettent plus la connexion. Confirmez un numéro de mobile\n\
                 ici :\n\n\
                 {link}\n\n\
                 Le lien fonctionne une seule fois, jusqu'au {}.\n\
                 Votre mot de passe sera demandé.\n\n\
                 Si ce n'était pas vous, quelqu'un connaît votre mot de passe : changez-le tout de\n\
                 suite par « Mot de passe oublié » à la page de connexion, et avertissez votre\n\
                 administrateur.\n",
                instant(until)
            ),
        },
        Message::Notice { notice, at, portal } => {
            let (subject, what) = notice_words(notice);
            Text {
                subject: subject.to_owned(),
                body: format!(
                    "{what}\n\n\
                     Heure : {}\n\n\
                     Si ce n'était pas vous, définissez tout de suite un nouveau mot de passe et\n\
                     avertissez votre administrateur :\n\
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
            "Votre mot de passe a été modifié",
            "Le mot de passe de votre compte a été modifié.\nLes autres sessions ont été fermées.",
        ),
        Notice::SignInClosed => (
            "Trop de mots de passe erronés",
            "Un mot de passe erroné a été donné si souvent pour votre compte que seuls les\n\
             navigateurs mémorisés peuvent encore se connecter. Pour rouvrir la connexion,\n\
             utilisez « Mot de passe oublié » sur la page de connexion.",
        ),
        Notice::TwoFactorEnabled => (
            "L'authentification 2FA est activée",
            "L'authentification à deux facteurs a été activée pour votre compte.",
        ),
        Notice::TwoFactorDisabled => (
            "L'authentification 2FA est désactivée",
            "L'authentification à deux facteurs a été désactivée pour votre compte.",
        ),
        Notice::NumberChanged => (
            "Vos codes vont à un autre numéro",
            "Le numéro qui reçoit vos codes a été modifié.",
        ),
        Notice::RecoveryCodeUsed => (
            "Un code de secours a été utilisé",
            "Un de vos codes de secours a été utilisé.",
        ),
        Notice::RecoveryCodesRemade => (
            "Vous avez de nouveaux codes de secours",
            "Vos codes de secours ont été remplacés. Les anciens ne fonctionnent plus.",
        ),
        Notice::SecondStepLocked => (
            "La page du code est verrouillée temporairement",
            "Des codes erronés ont été donnés pour votre compte après la saisie correcte de\n\
             votre mot de passe. La deuxième étape est verrouillée temporairement.",
        ),
        Notice::SecondStepDisabled => (
            "Les codes à votre numéro ne connectent plus",
            "De très nombreux codes erronés ont été donnés pour votre compte. Les codes par\n\
             texto et ceux d'une application sont désactivés. Pour vous connecter, utilisez un\n\
             code de secours, ou demandez un lien par courriel à la page du code.",
        ),
        Notice::BrowserRemembered => (
            "Un navigateur est mémorisé",
            "Un navigateur a été mémorisé pour votre compte : il peut se connecter sans code.",
        ),
        Notice::PhoneLost => (
            "Votre téléphone a été déclaré perdu",
            "Votre mot de passe a été entré, et votre téléphone a été déclaré perdu. Les codes\n\
             par texto sont désactivés, vos sessions sont fermées et les navigateurs mémorisés\n\
             sont oubliés. La page du code offre les autres moyens de connexion.",
        ),
        Notice::AuthenticatorAdded => (
            "Une application d'authentification est configurée",
            "Une application d'authentification a été configurée pour votre compte : ses codes\n\
             permettent désormais la connexion. Celle d'avant ne fonctionne plus.",
        ),
        Notice::AuthenticatorRemoved => (
            "L'application d'authentification est retirée",
            "L'application d'authentification de votre compte a été retirée. Ses codes ne\n\
             permettent plus la connexion.",
        ),
        Notice::PasskeyAdded => (
            "Une clé d'accès est ajoutée",
            "Une clé d'accès a été ajoutée à votre compte : elle permet désormais la connexion,\n\
             après votre mot de passe.",
        ),
        Notice::PasskeyRemoved => (
            "Une clé d'accès est retirée",
            "Une clé d'accès de votre compte a été retirée. Elle ne permet plus la connexion.",
        ),
        Notice::PasskeyCopied => (
            "Une clé d'accès est refusée",
            "Une clé d'accès de votre compte a été refusée, car elle compte moins d'utilisations\n\
             que nous : elle a pu être copiée. Retirez-la à la page Clés d'accès, puis\n\
             ajoutez-la de nouveau.",
        ),
    }
}
