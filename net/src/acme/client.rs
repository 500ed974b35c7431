//! Our HTTP client, as the library wants one.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body_util::BodyExt as _;
use instant_acme::{BodyWrapper, BytesResponse, Error, HttpClient};

use crate::http::{Asked, Http};

const TIME: Duration = Duration::from_secs(30);
const ANSWER_BYTES_MAX: usize = 1024 * 1024;

pub(super) struct Bridge(pub(super) Http);

impl HttpClient for Bridge {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, Error>> + Send>> {
        let http = self.0.clone();
        Box::pin(async move {
            let (head, body) = request.into_parts();
            let body = match body.collect().await {
                Ok(body) => body.to_bytes(),
                Err(never) => match never {},
            };
            let headers = head.headers.iter().filter_map(|(name, value)| {
                Some((name.as_str().to_owned(), value.to_str().ok()?.to_owned()))
            });
            let asked = Asked {
                method: head.method.clone(),
                url: head.uri.to_string(),
                headers: headers.collect(),
                body,
                time: TIME,
                answer_bytes_max: ANSWER_BYTES_MAX,
            };
            let answered = http.ask(asked).await.map_err(|why| Error::Other(Box::new(why)))?;
            let (parts, body) = answered.response.into_parts();
            Ok(BytesResponse { parts, body: Box::new(body) })
        })
    }
}
