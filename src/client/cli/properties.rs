//! `-D packet property value`: MQTT 5 properties on the command line.

use super::failure::Failure;
use crate::codec::{Properties, Property};

pub(super) const HELP: &str = "Add an MQTT 5 property to a packet (connect, publish, subscribe, unsubscribe, disconnect, will), \
     as in -D publish content-type text/plain or -D connect user-property NAME VALUE. Means -V 5";

/// The properties of each packet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct PropertySets {
    pub(super) connect: Properties<'static>,
    pub(super) publish: Properties<'static>,
    pub(super) subscribe: Properties<'static>,
    pub(super) unsubscribe: Properties<'static>,
    pub(super) disconnect: Properties<'static>,
    pub(super) will: Properties<'static>,
}

/// A packet that the word after `-D` names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Target {
    Connect,
    Publish,
    PubAck,
    PubRec,
    PubRel,
    PubComp,
    Subscribe,
    Unsubscribe,
    Disconnect,
    Auth,
    Will,
}

impl Target {
    fn parse(word: &str) -> Option<Self> {
        Some(match word.to_ascii_lowercase().as_str() {
            "connect" => Self::Connect,
            "publish" => Self::Publish,
            "puback" => Self::PubAck,
            "pubrec" => Self::PubRec,
            "pubrel" => Self::PubRel,
            "pubcomp" => Self::PubComp,
            "subscribe" => Self::Subscribe,
            "unsubscribe" => Self::Unsubscribe,
            "disconnect" => Self::Disconnect,
            "auth" => Self::Auth,
            "will" => Self::Will,
            _ => return None,
        })
    }
}

