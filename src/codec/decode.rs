//! Bytes → packets, strictly (MQTT 5 chapter 3, and its 3.1 and 3.1.1 forms).

use std::borrow::Cow;

use super::wire::Reader;
use super::{
    Ack, AckKind, Auth, ConnAck, Connect, Context, DecodeError, Disconnect, Frame, Packet,
    Properties, Property, Publish, QoS, ReasonCode, RefusedConnect, RetainHandling, Side, SubAck,
    Subscribe, SubscriptionOptions, SubscriptionRequest, UnsubAck, Unsubscribe, Version, Will,
};

impl<'a> Packet<'a> {
    /// Decodes a packet that `sender` sent on a connection that speaks
    /// `version`. For CONNECT, which brings its version along, `version` is
    /// not looked at; a server that wants to answer a bad one calls
    /// [`Connect::decode`].
    ///
    /// # Errors
    /// Every malformed or forbidden form, with the reason code that MQTT 5
    /// assigns to it (or that Mosquitto chose where the specification leaves
    /// room).
    #[inline]
    pub fn decode(frame: Frame<'a>, version: Version, sender: Side) -> Result<Self, DecodeError> {
        let first = frame.first_byte();
        if first >> 4 == 3 {
            return Publish::decode(first, frame.body(), version, sender).map(Packet::Publish);
        }
        Self::decode_other(frame, version, sender)
    }

    fn decode_other(frame: Frame<'a>, version: Version, sender: Side) -> Result<Self, DecodeError> {
        let first = frame.first_byte();
        let mut body = Reader::new(frame.body());
        let body = &mut body;
        let v5 = version == Version::V5;
        check_type(first >> 4, sender, v5)?;
        check_flags(first, version)?;
        let packet = match first >> 4 {
            1 => Packet::Connect(Box::new(
                Connect::decode(frame).map_err(|refused| refused.error)?,
            )),
            2 => Packet::ConnAck(ConnAck::decode(body, v5)?),
            4 => Packet::Ack(AckKind::PubAck, Ack::decode(body, v5, AckKind::PubAck)?),
            5 => Packet::Ack(AckKind::PubRec, Ack::decode(body, v5, AckKind::PubRec)?),
            6 => Packet::Ack(AckKind::PubRel, Ack::decode(body, v5, AckKind::PubRel)?),
            7 => Packet::Ack(AckKind::PubComp, Ack::decode(body, v5, AckKind::PubComp)?),
            8 => Packet::Subscribe(Subscribe::decode(body, v5)?),
            9 => Packet::SubAck(SubAck::decode(body, v5)?),
            10 => Packet::Unsubscribe(Unsubscribe::decode(body, v5)?),
            11 => Packet::UnsubAck(UnsubAck::decode(body, v5)?),
            12 => Packet::PingReq,
            13 => Packet::PingResp,
            14 => Packet::Disconnect(Disconnect::decode(body, v5, sender)?),
            15 => Packet::Auth(Auth::decode(body)?),
            _ => return Err(RESERVED_TYPE),
        };
        if first >> 4 != 1 && !body.is_empty() {
            return Err(DecodeError::malformed("bytes after the end of the packet"));
        }
        Ok(packet)
    }
}

const RESERVED_TYPE: DecodeError = DecodeError::protocol("a reserved packet type");

/// Refuses what a peer of that side never sends, before a look at the rest of
/// the packet.
fn check_type(packet_type: u8, sender: Side, v5: bool) -> Result<(), DecodeError> {
    let legal = match packet_type {
        0 => return Err(RESERVED_TYPE),
        1 | 8 | 10 | 12 => sender == Side::Client,
        2 | 9 | 11 | 13 => sender == Side::Server,
        14 => sender == Side::Client || v5,
        15 => v5,
        _ => true,
    };
    if legal {
        Ok(())
    } else {
        Err(DecodeError::protocol(
            "a packet type that this peer cannot send",
        ))
    }
}

/// The reserved bits of the fixed header (2.1.3). CONNECT sees to its own,
/// since it brings its version along.
fn check_flags(first: u8, version: Version) -> Result<(), DecodeError> {
    let expected = match first >> 4 {
        6 | 8 | 10 => 2,
        _ => 0,
    };
    // In MQTT 3.1 they were not reserved, only 'not used'; clients set them.
    if first & 0x0F == expected || first >> 4 == 1 || version == Version::V31 {
        return Ok(());
    }
    Err(match first >> 4 {
        14 => DecodeError::protocol("reserved bits of the fixed header of DISCONNECT are set"),
        _ => DecodeError::malformed("reserved bits of the fixed header are wrong"),
    })
}

