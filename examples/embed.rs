//! A program with a broker in it: one client on a link within the process
//! counts what sensors publish from outside, and answers.
//!
//! ```sh
//! cargo run --example embed
//! mqtt-sub -v -t 'count'                          # in another terminal
//! mqtt-pub -t maison/salon/temp -m 21.5 -q 1      # in a third
//! ```

use std::error::Error;

use moustique::Broker;
use moustique::client::Event;
use moustique::codec::{Properties, QoS, SubscriptionOptions, SubscriptionRequest};
use moustique::config::Config;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let config = Config::parse("listener 1883 localhost\nallow_anonymous true\n", "embed")?;
    let running = Broker::bind(config)?.start()?;

    let mut client = running.link("counter").await?;
    let options = SubscriptionOptions {
        qos: QoS::AtLeastOnce,
        ..SubscriptionOptions::default()
    };
    let filter = "maison/#";
    client.subscribe(
        &[SubscriptionRequest { filter, options }],
        &Properties::new(),
    )?;

    let mut count = 0u32;
    loop {
        match client.next_event().await {
            Event::Message(message) => {
                count += 1;
                println!("{} brought {} bytes", message.topic, message.payload.len());
                let text = count.to_string();
                client.publish(
                    "count",
                    text.as_bytes(),
                    QoS::AtLeastOnce,
                    true,
                    &Properties::new(),
                )?;
            }
            Event::Disconnected(reason) => return Err(reason.to_string().into()),
            _ => {}
        }
    }
}
