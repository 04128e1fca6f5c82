//! Packets → bytes.

use super::wire::{var_int_len, write_bytes, write_str};
use super::{
    Ack, AckKind, Connect, Packet, Properties, Publish, QoS, ReasonCode, SubscriptionOptions,
    Version, write_var_int,
};

impl Packet<'_> {
    /// Appends the packet in the form of `version`. What a version cannot
    /// express is left out: properties and reason codes before MQTT 5.
    ///
    /// Strings and binary data must fit their 16-bit length, and the whole
    /// packet [`super::MAX_REMAINING_LENGTH`]; the caller sees to that.
    pub fn encode(&self, version: Version, out: &mut Vec<u8>) {
        let v5 = version == Version::V5;
        match self {
            Packet::Publish(publish) => publish.encode(version, out),
            Packet::Connect(connect) => framed(out, 0x10, |out| connect.encode_body(out)),
            Packet::ConnAck(ack) => framed(out, 0x20, |out| {
                out.extend_from_slice(&[u8::from(ack.session_present), ack.reason.0]);
                encode_properties(&ack.properties, v5, out);
            }),
            Packet::Ack(kind, ack) => ack.encode(*kind, version, out),
            Packet::Subscribe(subscribe) => framed(out, 0x82, |out| {
                out.extend_from_slice(&subscribe.packet_id.to_be_bytes());
                encode_properties(&subscribe.properties, v5, out);
                for request in &subscribe.requests {
                    write_str(out, request.filter);
                    out.push(request.options.to_byte(version));
                }
            }),
            Packet::SubAck(ack) => framed(out, 0x90, |out| {
                out.extend_from_slice(&ack.packet_id.to_be_bytes());
                encode_properties(&ack.properties, v5, out);
                out.extend_from_slice(&ack.reasons);
            }),
            Packet::Unsubscribe(unsubscribe) => framed(out, 0xA2, |out| {
                out.extend_from_slice(&unsubscribe.packet_id.to_be_bytes());
                encode_properties(&unsubscribe.properties, v5, out);
                for filter in &unsubscribe.filters {
                    write_str(out, filter);
                }
            }),
            Packet::UnsubAck(ack) => framed(out, 0xB0, |out| {
                out.extend_from_slice(&ack.packet_id.to_be_bytes());
                encode_properties(&ack.properties, v5, out);
                if v5 {
                    out.extend_from_slice(&ack.reasons);
                }
            }),
            Packet::PingReq => out.extend_from_slice(&[0xC0, 0]),
            Packet::PingResp => out.extend_from_slice(&[0xD0, 0]),
            Packet::Disconnect(d) => framed(out, 0xE0, |out| {
                encode_reason(d.reason, &d.properties, v5, out);
            }),
            Packet::Auth(a) => framed(out, 0xF0, |out| {
                encode_reason(a.reason, &a.properties, v5, out);
            }),
        }
    }
}

/// Writes a packet whose length is known only when its body is there.
fn framed(out: &mut Vec<u8>, first: u8, body: impl FnOnce(&mut Vec<u8>)) {
    // Most of these packets are short: one byte for the length, and room for
    // more is made where it turns out too little.
    out.extend_from_slice(&[first, 0]);
    let start = out.len();
    body(out);
    let length = out.len() - start;
    if length < 0x80 {
        out[start - 1] = length as u8;
    } else {
        let mut header = Vec::with_capacity(4);
        write_var_int(&mut header, length as u32);
        out.splice(start - 1..start, header);
    }
}

fn encode_properties(properties: &Properties<'_>, v5: bool, out: &mut Vec<u8>) {
    if v5 {
        properties.encode(out);
    }
}

/// A reason code and properties at the end of a packet, in their shortest form
/// (3.4.2.1, 3.14.2.1): success without properties is nothing at all.
fn encode_reason(reason: ReasonCode, properties: &Properties<'_>, v5: bool, out: &mut Vec<u8>) {
    if !v5 || reason == ReasonCode::SUCCESS && properties.is_empty() {
        return;
    }
    out.push(reason.0);
    if !properties.is_empty() {
        properties.encode(out);
    }
}