impl<'a> Publish<'a> {
    #[inline]
    fn decode(
        first: u8,
        body: &'a [u8],
        version: Version,
        sender: Side,
    ) -> Result<Self, DecodeError> {
        let Some(qos) = QoS::from_u8(first >> 1 & 3) else {
            return Err(DecodeError::malformed("PUBLISH with QoS 3"));
        };
        let dup = first & 8 != 0;
        if dup && qos == QoS::AtMostOnce {
            return Err(DecodeError::malformed("PUBLISH with DUP at QoS 0"));
        }
        let mut body = Reader::new(body);
        let topic = body.topic_name("a wildcard in the topic name of PUBLISH")?;
        let packet_id = if qos == QoS::AtMostOnce {
            0
        } else {
            match body.u16()? {
                0 => return Err(DecodeError::protocol("PUBLISH with packet identifier 0")),
                id => id,
            }
        };
        let properties = if version == Version::V5 {
            Properties::decode(&mut body, Context::Publish(sender))?
        } else {
            Properties::new()
        };
        if topic.is_empty() && crate::property!(properties, TopicAlias).is_none() {
            return Err(DecodeError::malformed("PUBLISH without a topic name"));
        }
        Ok(Self {
            dup,
            qos,
            retain: first & 1 != 0,
            topic,
            packet_id,
            properties,
            payload: body.rest(),
        })
    }
}

impl<'a> Connect<'a> {
    /// Decodes a CONNECT and says, where it is refused, whether and how a
    /// server answers before it closes.
    ///
    /// # Errors
    /// [`RefusedConnect`], with the CONNACK that Mosquitto sends in that case.
    pub fn decode(frame: Frame<'a>) -> Result<Self, RefusedConnect> {
        let silent = RefusedConnect::silent;
        let mut body = Reader::new(frame.body());
        let body = &mut body;
        let (version, bridge) = protocol(body)?;
        if frame.first_byte() != 0x10 && version != Version::V31 {
            return Err(silent(DecodeError::malformed(
                "reserved bits in the header of CONNECT",
            )));
        }
        let flags = body.u8().map_err(silent)?;
        check_connect_flags(flags, version).map_err(silent)?;
        let keep_alive = body.u16().map_err(silent)?;

        // From here on a client of MQTT 5 gets an answer.
        let answered = |error| RefusedConnect::answered(error, version);
        let properties = properties(body, version, Context::Connect).map_err(answered)?;
        check_authentication(&properties).map_err(answered)?;
        let client_id = body.str().map_err(|error| {
            RefusedConnect::answered(
                DecodeError::with(ReasonCode::CLIENT_IDENTIFIER_NOT_VALID, error.what),
                version,
            )
        })?;
        let will = if flags & 0x04 != 0 {
            Some(Will::decode(body, version, flags).map_err(answered)?)
        } else {
            None
        };
        // In MQTT 3.1 the end of the packet has precedence over these flags: the
        // strings may be missing, 'and connections should be allowed to continue'.
        let follows = |flag, body: &Reader<'_>| {
            flags & flag != 0 && !(version == Version::V31 && body.is_empty())
        };
        let username = if follows(0x80, body) {
            Some(body.str().map_err(silent)?)
        } else {
            None
        };
        let password = if follows(0x40, body) {
            Some(body.binary().map_err(silent)?)
        } else {
            None
        };
        if !body.is_empty() {
            return Err(answered(DecodeError::malformed(
                "bytes after the end of CONNECT",
            )));
        }
        let clean_start = flags & 0x02 != 0;
        Ok(Self {
            version,
            bridge,
            clean_start,
            keep_alive,
            client_id,
            will,
            username,
            password,
            properties,
        })
    }
}

/// Protocol name and level (3.1.2.1, 3.1.2.2).
fn protocol(body: &mut Reader<'_>) -> Result<(Version, bool), RefusedConnect> {
    let name = body.binary().map_err(RefusedConnect::silent)?;
    if name != b"MQTT" && name != b"MQIsdp" {
        return Err(RefusedConnect::silent(DecodeError::with(
            ReasonCode::UNSUPPORTED_PROTOCOL_VERSION,
            "a protocol name that is neither MQTT nor MQIsdp",
        )));
    }
    let level = body.u8().map_err(RefusedConnect::silent)?;
    // Bridges of Mosquitto's kind set the high bit in the 3.x versions.
    let bridge = level & 0x80 != 0 && level & 0x7F != 5;
    let version = match level & 0x7F {
        3 => Version::V31,
        4 => Version::V311,
        5 if level == 5 => Version::V5,
        _ => return Err(RefusedConnect::unsupported_version(Version::V5)),
    };
    if (name == b"MQIsdp") != (version == Version::V31) {
        return Err(RefusedConnect::unsupported_version(Version::V311));
    }
    Ok((version, bridge))
}

