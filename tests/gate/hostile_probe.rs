//! Probe.
use crate::client::Connection;
use crate::harness::run;
use crate::hostile::Stage;
#[test]
fn hostile_probe() {
    run(async {
        let stage = Stage::new().await;
        for t in [
            "GET /< HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET /> HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET /` HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET /\" HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET /{ HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET /^| HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET /?< HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET /?\" HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET /?> HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET http:// HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET x HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET a:b:c HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET : HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET ://x HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET ?x HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET x/y HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET @ HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET http://[/ HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET h!://x/ HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET /v2/images HTTP/1.0\r\nX-Auth-Token: «token»\r\n\r\n",
            "GET /v2/images HTTP/1.1\r\nHost: :\r\nX-Auth-Token: «token»\r\n\r\n",
            "GET /v2/images HTTP/1.1\r\nHost: [::1\r\nX-Auth-Token: «token»\r\n\r\n",
            "GET /v2/images HTTP/1.1\r\nHost: a:b:c%\r\nX-Auth-Token: «token»\r\n\r\n",
            "«put»Transfer-Encoding: chunked\r\n\r\n16\r\n«json»\r\n0\r\nX\r\n\r\n",
            "«put»Transfer-Encoding: chunked\r\n\r\n16\r\n«json»\r\n0\r\nX Y: 1\r\n\r\n",
            "«put»Transfer-Encoding: chunked\r\n\r\n16\r\n«json»\r\n0\r\n«X: a~*110»\r\n",
            "PUT «target» HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
            "PUT /v2/images/«image»/file HTTP/1.1\r\nHost: a\r\nX-Auth-Token: «owner»\r\nContent-Type: application/octet-stream\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nzz\r\n",
            "«get»«X-Many: a~*98»\r\n",
            "«get»«X-Many: a~*97»\r\n",
            "«get»«X-Many: a~*96»\r\n",
            "«put»Expect: 100-continue\r\nContent-Length: 70000\r\n\r\n",
            "PUT «target» HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 22\r\n\r\n",
            "«put»X-Forwarded-Ssl: on\r\nX-Forwarded-Scheme: x\r\nX-Url-Scheme: https\r\nFront-End-Https: on\r\nX-Forwarded-Protocol: ssl\r\nRemote-User: admin\r\nX-Remote-User: a\r\nX-External-User: x\r\nX-Token-Info: 1\r\nX-Image-Meta-Owner: x\r\nX-Trust-Id: a\r\nX-Auth-Plugin: a\r\nX-Client-IP: 1\r\nTrue-Client-IP: 1\r\nX-Original-Host: evil\r\nX-Host: evil\r\nX-Original-Method: x\r\nX-Request-Id: a\r\nDestination: b\r\nX-Accel-Redirect: /x\r\nX-Sendfile: /etc/passwd\r\nX-Forwarded-By: q\r\nX-Cluster-Client-Ip: 1\r\nContent-Length: 22\r\n\r\n«json»",
            "«put»Content-Length: 26\r\n\r\n{\"status\": \"accepted\",\"\":1e999}",
        ] {
            stage.gate.glance.clear();
            let mut c = Connection::open(stage.gate.address).await;
            c.try_send(stage.bytes(t)).await;
            let r = tokio::time::timeout(std::time::Duration::from_secs(1), c.try_reply("GET")).await;
            let t = &t[..t.len().min(150)];
            match r {
                Ok(Some(r)) => println!(
                    "{t:?}\n   -> {} id={:?} conn={:?} {:?}",
                    r.status,
                    r.header("x-openstack-request-id"),
                    r.header("connection"),
                    &r.text().replace('\n', " ").chars().take(70).collect::<String>()
                ),
                Ok(None) => println!("{t:?}\n   -> CLOSED"),
                Err(_) => println!("{t:?}\n   -> TIMEOUT"),
            }
            for s in stage.gate.seen() {
                println!(
                    "        seen {} {} {:?} body={}",
                    s.method,
                    s.target,
                    s.headers.iter().filter(|h| h.0 != "x-auth-token" && h.0 != "x-many").collect::<Vec<_>>(),
                    s.body_text()
                );
            }
        }
        let gate = crate::harness::Gate::start(|config| config.server.connection.max_head_bytes = 512 * 1024).await;
        for t in [
            "GET /«a*70000» HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\n«a*70000»: b\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nX: «a*70000»\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\n«X-L: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa~*99»\r\n",
        ] {
            let mut c = Connection::open(gate.address).await;
            c.try_send(stage.bytes(t)).await;
            let r = c.try_reply("GET").await;
            println!("big {t} {:?}", r.map(|r| (r.status, r.headers)));
        }
    });
}
