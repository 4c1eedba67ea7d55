//! The encoding of protocol buffers: the fields that a trace needs.

/// The wire types.
const VARINT: u64 = 0;
const FIXED_64: u64 = 1;
const BYTES: u64 = 2;

/// A message under construction.
#[derive(Clone, Debug, Default)]
pub(super) struct Message(Vec<u8>);

impl Message {
    /// Adds an integer or an enum's number.
    pub(super) fn number(mut self, field: u64, value: u64) -> Self {
        self.varint(field << 3 | VARINT);
        self.varint(value);
        self
    }

    /// Adds a `fixed64`.
    pub(super) fn fixed(mut self, field: u64, value: u64) -> Self {
        self.varint(field << 3 | FIXED_64);
        self.0.extend(value.to_le_bytes());
        self
    }

    /// Adds a string.
    pub(super) fn text(self, field: u64, text: &str) -> Self {
        self.bytes(field, text.as_bytes())
    }

    /// Adds a message.
    pub(super) fn message(self, field: u64, message: &Self) -> Self {
        self.bytes(field, &message.0)
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    fn bytes(mut self, field: u64, bytes: &[u8]) -> Self {
        self.varint(field << 3 | BYTES);
        self.varint(bytes.len() as u64);
        self.0.extend(bytes);
        self
    }

    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }
}

/// A field of a message, as a reader without its declaration sees it.
#[cfg(test)]
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Field {
    Number(u64),
    Bytes(Vec<u8>),
}

/// Decodes a message into its fields with their numbers.
#[cfg(test)]
pub(super) fn decoded(mut bytes: &[u8]) -> Vec<(u64, Field)> {
    fn varint(bytes: &mut &[u8]) -> u64 {
        let mut value = 0;
        for shift in (0..).step_by(7) {
            let (first, rest) = bytes.split_first().unwrap();
            *bytes = rest;
            value |= u64::from(first & 0x7f) << shift;
            if first & 0x80 == 0 {
                break;
            }
        }
        value
    }
    let mut fields = Vec::new();
    while !bytes.is_empty() {
        let tag = varint(&mut bytes);
        let value = match tag & 7 {
            VARINT => Field::Number(varint(&mut bytes)),
            FIXED_64 => {
                let (value, rest) = bytes.split_first_chunk().unwrap();
                bytes = rest;
                Field::Number(u64::from_le_bytes(*value))
            }
            BYTES => {
                let length = varint(&mut bytes) as usize;
                let (value, rest) = bytes.split_at(length);
                bytes = rest;
                Field::Bytes(value.to_vec())
            }
            other => panic!("wire type {other}"),
        };
        fields.push((tag >> 3, value));
    }
    fields
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_bytes_are_those_of_the_specification() {
        let inner = Message::default().number(1, 150);
        let message = Message::default()
            .text(2, "testing")
            .message(3, &inner)
            .fixed(4, 1);
        assert_eq!(
            message.as_bytes(),
            b"\x12\x07testing\x1a\x03\x08\x96\x01\x21\x01\0\0\0\0\0\0\0"
        );
    }

    proptest! {
        #[test]
        fn a_reader_gets_what_was_written(field in 1_u64..1000, number: u64, text: String) {
            let message = Message::default().number(field, number).text(field, &text).fixed(field, number);
            let wanted = [Field::Number(number), Field::Bytes(text.into_bytes()), Field::Number(number)];
            prop_assert_eq!(decoded(message.as_bytes()), wanted.map(|value| (field, value)));
        }
    }
}