fn check_connect_flags(flags: u8, version: Version) -> Result<(), DecodeError> {
    if flags & 0x01 != 0 && version != Version::V31 {
        return Err(DecodeError::malformed(
            "the reserved flag of CONNECT is set",
        ));
    }
    if flags & 0x1C == 0x1C {
        return Err(DecodeError::malformed("a will with QoS 3"));
    }
    // MQTT 3.1 says nothing about them, and clients left them set.
    if flags & 0x04 == 0 && flags & 0x38 != 0 && version != Version::V31 {
        return Err(DecodeError::malformed(
            "will QoS or will retain without a will",
        ));
    }
    // MQTT 5 allows a password without a user name (3.1.2.9).
    if flags & 0xC0 == 0x40 && version != Version::V5 {
        return Err(DecodeError::malformed("a password without a user name"));
    }
    Ok(())
}

fn check_authentication(properties: &Properties<'_>) -> Result<(), DecodeError> {
    let data = properties
        .iter()
        .any(|p| matches!(p, Property::AuthenticationData(_)));
    if data && crate::property!(properties, AuthenticationMethod).is_none() {
        return Err(DecodeError::protocol(
            "authentication data without a method",
        ));
    }
    Ok(())
}

impl<'a> Will<'a> {
    fn decode(body: &mut Reader<'a>, version: Version, flags: u8) -> Result<Self, DecodeError> {
        let properties = properties(body, version, Context::Will)?;
        let topic = body.str()?;
        if topic.is_empty() || topic.contains(['+', '#']) || topic.starts_with("$CONTROL/") {
            return Err(DecodeError::malformed(
                "a topic name that a will cannot have",
            ));
        }
        let qos =
            QoS::from_u8(flags >> 3 & 3).ok_or(DecodeError::malformed("a will with QoS 3"))?;
        Ok(Self {
            topic,
            payload: body.binary()?,
            qos,
            retain: flags & 0x20 != 0,
            properties,
        })
    }
}

fn properties<'a>(
    body: &mut Reader<'a>,
    version: Version,
    context: Context,
) -> Result<Properties<'a>, DecodeError> {
    if version == Version::V5 {
        Properties::decode(body, context)
    } else {
        Ok(Properties::new())
    }
}

impl<'a> ConnAck<'a> {
    fn decode(body: &mut Reader<'a>, v5: bool) -> Result<Self, DecodeError> {
        let flags = body.u8()?;
        if flags & 0xFE != 0 {
            return Err(DecodeError::malformed("reserved bits of CONNACK are set"));
        }
        let reason = ReasonCode(body.u8()?);
        // A server that doesn't know version 5 answers in the older form.
        let properties = if v5 && !body.is_empty() {
            Properties::decode(body, Context::ConnAck)?
        } else {
            Properties::new()
        };
        Ok(Self {
            session_present: flags & 1 != 0,
            reason,
            properties,
        })
    }
}

impl<'a> Ack<'a> {
    fn decode(body: &mut Reader<'a>, v5: bool, kind: AckKind) -> Result<Self, DecodeError> {
        let packet_id = body.u16()?;
        if packet_id == 0 {
            return Err(DecodeError::protocol(
                "an acknowledgement of packet identifier 0",
            ));
        }
        if !v5 || body.is_empty() {
            let properties = Properties::new();
            return Ok(Self {
                packet_id,
                reason: ReasonCode::SUCCESS,
                properties,
            });
        }
        let reason = ReasonCode(body.u8()?);
        let known = match kind {
            AckKind::PubAck | AckKind::PubRec => matches!(
                reason.0,
                0x00 | 0x10 | 0x80 | 0x83 | 0x87 | 0x90 | 0x91 | 0x97 | 0x99
            ),
            AckKind::PubRel | AckKind::PubComp => matches!(reason.0, 0x00 | 0x92),
        };
        if !known {
            return Err(DecodeError::protocol(
                "a reason code that this acknowledgement cannot have",
            ));
        }
        Ok(Self {
            packet_id,
            reason,
            properties: optional_properties(body, Context::Ack)?,
        })
    }
}

/// Properties that may be left out together with their length when there are
/// none and nothing follows (3.4.2.2.1).
fn optional_properties<'a>(
    body: &mut Reader<'a>,
    context: Context,
) -> Result<Properties<'a>, DecodeError> {
    if body.is_empty() {
        Ok(Properties::new())
    } else {
        Properties::decode(body, context)
    }
}

/// The packet identifier of SUBSCRIBE, UNSUBSCRIBE and their answers. Mosquitto
/// calls 0 malformed here.
fn nonzero_packet_id(body: &mut Reader<'_>) -> Result<u16, DecodeError> {
    match body.u16()? {
        0 => Err(DecodeError::malformed("packet identifier 0")),
        id => Ok(id),
    }
}

