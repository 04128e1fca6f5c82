//! MQTT 5 properties (2.2.2).
//!
//! Properties stay in their encoded form: a packet that is decoded borrows the
//! bytes (validated once), a packet that is made appends to them. The broker
//! can so forward the properties of a publication without unpacking them.

use std::borrow::Cow;

use super::wire::{Reader, write_bytes, write_str};
use super::{DecodeError, Side, write_var_int};

/// One property with its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Property<'a> {
    /// 0x01, 0 or 1: 1 says that the payload is UTF-8.
    PayloadFormatIndicator(u8),
    /// 0x02, seconds.
    MessageExpiryInterval(u32),
    /// 0x03.
    ContentType(&'a str),
    /// 0x08, a topic name.
    ResponseTopic(&'a str),
    /// 0x09.
    CorrelationData(&'a [u8]),
    /// 0x0B, 1 to 268 435 455.
    SubscriptionIdentifier(u32),
    /// 0x11, seconds; 0xFFFF_FFFF means 'never'.
    SessionExpiryInterval(u32),
    /// 0x12.
    AssignedClientIdentifier(&'a str),
    /// 0x13, seconds.
    ServerKeepAlive(u16),
    /// 0x15.
    AuthenticationMethod(&'a str),
    /// 0x16.
    AuthenticationData(&'a [u8]),
    /// 0x17, 0 or 1.
    RequestProblemInformation(u8),
    /// 0x18, seconds.
    WillDelayInterval(u32),
    /// 0x19, 0 or 1.
    RequestResponseInformation(u8),
    /// 0x1A.
    ResponseInformation(&'a str),
    /// 0x1C.
    ServerReference(&'a str),
    /// 0x1F.
    ReasonString(&'a str),
    /// 0x21, 1 to 65 535 packets.
    ReceiveMaximum(u16),
    /// 0x22, the highest alias that is accepted.
    TopicAliasMaximum(u16),
    /// 0x23, 1 to the peer's maximum.
    TopicAlias(u16),
    /// 0x24, 0 or 1.
    MaximumQoS(u8),
    /// 0x25, 0 or 1.
    RetainAvailable(u8),
    /// 0x26, a name and a value; the only one that may come again and again
    /// everywhere.
    UserProperty(&'a str, &'a str),
    /// 0x27, bytes, never 0.
    MaximumPacketSize(u32),
    /// 0x28, 0 or 1.
    WildcardSubscriptionAvailable(u8),
    /// 0x29, 0 or 1.
    SubscriptionIdentifierAvailable(u8),
    /// 0x2A, 0 or 1.
    SharedSubscriptionAvailable(u8),
}

const ZERO: &str = "a property that must not be 0 is 0";

/// The packet that properties belong to; it decides which are allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Context {
    /// CONNECT.
    Connect,
    /// The will within CONNECT.
    Will,
    /// CONNACK.
    ConnAck,
    /// PUBLISH, by who sends it: only a server may send subscription
    /// identifiers.
    Publish(Side),
    /// PUBACK, PUBREC, PUBREL, PUBCOMP, SUBACK and UNSUBACK.
    Ack,
    /// SUBSCRIBE.
    Subscribe,
    /// UNSUBSCRIBE.
    Unsubscribe,
    /// DISCONNECT, by who sends it.
    Disconnect(Side),
    /// AUTH.
    Auth,
}

impl Context {
    /// A property that the packet cannot have. In SUBSCRIBE and UNSUBSCRIBE
    /// Mosquitto calls that malformed, elsewhere a protocol error.
    const fn misplaced(self) -> DecodeError {
        let what = "a property that this packet cannot have";
        match self {
            Self::Subscribe | Self::Unsubscribe => DecodeError::malformed(what),
            _ => DecodeError::protocol(what),
        }
    }
}

impl<'a> Property<'a> {
    /// The identifier on the wire (table 2-4).
    pub const fn id(&self) -> u8 {
        match self {
            Self::PayloadFormatIndicator(_) => 0x01,
            Self::MessageExpiryInterval(_) => 0x02,
            Self::ContentType(_) => 0x03,
            Self::ResponseTopic(_) => 0x08,
            Self::CorrelationData(_) => 0x09,
            Self::SubscriptionIdentifier(_) => 0x0B,
            Self::SessionExpiryInterval(_) => 0x11,
            Self::AssignedClientIdentifier(_) => 0x12,
            Self::ServerKeepAlive(_) => 0x13,
            Self::AuthenticationMethod(_) => 0x15,
            Self::AuthenticationData(_) => 0x16,
            Self::RequestProblemInformation(_) => 0x17,
            Self::WillDelayInterval(_) => 0x18,
            Self::RequestResponseInformation(_) => 0x19,
            Self::ResponseInformation(_) => 0x1A,
            Self::ServerReference(_) => 0x1C,
            Self::ReasonString(_) => 0x1F,
            Self::ReceiveMaximum(_) => 0x21,
            Self::TopicAliasMaximum(_) => 0x22,
            Self::TopicAlias(_) => 0x23,
            Self::MaximumQoS(_) => 0x24,
            Self::RetainAvailable(_) => 0x25,
            Self::UserProperty(..) => 0x26,
            Self::MaximumPacketSize(_) => 0x27,
            Self::WildcardSubscriptionAvailable(_) => 0x28,
            Self::SubscriptionIdentifierAvailable(_) => 0x29,
            Self::SharedSubscriptionAvailable(_) => 0x2A,
        }
    }

    /// Appends identifier and value.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.push(self.id());
        match *self {
            Self::PayloadFormatIndicator(v)
            | Self::RequestProblemInformation(v)
            | Self::RequestResponseInformation(v)
            | Self::MaximumQoS(v)
            | Self::RetainAvailable(v)
            | Self::WildcardSubscriptionAvailable(v)
            | Self::SubscriptionIdentifierAvailable(v)
            | Self::SharedSubscriptionAvailable(v) => out.push(v),
            Self::ServerKeepAlive(v)
            | Self::ReceiveMaximum(v)
            | Self::TopicAliasMaximum(v)
            | Self::TopicAlias(v) => out.extend_from_slice(&v.to_be_bytes()),
            Self::MessageExpiryInterval(v)
            | Self::SessionExpiryInterval(v)
            | Self::WillDelayInterval(v)
            | Self::MaximumPacketSize(v) => out.extend_from_slice(&v.to_be_bytes()),
            Self::SubscriptionIdentifier(v) => write_var_int(out, v),
            Self::ContentType(v)
            | Self::ResponseTopic(v)
            | Self::AssignedClientIdentifier(v)
            | Self::AuthenticationMethod(v)
            | Self::ResponseInformation(v)
            | Self::ServerReference(v)
            | Self::ReasonString(v) => write_str(out, v),
            Self::CorrelationData(v) | Self::AuthenticationData(v) => write_bytes(out, v),
            Self::UserProperty(name, value) => {
                write_str(out, name);
                write_str(out, value);
            }
        }
    }

    /// Reads one property. [`Properties::decode`] checks the value, and whether
    /// the property may stand where it stands.
    pub(super) fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let id = reader.var_int()?;
        Ok(match id {
            0x01 => Self::PayloadFormatIndicator(reader.u8()?),
            0x02 => Self::MessageExpiryInterval(reader.u32()?),
            0x03 => Self::ContentType(reader.str()?),
            0x08 => Self::ResponseTopic(reader.str()?),
            0x09 => Self::CorrelationData(reader.binary()?),
            0x0B => Self::SubscriptionIdentifier(reader.var_int()?),
            0x11 => Self::SessionExpiryInterval(reader.u32()?),
            0x12 => Self::AssignedClientIdentifier(reader.str()?),
            0x13 => Self::ServerKeepAlive(reader.u16()?),
            0x15 => Self::AuthenticationMethod(reader.str()?),
            0x16 => Self::AuthenticationData(reader.binary()?),
            0x17 => Self::RequestProblemInformation(reader.u8()?),
            0x18 => Self::WillDelayInterval(reader.u32()?),
            0x19 => Self::RequestResponseInformation(reader.u8()?),
            0x1A => Self::ResponseInformation(reader.str()?),
            0x1C => Self::ServerReference(reader.str()?),
            0x1F => Self::ReasonString(reader.str()?),
            0x21 => Self::ReceiveMaximum(reader.u16()?),
            0x22 => Self::TopicAliasMaximum(reader.u16()?),
            0x23 => Self::TopicAlias(reader.u16()?),
            0x24 => Self::MaximumQoS(reader.u8()?),
            0x25 => Self::RetainAvailable(reader.u8()?),
            0x26 => Self::UserProperty(reader.str()?, reader.str()?),
            0x27 => Self::MaximumPacketSize(reader.u32()?),
            0x28 => Self::WildcardSubscriptionAvailable(reader.u8()?),
            0x29 => Self::SubscriptionIdentifierAvailable(reader.u8()?),
            0x2A => Self::SharedSubscriptionAvailable(reader.u8()?),
            _ => return Err(DecodeError::malformed("unknown property")),
        })
    }

    /// Checks the value against its range.
    fn check_value(&self) -> Result<(), DecodeError> {
        let (legal, what) = match *self {
            Self::PayloadFormatIndicator(v)
            | Self::RequestProblemInformation(v)
            | Self::RequestResponseInformation(v)
            | Self::MaximumQoS(v)
            | Self::RetainAvailable(v)
            | Self::WildcardSubscriptionAvailable(v)
            | Self::SubscriptionIdentifierAvailable(v)
            | Self::SharedSubscriptionAvailable(v) => {
                (v <= 1, "a property that is 0 or 1 has another value")
            }
            Self::ReceiveMaximum(v) | Self::TopicAlias(v) => (v != 0, ZERO),
            Self::SubscriptionIdentifier(v) | Self::MaximumPacketSize(v) => (v != 0, ZERO),
            Self::ResponseTopic(topic) => (
                !topic.is_empty() && !topic.contains(['+', '#']),
                "a response topic that is no topic name",
            ),
            _ => return Ok(()),
        };
        if legal {
            Ok(())
        } else {
            Err(DecodeError::protocol(what))
        }
    }

    /// Whether the property may stand in such a packet (table 2-4).
    const fn allowed_in(&self, context: Context) -> bool {
        use Context as C;
        match self {
            Self::PayloadFormatIndicator(_)
            | Self::MessageExpiryInterval(_)
            | Self::ContentType(_)
            | Self::ResponseTopic(_)
            | Self::CorrelationData(_) => matches!(context, C::Publish(_) | C::Will),
            Self::SubscriptionIdentifier(_) => {
                matches!(context, C::Publish(Side::Server) | C::Subscribe)
            }
            Self::SessionExpiryInterval(_) => {
                matches!(
                    context,
                    C::Connect | C::ConnAck | C::Disconnect(Side::Client)
                )
            }
            Self::AuthenticationMethod(_) | Self::AuthenticationData(_) => {
                matches!(context, C::Connect | C::ConnAck | C::Auth)
            }
            Self::RequestProblemInformation(_) | Self::RequestResponseInformation(_) => {
                matches!(context, C::Connect)
            }
            Self::WillDelayInterval(_) => matches!(context, C::Will),
            // Mosquitto takes a server reference from a client too, and the
            // specification doesn't say who may send it in DISCONNECT.
            Self::ServerReference(_) => matches!(context, C::ConnAck | C::Disconnect(_)),
            Self::ReasonString(_) => {
                matches!(context, C::ConnAck | C::Ack | C::Disconnect(_) | C::Auth)
            }
            Self::ReceiveMaximum(_) | Self::TopicAliasMaximum(_) | Self::MaximumPacketSize(_) => {
                matches!(context, C::Connect | C::ConnAck)
            }
            Self::TopicAlias(_) => matches!(context, C::Publish(_)),
            Self::UserProperty(..) => true,
            Self::AssignedClientIdentifier(_)
            | Self::ServerKeepAlive(_)
            | Self::ResponseInformation(_)
            | Self::MaximumQoS(_)
            | Self::RetainAvailable(_)
            | Self::WildcardSubscriptionAvailable(_)
            | Self::SubscriptionIdentifierAvailable(_)
            | Self::SharedSubscriptionAvailable(_) => matches!(context, C::ConnAck),
        }
    }

    /// Whether the property may come more than once in such a packet.
    const fn repeatable_in(&self, context: Context) -> bool {
        match self {
            Self::UserProperty(..) => true,
            Self::SubscriptionIdentifier(_) => matches!(context, Context::Publish(_)),
            _ => false,
        }
    }
}

/// The properties of one packet, in their encoded form without the length.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Properties<'a>(Cow<'a, [u8]>);

impl<'a> Properties<'a> {
    /// No properties.
    pub const fn new() -> Self {
        Self(Cow::Borrowed(&[]))
    }

    /// Properties in encoded form that were taken from a validated packet with
    /// [`Properties::as_bytes`]. Bytes that are not whole properties end the
    /// iteration early; they do no other harm.
    pub const fn from_encoded(bytes: &'a [u8]) -> Self {
        Self(Cow::Borrowed(bytes))
    }

    /// The same from bytes of one's own.
    pub const fn from_encoded_owned(bytes: Vec<u8>) -> Self {
        Self(Cow::Owned(bytes))
    }

    /// The encoded form, without the length in front.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Appends a property. Nothing is checked: the caller knows its packet.
    pub fn push(&mut self, property: Property<'_>) {
        property.encode(self.0.to_mut());
    }

    /// The same with a property appended, for building in one expression.
    pub fn with(mut self, property: Property<'_>) -> Self {
        self.push(property);
        self
    }

    /// A copy that borrows nothing.
    pub fn into_owned(self) -> Properties<'static> {
        Properties(Cow::Owned(self.0.into_owned()))
    }

    /// All properties in the order of the wire.
    pub fn iter(&self) -> impl Iterator<Item = Property<'_>> {
        let mut reader = Reader::new(&self.0);
        std::iter::from_fn(move || {
            if reader.is_empty() {
                None
            } else {
                Property::decode(&mut reader).ok()
            }
        })
    }

    /// Takes the properties at the reader, length first, and checks each
    /// against the packet that they stand in (2.2.2).
    pub(super) fn decode(reader: &mut Reader<'a>, context: Context) -> Result<Self, DecodeError> {
        let length = reader.var_int()? as usize;
        if length == 0 {
            return Ok(Self::new());
        }
        let bytes = reader.take(length)?;
        let mut inner = Reader::new(bytes);
        let mut seen = 0u64;
        // In the order of the wire; of each property first whether it can be
        // parsed at all (0x81), then whether it is allowed, then its value.
        while !inner.is_empty() {
            let property = Property::decode(&mut inner)?;
            if !property.allowed_in(context) {
                return Err(context.misplaced());
            }
            property.check_value()?;
            let bit = 1u64 << property.id();
            if seen & bit != 0 && !property.repeatable_in(context) {
                return Err(DecodeError::protocol("a property that comes twice"));
            }
            seen |= bit;
        }
        Ok(Self(Cow::Borrowed(bytes)))
    }

    /// Appends the length and the properties.
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        write_var_int(out, self.0.len() as u32);
        out.extend_from_slice(&self.0);
    }

    /// The number of bytes that [`Properties::encode`] appends.
    pub(super) fn encoded_len(&self) -> usize {
        super::wire::var_int_len(self.0.len() as u32) + self.0.len()
    }
}

/// `get!(properties, Variant)` is the value of the first property of that
/// kind, if there is one.
#[macro_export]
macro_rules! property {
    ($properties:expr, $variant:ident) => {
        $properties.iter().find_map(|p| match p {
            $crate::codec::Property::$variant(v) => Some(v),
            _ => None,
        })
    };
}