/// What the value of a property is.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Text(fn(&str) -> Property<'_>),
    Binary(fn(&[u8]) -> Property<'_>),
    /// With the lowest and the highest value.
    Number(u32, u32, fn(u32) -> Property<'static>),
    UserProperty,
    /// Only servers send it.
    OfServer,
}

struct Definition {
    name: &'static str,
    kind: Kind,
    /// The packets that may carry it.
    targets: &'static [Target],
}

use Kind::{Binary, Number, Text};
use Target as T;

const MESSAGE: &[Target] = &[T::Publish, T::Will];
const EVERY_ACK: &[Target] = &[
    T::PubAck,
    T::PubRec,
    T::PubRel,
    T::PubComp,
    T::Disconnect,
    T::Auth,
];
const EVERY: &[Target] = &[
    T::Connect,
    T::Publish,
    T::PubAck,
    T::PubRec,
    T::PubRel,
    T::PubComp,
    T::Subscribe,
    T::Unsubscribe,
    T::Disconnect,
    T::Auth,
    T::Will,
];

const fn define(name: &'static str, kind: Kind, targets: &'static [Target]) -> Definition {
    Definition {
        name,
        kind,
        targets,
    }
}

const U16: u32 = u16::MAX as u32;

const DEFINITIONS: &[Definition] = &[
    define(
        "payload-format-indicator",
        Number(0, 1, |v| Property::PayloadFormatIndicator(v as u8)),
        MESSAGE,
    ),
    define(
        "message-expiry-interval",
        Number(0, u32::MAX, Property::MessageExpiryInterval),
        MESSAGE,
    ),
    define("content-type", Text(|v| Property::ContentType(v)), MESSAGE),
    define(
        "response-topic",
        Text(|v| Property::ResponseTopic(v)),
        MESSAGE,
    ),
    define(
        "correlation-data",
        Binary(|v| Property::CorrelationData(v)),
        MESSAGE,
    ),
    define(
        "subscription-identifier",
        Number(1, 0x0FFF_FFFF, Property::SubscriptionIdentifier),
        &[T::Publish, T::Subscribe],
    ),
    define(
        "session-expiry-interval",
        Number(0, u32::MAX, Property::SessionExpiryInterval),
        &[T::Connect, T::Disconnect],
    ),
    define("assigned-client-identifier", Kind::OfServer, &[]),
    define("server-keep-alive", Kind::OfServer, &[]),
    define(
        "authentication-method",
        Text(|v| Property::AuthenticationMethod(v)),
        &[T::Connect, T::Auth],
    ),
    define(
        "authentication-data",
        Binary(|v| Property::AuthenticationData(v)),
        &[T::Connect, T::Auth],
    ),
    define(
        "request-problem-information",
        Number(0, 1, |v| Property::RequestProblemInformation(v as u8)),
        &[T::Connect],
    ),
    define(
        "will-delay-interval",
        Number(0, u32::MAX, Property::WillDelayInterval),
        &[T::Will],
    ),
    define(
        "request-response-information",
        Number(0, 1, |v| Property::RequestResponseInformation(v as u8)),
        &[T::Connect],
    ),
    define("response-information", Kind::OfServer, &[]),
    define("server-reference", Kind::OfServer, &[]),
    define(
        "reason-string",
        Text(|v| Property::ReasonString(v)),
        EVERY_ACK,
    ),
    define(
        "receive-maximum",
        Number(1, U16, |v| Property::ReceiveMaximum(v as u16)),
        &[T::Connect],
    ),
    define(
        "topic-alias-maximum",
        Number(0, U16, |v| Property::TopicAliasMaximum(v as u16)),
        &[T::Connect],
    ),
    define(
        "topic-alias",
        Number(1, U16, |v| Property::TopicAlias(v as u16)),
        &[T::Publish],
    ),
    define("maximum-qos", Kind::OfServer, &[]),
    define("retain-available", Kind::OfServer, &[]),
    define("user-property", Kind::UserProperty, EVERY),
    define(
        "maximum-packet-size",
        Number(1, u32::MAX, Property::MaximumPacketSize),
        &[T::Connect],
    ),
    define("wildcard-subscription-available", Kind::OfServer, &[]),
    define("subscription-identifier-available", Kind::OfServer, &[]),
    define("shared-subscription-available", Kind::OfServer, &[]),
];

impl PropertySets {
    /// Reads the words of all `-D` options.
    pub(super) fn parse(all: &[Vec<String>]) -> Result<Self, Failure> {
        let mut sets = Self::default();
        for words in all {
            sets.add(words)?;
        }
        Ok(sets)
    }

    /// Reads the words of one: packet, property and value, or packet,
    /// `user-property`, name and value.
    fn add(&mut self, words: &[String]) -> Result<(), Failure> {
        let [packet, name, values @ ..] = words else {
            return Err(Failure::usage(
                "--property argument given but not enough arguments specified.",
            ));
        };
        let target = Target::parse(packet)
            .ok_or_else(|| Failure::usage("Invalid command given in --property argument."))?;
        let definition = DEFINITIONS
            .iter()
            .find(|definition| definition.name.eq_ignore_ascii_case(name))
            .ok_or_else(|| Failure::usage("Invalid property name given in --property argument."))?;
        if !definition.targets.contains(&target) {
            return Err(Failure::usage(format_args!(
                "{name} property not allowed for {packet} in --property argument."
            )));
        }
        let unsupported = || {
            Failure::usage(format_args!(
                "{name} property not supported for {packet} in --property argument."
            ))
        };
        let set = match target {
            // Only a server tells a client by which subscription it came.
            Target::Publish if definition.name == "subscription-identifier" => {
                return Err(unsupported());
            }
            _ => self.set(target).ok_or_else(unsupported)?,
        };
        let property = definition.kind.value(name, values)?;
        let single = !matches!(definition.kind, Kind::UserProperty);
        if single && set.iter().any(|other| other.id() == property.id()) {
            return Err(Failure::Usage(format!(
                "Duplicate property {name} for {packet} in --property argument."
            )));
        }
        set.push(property);
        Ok(())
    }

    fn set(&mut self, target: Target) -> Option<&mut Properties<'static>> {
        match target {
            Target::Connect => Some(&mut self.connect),
            Target::Publish => Some(&mut self.publish),
            Target::Subscribe => Some(&mut self.subscribe),
            Target::Unsubscribe => Some(&mut self.unsubscribe),
            Target::Disconnect => Some(&mut self.disconnect),
            Target::Will => Some(&mut self.will),
            Target::PubAck | Target::PubRec | Target::PubRel | Target::PubComp | Target::Auth => {
                None
            }
        }
    }
}