fn filter<'a>(body: &mut Reader<'a>) -> Result<&'a str, DecodeError> {
    let filter = body.str()?;
    if filter.is_empty() {
        return Err(DecodeError::malformed("an empty topic filter"));
    }
    Ok(filter)
}

impl<'a> Subscribe<'a> {
    fn decode(body: &mut Reader<'a>, v5: bool) -> Result<Self, DecodeError> {
        let packet_id = nonzero_packet_id(body)?;
        let properties = if v5 {
            Properties::decode(body, Context::Subscribe)?
        } else {
            Properties::new()
        };
        let mut requests = Vec::new();
        while !body.is_empty() {
            let filter = filter(body)?;
            let options = SubscriptionOptions::decode(body.u8()?, v5)?;
            requests.push(SubscriptionRequest { filter, options });
        }
        if requests.is_empty() {
            return Err(DecodeError::malformed("SUBSCRIBE without a topic filter"));
        }
        Ok(Self {
            packet_id,
            properties,
            requests,
        })
    }
}

impl SubscriptionOptions {
    fn decode(byte: u8, v5: bool) -> Result<Self, DecodeError> {
        let reserved = if v5 { 0xC0 } else { 0xFC };
        if byte & reserved != 0 {
            return Err(DecodeError::malformed(
                "reserved bits of the subscription options are set",
            ));
        }
        let qos =
            QoS::from_u8(byte & 3).ok_or(DecodeError::malformed("a subscription with QoS 3"))?;
        let retain_handling = match byte >> 4 & 3 {
            0 => RetainHandling::Always,
            1 => RetainHandling::IfNew,
            2 => RetainHandling::Never,
            _ => return Err(DecodeError::malformed("retain handling 3")),
        };
        Ok(Self {
            qos,
            no_local: byte & 0x04 != 0,
            retain_as_published: byte & 0x08 != 0,
            retain_handling,
        })
    }
}

impl<'a> SubAck<'a> {
    fn decode(body: &mut Reader<'a>, v5: bool) -> Result<Self, DecodeError> {
        let packet_id = nonzero_packet_id(body)?;
        let properties = if v5 {
            Properties::decode(body, Context::Ack)?
        } else {
            Properties::new()
        };
        Ok(Self {
            packet_id,
            properties,
            reasons: Cow::Borrowed(body.rest()),
        })
    }
}

impl<'a> Unsubscribe<'a> {
    fn decode(body: &mut Reader<'a>, v5: bool) -> Result<Self, DecodeError> {
        let packet_id = nonzero_packet_id(body)?;
        let properties = if v5 {
            Properties::decode(body, Context::Unsubscribe)?
        } else {
            Properties::new()
        };
        let mut filters = Vec::new();
        while !body.is_empty() {
            filters.push(filter(body)?);
        }
        if filters.is_empty() {
            return Err(DecodeError::malformed("UNSUBSCRIBE without a topic filter"));
        }
        Ok(Self {
            packet_id,
            properties,
            filters,
        })
    }
}

impl<'a> UnsubAck<'a> {
    fn decode(body: &mut Reader<'a>, v5: bool) -> Result<Self, DecodeError> {
        let packet_id = nonzero_packet_id(body)?;
        if !v5 {
            let properties = Properties::new();
            return Ok(Self {
                packet_id,
                properties,
                reasons: Cow::Borrowed(&[]),
            });
        }
        let properties = Properties::decode(body, Context::Ack)?;
        Ok(Self {
            packet_id,
            properties,
            reasons: Cow::Borrowed(body.rest()),
        })
    }
}

impl<'a> Disconnect<'a> {
    /// A reason code that no client may send is taken as it is: the connection
    /// ends in any case.
    fn decode(body: &mut Reader<'a>, v5: bool, sender: Side) -> Result<Self, DecodeError> {
        if !v5 || body.is_empty() {
            return Ok(Self {
                reason: ReasonCode::SUCCESS,
                properties: Properties::new(),
            });
        }
        let reason = ReasonCode(body.u8()?);
        let properties = optional_properties(body, Context::Disconnect(sender))?;
        Ok(Self { reason, properties })
    }
}

impl<'a> Auth<'a> {
    fn decode(body: &mut Reader<'a>) -> Result<Self, DecodeError> {
        if body.is_empty() {
            return Ok(Self {
                reason: ReasonCode::SUCCESS,
                properties: Properties::new(),
            });
        }
        let reason = ReasonCode(body.u8()?);
        if !matches!(reason.0, 0x00 | 0x18 | 0x19) {
            return Err(DecodeError::protocol("a reason code that AUTH cannot have"));
        }
        Ok(Self {
            reason,
            properties: optional_properties(body, Context::Auth)?,
        })
    }
}
