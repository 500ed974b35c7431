//! A small HTTP client (RFC 9110, HTTP/1.1): one request a connection, no redirects, everything
//! bounded. For MTA-STS policies, certificates, and filters beside us.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use engine::{Clock, Tasks};
use http::{Method, Request, Uri, header};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;

use crate::dns::Dns;
use crate::send::{Reach, Verify, connect, tls};
use crate::{BoxStream, Roots};

/// Addresses of a host that are tried.
const ADDRESSES_MAX: usize = 4;

/// Makes requests.
#[derive(Clone)]
pub struct Http {
    clock: Arc<dyn Clock>,
    tasks: Tasks,
    dns: Arc<dyn Dns>,
    roots: Roots,
    reach: Reach,
}

/// What is asked for.
#[derive(Clone, Debug)]
pub struct Asked {
    /// GET, POST, HEAD…
    pub method: Method,
    /// `https://host[:port]/path` or `http://…`.
    pub url: String,
    /// Header fields.
    pub headers: Vec<(String, String)>,
    /// Body; empty for none.
    pub body: Bytes,
    /// For all of it, look-up and handshake included.
    pub time: Duration,
    /// An answer whose body is larger is a fault.
    pub answer_bytes_max: usize,
}

/// What was answered, whatever its status.
#[derive(Clone, Debug)]
pub struct Answered {
    /// Status, header fields and body.
    pub response: http::Response<Bytes>,
}

/// Why there is no answer, in one lower-case line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct HttpFault(String);

impl std::fmt::Debug for Http {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Http").field("reach", &self.reach).finish_non_exhaustive()
    }
}

impl Asked {
    /// A GET, with these bounds.
    #[must_use]
    pub fn get(url: &str, time: Duration, answer_bytes_max: usize) -> Self {
        Self {
            method: Method::GET,
            url: url.to_owned(),
            headers: vec![],
            body: Bytes::new(),
            time,
            answer_bytes_max,
        }
    }

    /// A POST of this body of this type, with these bounds.
    #[must_use]
    pub fn post(
        url: &str,
        kind: &str,
        body: Bytes,
        time: Duration,
        answer_bytes_max: usize,
    ) -> Self {
        let headers = vec![("Content-Type".to_owned(), kind.to_owned())];
        Self { method: Method::POST, headers, body, ..Self::get(url, time, answer_bytes_max) }
    }
}

impl Http {
    /// A client that goes only where `reach` lets it (E3), and verifies servers by `roots`.
    #[must_use]
    pub fn new(
        clock: Arc<dyn Clock>,
        tasks: Tasks,
        dns: Arc<dyn Dns>,
        roots: Roots,
        reach: Reach,
    ) -> Self {
        Self { clock, tasks, dns, roots, reach }
    }

    /// Asks, and reads the answer. A redirect is an answer like others: nothing is followed.
    /// # Errors
    /// [`HttpFault`]: no whole answer in time, or too large a one, or not from who it should be.
    pub async fn ask(&self, asked: Asked) -> Result<Answered, HttpFault> {
        let time = asked.time;
        match self.clock.timeout(time, self.ask_now(asked)).await {
            Ok(result) => result.map_err(HttpFault),
            Err(_) => Err(HttpFault("no answer in time".to_owned())),
        }
    }

    async fn ask_now(&self, asked: Asked) -> Result<Answered, String> {
        let url: Uri = asked.url.parse().map_err(|why| format!("no URL: {why}"))?;
        let host = url.host().ok_or("no host in the URL")?.to_owned();
        let secure = match url.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err("neither http nor https".to_owned()),
        };
        let port = url.port_u16().unwrap_or(if secure { 443 } else { 80 });
        let stream = self.connect(&host, port, secure, asked.time).await?;
        let request = request(&url, asked.method, &asked.headers, asked.body)?;
        let (mut sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(|why| why.to_string())?;
        // Dropping the sender, at the end of this function, ends it.
        let driven = self.tasks.spawn("http client", connection);
        let answer = async {
            let response = sender.send_request(request).await.map_err(|why| why.to_string())?;
            let (head, mut body) = response.into_parts();
            let mut bytes = BytesMut::new();
            while let Some(frame) = body.frame().await {
                let frame = frame.map_err(|why| why.to_string())?;
                let Ok(data) = frame.into_data() else { continue };
                if bytes.len() + data.len() > asked.answer_bytes_max {
                    return Err("the answer is too large".to_owned());
                }
                bytes.extend_from_slice(&data);
            }
            Ok(Answered { response: http::Response::from_parts(head, bytes.freeze()) })
        };
        let answer = answer.await;
        driven.abort();
        answer
    }

    async fn connect(
        &self,
        host: &str,
        port: u16,
        secure: bool,
        time: Duration,
    ) -> Result<BoxStream, String> {
        let literal = host.trim_start_matches('[').trim_end_matches(']');
        let addresses = match literal.parse::<IpAddr>() {
            Ok(address) => vec![address],
            Err(_) => {
                let found = self.dns.addresses(host).await.map_err(|why| why.to_string())?;
                found.records
            }
        };
        let mut last = "no address".to_owned();
        for address in addresses.into_iter().take(ADDRESSES_MAX) {
            // E3: resolved once, vetted, and this very address is connected to.
            let address = SocketAddr::new(address, port);
            match connect(&self.clock, None, address, &self.reach, time).await {
                Ok(stream) if secure => {
                    let verify = Verify::Names(vec![literal.to_owned()]);
                    let stream = Box::new(stream);
                    let alpn: &[&[u8]] = &[b"http/1.1"];
                    let secured = tls::connect(stream, literal, &verify, &self.roots, alpn).await?;
                    return Ok(secured.0);
                }
                Ok(stream) => return Ok(Box::new(stream)),
                Err(fault) => last = fault.why,
            }
        }
        Err(last)
    }
}

fn request(
    url: &Uri,
    method: Method,
    headers: &[(String, String)],
    body: Bytes,
) -> Result<Request<Full<Bytes>>, String> {
    let path = url.path_and_query().map_or("/", |path| path.as_str());
    let authority = url.authority().map_or("", |authority| authority.as_str());
    let mut request = Request::builder()
        .method(method)
        .uri(path)
        .header(header::HOST, authority)
        .header(header::USER_AGENT, "postroad")
        .header(header::CONNECTION, "close");
    for (name, value) in headers {
        request = request.header(name, value);
    }
    request.body(Full::new(body)).map_err(|why| why.to_string())
}

#[cfg(test)]
mod tests;
