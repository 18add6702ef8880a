//! From what was typed to a number that may be sent a code.

use rlibphonenumber::{PhoneNumber as PlanNumber, PhoneNumberFormat, PhoneNumberType};

use crate::{
    Country, PhoneError, PhoneNumber,
    number::{calling_code, country, in_plan_of},
    typed::Typed,
};

/// Reads a typed number with the country picked beside it.
///
/// - Without a leading `+` or `00` and without a picked country nothing is guessed.
/// - A leading `+` or `00` wins over the picker, and must agree with it. What counts is the
///   number's range and not its calling code alone: +1 416… is Canada's and disagrees with the
///   United States, +44 7781… is Guernsey's and disagrees with the United Kingdom, in national
///   spelling too. Where territories share a range, each of them agrees: a +590 690… mobile may
///   be picked as Guadeloupe's, Saint Martin's or Saint Barthélemy's.
/// - Spaces, dots, dashes and brackets are dropped; the trunk prefix goes by the country's own
///   rule, so that Italy keeps its zero and France does not.
/// - A number in no range of its plan is invalid, however possible its length. Nobody has it, and no
///   country can be named for it; it is what slips look like, such as a mobile of Guadeloupe typed
///   under France, or one of Brazil without its area code; and it is what fraud on SMS likes.
/// - Mobiles are taken, and ranges that a plan does not split into mobile and fixed (as in North
///   America) or whose kind it does not tell: the confirming code proves the rest. Besides the
///   kinds that never receive SMS, three that may are refused: VoIP, which does not prove possession
///   of a device (NIST SP 800-63B-4, section 3.1.3.1), personal numbers, which forward to whatever
///   device and at any price, and company-wide access numbers.
///
/// # Errors
///
/// Every [`PhoneError`] but `CountryNotServed`. A number that no plan has is `Invalid` before it
/// disagrees with the picker, since its country cannot be named for certain.
pub fn parse(input: &str, picked: Option<Country>) -> Result<PhoneNumber, PhoneError> {
    let plan = match Typed::read(input)? {
        Typed::International(digits) => PlanNumber::parse(format!("+{digits}"), None),
        Typed::National(digits) => {
            let picked = picked.ok_or(PhoneError::CountryRequired)?;
            PlanNumber::parse(digits, Some(picked.region()))
        }
    }
    .map_err(|_| PhoneError::Invalid)?;
    if !plan.is_valid() {
        return Err(PhoneError::Invalid);
    }
    if let Some(picked) = picked
        && !in_plan_of(&plan, picked)
    {
        return Err(PhoneError::CountryMismatch {
            typed: country(&plan),
            typed_code: calling_code(&plan)?,
            picked,
        });
    }
    if !receives_sms(plan.get_type()) {
        return Err(PhoneError::NotSmsCapable);
    }
    // Through the reader of the stored form, so that nothing is accepted which the next read
    // of the store would refuse.
    PhoneNumber::parse_e164(&plan.format_as(PhoneNumberFormat::E164))
}

/// Whether numbers of this kind may be sent a code.
fn receives_sms(kind: PhoneNumberType) -> bool {
    use PhoneNumberType as Kind;
    match kind {
        // `Unknown` is also what the library calls a number in no range; `is_valid` has refused
        // those. It leaves none today, as the library knows the kind of each range of its plans.
        Kind::Mobile | Kind::FixedLineOrMobile | Kind::Unknown => true,
        Kind::FixedLine
        | Kind::TollFree
        | Kind::PremiumRate
        | Kind::SharedCost
        | Kind::VoIP
        | Kind::PersonalNumber
        | Kind::Pager
        | Kind::UAN
        | Kind::VoiceMail => false,
    }
}
