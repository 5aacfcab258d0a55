//! Orders and questions to the gate that runs.

use std::io;
use std::net::IpAddr;
use std::net::Ipv4Addr;
use std::net::Ipv6Addr;
use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use glance_gate::client::json::JsonAnswer;
use glance_gate::client::json::JsonClient;
use glance_gate::client::json::Limits;
use glance_gate::config::load;
use glance_gate::server::admin::X_GLANCE_GATE_ORDER;
use http::Method;
use http::Request;
use http::StatusCode;
use http_body_util::Full;

use crate::command::EXIT_MISTAKES;
use crate::command::control_runtime;
use crate::command::environment;

/// Has the gate that runs do something, and tells what became of it.
///
/// # Errors
/// Fails if no gate answers there.
pub fn order(target: &str, path: &Path, admin: Option<SocketAddr>) -> io::Result<ExitCode> {
    let address = address(path, admin);
    let answer = control_runtime()?.block_on(send_order(address, Method::POST, target));
    let answer = answer.map_err(|error| io::Error::other(format!("the gate at {address}: {error}")))?;
    let told = String::from_utf8_lossy(&answer.body);
    match answer.status {
        StatusCode::OK => {
            print!("{told}");
            Ok(ExitCode::SUCCESS)
        }
        StatusCode::UNPROCESSABLE_ENTITY => {
            eprint!("{told}");
            Ok(ExitCode::from(EXIT_MISTAKES))
        }
        StatusCode::FORBIDDEN => {
            Err(io::Error::other(format!("what listens at {address} takes no orders from here: {}", told.trim_end())))
        }
        status => Err(io::Error::other(format!("what listens at {address} answers {status}: no gate's admin.listen"))),
    }
}

/// Sends a request that is meant to the operators' listener.
///
/// # Errors
/// Tells why there is no answer.
pub async fn send_order(address: SocketAddr, method: Method, target: &str) -> io::Result<JsonAnswer> {
    let limits = Limits {
        connect_timeout: Duration::from_secs(5),
        call_timeout: Duration::from_mins(1),
        answer_bytes: 1024 * 1024,
        idle_connections: 0,
    };
    let request = Request::builder()
        .method(method)
        .uri(format!("http://{address}{target}"))
        .header(X_GLANCE_GATE_ORDER, "1")
        .body(Full::default())
        .map_err(io::Error::other)?;
    JsonClient::new(limits, None)?.send(request).await.map_err(io::Error::other)
}

/// Returns where the gate that runs listens for operators.
pub fn address(path: &Path, admin: Option<SocketAddr>) -> SocketAddr {
    reachable(admin.unwrap_or_else(|| load::admin_listen(path, &environment())))
}

/// Where a listener on all addresses of this machine can be connected to.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}
