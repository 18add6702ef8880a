//! otp-api.

use sallyport_chassis::clock::to_proto;
use sallyport_chassis::{Clock, Refusal, SystemClock};
use sallyport_phone::{Country, parse};
use sallyport_proto::otp::v1::number_service_server::{NumberService, NumberServiceServer};
use sallyport_proto::otp::v1::sms_inbox_service_server::{SmsInboxService, SmsInboxServiceServer};
use sallyport_proto::otp::v1::*;
use tonic::transport::server::Router;
use tonic::{Request, Response, Status};

use super::Fakes;

type Answer<T> = Result<Response<T>, Status>;

pub fn add(fakes: &Fakes, router: Router) -> Router {
    router
        .add_service(NumberServiceServer::new(fakes.clone()))
        .add_service(SmsInboxServiceServer::new(fakes.clone()))
}

#[tonic::async_trait]
impl NumberService for Fakes {
    async fn validate_number(
        &self,
        r: Request<ValidateNumberRequest>,
    ) -> Answer<ValidateNumberResponse> {
        let detail = r.get_ref().input.clone();
        drop(self.take("ValidateNumber", &r, &detail)?);
        let country: Option<Country> = r.get_ref().country.parse().ok();
        let number = parse(&r.get_ref().input, country)
            .map_err(|error| Refusal::field(error.field(), error.reason()))
            .map_err(Status::from)?;
        Ok(Response::new(ValidateNumberResponse {
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
        r: Request<ListCountriesRequest>,
    ) -> Answer<ListCountriesResponse> {
        drop(self.take("ListCountries", &r, "")?);
        let countries = Country::all()
            .map(|country| ServedCountry {
                country: country.code().to_owned(),
                calling_code: country.calling_code().into(),
            })
            .collect();
        Ok(Response::new(ListCountriesResponse { countries }))
    }
}

#[tonic::async_trait]
impl SmsInboxService for Fakes {
    async fn list_sms(&self, r: Request<ListSmsRequest>) -> Answer<ListSmsResponse> {
        let detail = r.get_ref().to.clone();
        drop(self.take("ListSms", &r, &detail)?);
        let sms = Sms {
            to: "+14165550123".into(),
            sequence: 1,
            text: "Sallyport KTR: your sign-in code is below.\n@localhost #042137".into(),
            at: Some(to_proto(SystemClock.now())),
        };
        Ok(Response::new(ListSmsResponse {
            messages: vec![sms],
        }))
    }
}
