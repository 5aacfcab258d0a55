//! Where the listeners come from: systemd, the process before this one, or the configuration.

use std::io;
use std::net::SocketAddr;
use std::net::TcpListener;

use crate::config::Config;
use crate::server::handover;
use crate::server::handover::Offer;
use crate::server::handover::Predecessor;
use crate::server::handover::Purpose;
use crate::server::inherited::Inherited;
use crate::server::workers;

/// All listeners of the gate.
pub struct Listeners {
    /// For clients.
    pub main: Vec<TcpListener>,
    /// For operators.
    pub admin: Vec<TcpListener>,
    /// The process that holds them too, and is to be told when this one is ready.
    pub predecessor: Option<Predecessor>,
}

impl Listeners {
    /// Takes the listeners that came with the process, or takes them over, and binds what is missing.
    ///
    /// # Errors
    /// Fails if a port can not be bound, or if the process before this one does not hand its own over.
    pub fn open(config: &Config, inherited: Inherited, workers: usize) -> io::Result<Self> {
        let Inherited { mut main, mut admin } = inherited;
        let mut predecessor = None;
        let path = &config.server.handover_socket;
        if main.is_empty()
            && !path.as_os_str().is_empty()
            && let Some(taken) = handover::take(path)?
        {
            for (purpose, listener) in taken.listeners {
                let (wanted, list) = match purpose {
                    Purpose::Main => (config.server.listen, &mut main),
                    Purpose::Admin => (config.admin_listen, &mut admin),
                };
                // one that is configured away is left to the process that has it
                if fits(listener.local_addr()?, wanted) {
                    list.push(listener);
                }
            }
            predecessor = Some(taken.predecessor);
            tracing::info!(main = main.len(), admin = admin.len(), "listeners taken over from the process before");
        }
        if main.is_empty() {
            main = workers::bind(config.server.listen, workers)?;
        }
        if admin.is_empty() {
            admin = workers::bind(config.admin_listen, 1)?;
        }
        Ok(Self { main, admin, predecessor })
    }

    /// Offers all of them to a process that comes after this one, if the configuration says where.
    ///
    /// # Errors
    /// Fails if they can not be offered there.
    pub fn offer(&self, config: &Config) -> io::Result<Option<Offer>> {
        let path = &config.server.handover_socket;
        if path.as_os_str().is_empty() {
            return Ok(None);
        }
        let main = self.main.iter().map(|listener| (Purpose::Main, listener));
        let admin = self.admin.iter().map(|listener| (Purpose::Admin, listener));
        let copies: io::Result<Vec<_>> =
            main.chain(admin).map(|(purpose, listener)| Ok((purpose, listener.try_clone()?))).collect();
        Offer::new(path, copies?).map(Some)
    }
}

/// Port 0 in the configuration is any port.
fn fits(address: SocketAddr, wanted: SocketAddr) -> bool {
    address.ip() == wanted.ip() && (wanted.port() == 0 || address.port() == wanted.port())
}

/// Deals the listeners out to the workers, so that each worker has one at least and none is left over: what waits at a
/// listener that nobody accepts from would wait for ever.
///
/// # Errors
/// Fails if a listener can not be shared.
pub fn deal(listeners: Vec<TcpListener>, workers: usize) -> io::Result<Vec<Vec<TcpListener>>> {
    let mut hands: Vec<Vec<TcpListener>> = Vec::with_capacity(workers);
    let short = workers.saturating_sub(listeners.len());
    let shared: io::Result<Vec<_>> = listeners.iter().cycle().take(short).map(TcpListener::try_clone).collect();
    for (index, listener) in listeners.into_iter().chain(shared?).enumerate() {
        match hands.get_mut(index.checked_rem(workers).unwrap_or_default()) {
            Some(hand) => hand.push(listener),
            None => hands.push(vec![listener]),
        }
    }
    Ok(hands)
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::deal;
    use super::fits;

    #[test]
    fn every_worker_has_a_listener_and_every_listener_a_worker() {
        for (listeners, workers, hands) in
            [(1, 1, vec![1]), (1, 3, vec![1, 1, 1]), (3, 3, vec![1, 1, 1]), (5, 2, vec![3, 2]), (2, 5, vec![1; 5])]
        {
            let bound = (0..listeners).map(|_| TcpListener::bind(("127.0.0.1", 0)).expect("a port")).collect();
            let dealt = deal(bound, workers).expect("listeners");
            assert_eq!(dealt.iter().map(Vec::len).collect::<Vec<_>>(), hands);
        }
    }

    #[test]
    fn a_listener_fits_its_address_and_any_port() {
        let address = |text: &str| text.parse().expect("an address");
        assert!(fits(address("127.0.0.1:80"), address("127.0.0.1:80")));
        assert!(fits(address("127.0.0.1:80"), address("127.0.0.1:0")));
        assert!(!fits(address("127.0.0.1:80"), address("127.0.0.1:81")));
        assert!(!fits(address("127.0.0.1:80"), address("[::1]:80")));
    }
}