impl Kind {
    fn value<'a>(self, name: &str, values: &'a [String]) -> Result<Property<'a>, Failure> {
        let value = values.first().map_or("", String::as_str);
        let out_of_range = || {
            Failure::usage(format_args!(
                "Property value ({value}) out of range for property {name}."
            ))
        };
        let length = values.iter().map(String::len).max().unwrap_or(0);
        if u16::try_from(length).is_err() {
            return Err(Failure::usage(format_args!(
                "Property value too long for property {name}."
            )));
        }
        Ok(match self {
            Text(make) => make(value),
            Binary(make) => make(value.as_bytes()),
            Number(low, high, make) => match value.trim().parse::<u32>() {
                Ok(number) if (low..=high).contains(&number) => make(number),
                _ => return Err(out_of_range()),
            },
            Kind::UserProperty => {
                Property::UserProperty(value, values.get(1).map_or("", String::as_str))
            }
            Kind::OfServer => return Err(out_of_range()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(words: &[&str]) -> Result<PropertySets, Failure> {
        PropertySets::parse(&[words.iter().map(|&word| word.to_owned()).collect()])
    }

    #[test]
    fn each_kind_of_value_is_read() {
        let sets = PropertySets::parse(&[
            ["publish", "content-type", "text"]
                .map(str::to_owned)
                .to_vec(),
            ["PUBLISH", "USER-PROPERTY", "a", "b"]
                .map(str::to_owned)
                .to_vec(),
            ["publish", "user-property", "a", "c"]
                .map(str::to_owned)
                .to_vec(),
            ["will", "will-delay-interval", "5"]
                .map(str::to_owned)
                .to_vec(),
            ["publish", "correlation-data", "x"]
                .map(str::to_owned)
                .to_vec(),
        ])
        .expect("valid");
        let publish: Vec<_> = sets.publish.iter().collect();
        assert_eq!(
            publish,
            [
                Property::ContentType("text"),
                Property::UserProperty("a", "b"),
                Property::UserProperty("a", "c"),
                Property::CorrelationData(b"x"),
            ]
        );
        let will: Vec<_> = sets.will.iter().collect();
        assert_eq!(will, [Property::WillDelayInterval(5)]);
    }

    #[test]
    fn errors_are_mosquittos() {
        for (words, expected) in [
            (
                &["connack", "user-property", "a", "b"][..],
                "Invalid command given in --property argument.",
            ),
            (
                &["connect", "foo", "1"],
                "Invalid property name given in --property argument.",
            ),
            (
                &["connect", "content-type", "x"],
                "content-type property not allowed for connect in --property argument.",
            ),
            (
                &["PUBACK", "content-type", "x"],
                "content-type property not allowed for PUBACK in --property argument.",
            ),
            (
                &["puback", "user-property", "a", "b"],
                "user-property property not supported for puback in --property argument.",
            ),
            (
                &["publish", "subscription-identifier", "1"],
                "subscription-identifier property not supported for publish in --property argument.",
            ),
            (
                &["connect", "receive-maximum", "70000"],
                "Property value (70000) out of range for property receive-maximum.",
            ),
            (
                &["publish", "message-expiry-interval", "-1"],
                "Property value (-1) out of range for property message-expiry-interval.",
            ),
        ] {
            assert_eq!(parse(words), Err(Failure::usage(expected)), "{words:?}");
        }
    }

    #[test]
    fn only_user_properties_come_twice() {
        let twice = vec![["publish", "content-type", "x"].map(str::to_owned).to_vec(); 2];
        assert!(PropertySets::parse(&twice).is_err());
    }
}