impl Publish<'_> {
    /// Appends a PUBLISH; see [`Packet::encode`].
    pub fn encode(&self, version: Version, out: &mut Vec<u8>) {
        let v5 = version == Version::V5;
        out.reserve(self.encoded_len(version));
        out.push(0x30 | u8::from(self.dup) << 3 | (self.qos as u8) << 1 | u8::from(self.retain));
        write_var_int(out, self.remaining_length(v5) as u32);
        write_str(out, self.topic);
        if self.qos != QoS::AtMostOnce {
            out.extend_from_slice(&self.packet_id.to_be_bytes());
        }
        encode_properties(&self.properties, v5, out);
        out.extend_from_slice(self.payload);
    }

    /// The length of the whole packet in bytes, fixed header included.
    pub fn encoded_len(&self, version: Version) -> usize {
        let length = self.remaining_length(version == Version::V5);
        1 + var_int_len(length as u32) + length
    }

    fn remaining_length(&self, v5: bool) -> usize {
        let id = if self.qos == QoS::AtMostOnce { 0 } else { 2 };
        let properties = if v5 { self.properties.encoded_len() } else { 0 };
        2 + self.topic.len() + id + properties + self.payload.len()
    }
}

impl Ack<'_> {
    /// Appends a PUBACK, PUBREC, PUBREL or PUBCOMP; see [`Packet::encode`].
    #[inline]
    pub fn encode(&self, kind: AckKind, version: Version, out: &mut Vec<u8>) {
        let first = (kind as u8) << 4 | if kind == AckKind::PubRel { 2 } else { 0 };
        let [high, low] = self.packet_id.to_be_bytes();
        if version != Version::V5
            || self.reason == ReasonCode::SUCCESS && self.properties.is_empty()
        {
            out.extend_from_slice(&[first, 2, high, low]);
        } else {
            self.encode_long(first, out);
        }
    }

    fn encode_long(&self, first: u8, out: &mut Vec<u8>) {
        framed(out, first, |out| {
            out.extend_from_slice(&self.packet_id.to_be_bytes());
            encode_reason(self.reason, &self.properties, true, out);
        });
    }
}

impl SubscriptionOptions {
    fn to_byte(self, version: Version) -> u8 {
        if version != Version::V5 {
            return self.qos as u8;
        }
        self.qos as u8
            | u8::from(self.no_local) << 2
            | u8::from(self.retain_as_published) << 3
            | (self.retain_handling as u8) << 4
    }
}

impl Connect<'_> {
    fn encode_body(&self, out: &mut Vec<u8>) {
        let v5 = self.version == Version::V5;
        write_str(
            out,
            if self.version == Version::V31 {
                "MQIsdp"
            } else {
                "MQTT"
            },
        );
        out.push(self.version as u8 | u8::from(self.bridge) << 7);
        out.push(self.flags());
        out.extend_from_slice(&self.keep_alive.to_be_bytes());
        encode_properties(&self.properties, v5, out);
        write_str(out, self.client_id);
        if let Some(will) = &self.will {
            encode_properties(&will.properties, v5, out);
            write_str(out, will.topic);
            write_bytes(out, will.payload);
        }
        if let Some(username) = self.username {
            write_str(out, username);
        }
        if let Some(password) = self.password {
            write_bytes(out, password);
        }
    }

    fn flags(&self) -> u8 {
        let will = self.will.as_ref().map_or(0, |will| {
            0x04 | (will.qos as u8) << 3 | u8::from(will.retain) << 5
        });
        will | u8::from(self.clean_start) << 1
            | u8::from(self.password.is_some()) << 6
            | u8::from(self.username.is_some()) << 7
    }
}
