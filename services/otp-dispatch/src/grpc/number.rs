//! `NumberService`.

use std::sync::Arc;

use sallyport_phone::Country;
use sallyport_proto::otp::v1 as pb;
use sallyport_proto::otp::v1::number_service_server::NumberService;
use tonic::{Request, Response, Status};

use crate::app::{Otp, OtpError};

/// The longest text that may be a number, in bytes.
const LONGEST: usize = 100;

pub(super) struct Numbers(pub(super) Arc<Otp>);

#[tonic::async_trait]
impl NumberService for Numbers {
    async fn validate_number(
        &self,
        request: Request<pb::ValidateNumberRequest>,
    ) -> Result<Response<pb::ValidateNumberResponse>, Status> {
        let request = request.into_inner();
        if request.input.len() > LONGEST {
            let field = "mobile_number";
            return Err(OtpError::Field {
                field,
                reason: "phone.invalid",
            }
            .into());
        }
        let picked: Option<Country> = match request.country.as_str() {
            "" => None,
            code => Some(code.parse().map_err(|_| OtpError::Field {
                field: "country",
                reason: "country.unknown",
            })?),
        };
        let number = self.0.validate_number(&request.input, picked)?;
        Ok(Response::new(pb::ValidateNumberResponse {
            e164: number.e164().to_owned(),
            international: number.international(),
            country: number
                .country()
                .map(|c| c.code().to_owned())
                .unwrap_or_default(),
        }))
    }

    async fn list_countries(
        &self,
        _request: Request<pb::ListCountriesRequest>,
    ) -> Result<Response<pb::ListCountriesResponse>, Status> {
        let countries = self
            .0
            .countries()
            .into_iter()
            .map(|country| pb::ServedCountry {
                country: country.code().to_owned(),
                calling_code: country.calling_code().into(),
            })
            .collect();
        Ok(Response::new(pb::ListCountriesResponse { countries }))
    }
}
