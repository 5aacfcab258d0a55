//! An upstream on a socket in the file system.

use crate::client::Connection;
use crate::harness::Directory;
use crate::harness::Gate;
use crate::harness::eventually;
use crate::harness::run;
use crate::scripted::Act;
use crate::scripted::Upstream;
use crate::scripted::ok;

#[test]
fn a_socket_in_the_file_system_is_an_upstream() {
    run(async {
        let directory = Directory::new();
        let path = directory.path().join("glance.sock");
        let upstream = Upstream::start_at(&path, |_| Act::Answer(ok("here")));
        let gate = Gate::start(|config| {
            config.upstream.servers = vec![format!("unix:{}", path.display())];
            config.server.workers = 1;
        })
        .await;
        for _ in 0..2 {
            let call = gate.call("PUT", "/v2/images/71c675ab-d94f-49cd-a114-e12490b328d9/file");
            let reply = call.header("Host", "glance.example.org").body(vec![7; 300_000]).send().await;
            assert_eq!((reply.status, reply.text().as_str()), (200, "here"));
        }
        // who names no host gets one
        let mut connection = Connection::open(gate.address).await;
        connection.send("GET /v2/images HTTP/1.0\r\n\r\n").await;
        assert_eq!(connection.reply("GET").await.status, 200);
        let arrived = upstream.arrived();
        assert_eq!(upstream.connections(), [1, 1, 1]);
        assert_eq!(arrived[1].body_length, 300_000);
        assert!(arrived[0].head.contains("\r\nhost: glance.example.org\r\n"), "{}", arrived[0].head);
        assert!(arrived[2].head.contains("\r\nhost: localhost\r\n"), "{}", arrived[2].head);
        // it is healthy as long as somebody is there
        eventually("a check has passed", || async { upstream.checks() > 1 }).await;
        assert_eq!(gate.admin("/readyz").await.status, 200);
        drop(upstream);
        std::fs::remove_file(&path).expect("a socket");
        eventually("the health checks fail", || async { gate.admin("/readyz").await.status == 503 }).await;
    });
}
