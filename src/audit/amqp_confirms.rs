//! What `RabbitMQ` says of messages that were published: confirmations, and those that no queue wanted.

use amqprs::Ack;
use amqprs::BasicProperties;
use amqprs::Cancel;
use amqprs::CloseChannel;
use amqprs::Nack;
use amqprs::Return;
use amqprs::callbacks::ChannelCallback;
use amqprs::channel::Channel;
use async_trait::async_trait;
use tokio::sync::mpsc;

/// What was said of one message, or of several, by their numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Confirm {
    /// It has all up to this one.
    UpTo(u64),
    /// It has this one.
    Single(u64),
    /// No queue wants this one; it is confirmed all the same.
    Unwanted(u64),
    /// It could not keep one.
    Refused,
}

/// Hands on what is said; ends with its channel.
#[derive(Debug)]
pub struct Confirms {
    sender: mpsc::UnboundedSender<Confirm>,
}

impl Confirms {
    /// Hands it on to there.
    pub fn new(sender: mpsc::UnboundedSender<Confirm>) -> Self {
        Self { sender }
    }

    fn tell(&self, confirm: Confirm) {
        // nobody waits for it any more once the connection is given up
        let _ = self.sender.send(confirm);
    }
}

#[async_trait]
impl ChannelCallback for Confirms {
    async fn close(&mut self, _: &Channel, _: CloseChannel) -> Result<(), amqprs::error::Error> {
        self.tell(Confirm::Refused);
        Ok(())
    }

    async fn cancel(&mut self, _: &Channel, _: Cancel) -> Result<(), amqprs::error::Error> {
        Ok(())
    }

    async fn flow(&mut self, _: &Channel, active: bool) -> Result<bool, amqprs::error::Error> {
        Ok(active)
    }

    async fn publish_ack(&mut self, _: &Channel, ack: Ack) {
        let number = ack.delivery_tag();
        self.tell(if ack.mutiple() { Confirm::UpTo(number) } else { Confirm::Single(number) });
    }

    async fn publish_nack(&mut self, _: &Channel, _: Nack) {
        self.tell(Confirm::Refused);
    }

    async fn publish_return(&mut self, _: &Channel, _: Return, properties: BasicProperties, _: Vec<u8>) {
        if let Some(number) = properties.message_id().and_then(|id| id.parse().ok()) {
            self.tell(Confirm::Unwanted(number));
        }
    }
}
