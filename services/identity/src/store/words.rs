//! Enums of the domain as columns of text: a word for each variant.

/// Lets an enum be a column of a row; `length` is the column's.
macro_rules! stored_as_words {
    ($name:ident, $length:literal, { $($variant:ident => $word:literal,)+ }) => {
        impl From<$name> for sea_orm::Value {
            fn from(variant: $name) -> Self {
                let word = match variant {
                    $($name::$variant => $word,)+
                };
                word.into()
            }
        }

        impl sea_orm::TryGetable for $name {
            fn try_get_by<I: sea_orm::ColIdx>(
                row: &sea_orm::QueryResult,
                index: I,
            ) -> Result<Self, sea_orm::TryGetError> {
                let word = <String as sea_orm::TryGetable>::try_get_by(row, index)?;
                match word.as_str() {
                    $($word => Ok(Self::$variant),)+
                    _ => {
                        let unknown = concat!("a word that no ", stringify!($name), " has");
                        Err(sea_orm::DbErr::Type(unknown.to_owned()).into())
                    }
                }
            }
        }

        impl sea_orm::sea_query::ValueType for $name {
            fn try_from(
                value: sea_orm::Value,
            ) -> Result<Self, sea_orm::sea_query::ValueTypeErr> {
                let word = <String as sea_orm::sea_query::ValueType>::try_from(value)?;
                match word.as_str() {
                    $($word => Ok(Self::$variant),)+
                    _ => Err(sea_orm::sea_query::ValueTypeErr),
                }
            }

            fn type_name() -> String {
                stringify!($name).to_owned()
            }

            fn array_type() -> sea_orm::sea_query::ArrayType {
                sea_orm::sea_query::ArrayType::String
            }

            fn column_type() -> sea_orm::sea_query::ColumnType {
                let length = sea_orm::sea_query::StringLen::N($length);
                sea_orm::sea_query::ColumnType::String(length)
            }
        }

        impl sea_orm::sea_query::Nullable for $name {
            fn null() -> sea_orm::Value {
                <String as sea_orm::sea_query::Nullable>::null()
            }
        }
    };
}

pub(super) use stored_as_words;

#[cfg(test)]
mod tests {
    use sea_orm::Value;
    use sea_orm::sea_query::ValueType;

    use crate::domain::link::Purpose;
    use crate::domain::session::Stage;

    fn read<T: ValueType>(word: &str) -> Option<T> {
        <T as ValueType>::try_from(Value::from(word)).ok()
    }

    #[test]
    fn rows_keep_the_words_that_earlier_releases_wrote() {
        for (stage, word) in [
            (Stage::AwaitingSecondFactor, "awaiting_second_factor"),
            (Stage::SignedIn, "signed_in"),
        ] {
            assert_eq!(Value::from(stage), Value::from(word));
            assert_eq!(read(word), Some(stage));
        }
        for (purpose, word) in [
            (Purpose::Invitation, "invitation"),
            (Purpose::Reset, "reset"),
            (Purpose::Enrolment, "enrolment"),
        ] {
            assert_eq!(Value::from(purpose), Value::from(word));
            assert_eq!(read(word), Some(purpose));
        }
        assert_eq!(read::<Stage>("enrolment"), None);
        assert_eq!(read::<Purpose>("signed_in"), None);
    }
}
