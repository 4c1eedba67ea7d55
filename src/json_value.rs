//! The JSON of cofferdam's own files: journals, snapshots, descriptions of runs, failed teardowns.
//!
//! Every suite compiles this, and `serde_json` with its dependencies would be a third of the library's first build
//! (adr/0006). The feature `fixtures`, whose handles have users' types, uses `serde_json`.

/// The greatest depth of values in values.
const DEEPEST: u32 = 64;

/// A JSON value.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    Null,
    Bool(bool),
    Number(u64),
    /// A number that no field of ours has: negative, with a fraction, or too large.
    OtherNumber,
    Text(String),
    List(Vec<Value>),
    /// The fields in their order. Of several with one name, the last counts.
    Object(Vec<(String, Value)>),
}

static NULL: Value = Value::Null;

impl Value {
    /// Returns an object with these fields.
    pub(crate) fn object(fields: Vec<(&str, Value)>) -> Self {
        let mut owned = Vec::with_capacity(fields.len());
        for (name, value) in fields {
            owned.push((name.to_owned(), value));
        }
        Self::Object(owned)
    }

    /// Returns a list of texts.
    pub(crate) fn texts(texts: &[String]) -> Self {
        let mut list = Vec::with_capacity(texts.len());
        for text in texts {
            list.push(Self::Text(text.clone()));
        }
        Self::List(list)
    }

    /// Reads a text that is one value, or returns `None` if it is not.
    pub(crate) fn read(text: &str) -> Option<Self> {
        let mut reader = Reader { text, at: 0 };
        let value = reader.value(0)?;
        reader.skip_space();
        (reader.at == text.len()).then_some(value)
    }

    /// Returns the value as one line of JSON.
    pub(crate) fn to_line(&self) -> String {
        let mut out = String::new();
        self.write(&mut out);
        out
    }

    fn write(&self, out: &mut String) {
        match self {
            Self::Null | Self::OtherNumber => out.push_str("null"),
            Self::Bool(true) => out.push_str("true"),
            Self::Bool(false) => out.push_str("false"),
            Self::Number(number) => out.push_str(&number.to_string()),
            Self::Text(text) => write_text(text, out),
            Self::List(list) => {
                out.push('[');
                for (index, value) in list.iter().enumerate() {
                    if index > 0 {
                        out.push(',');
                    }
                    value.write(out);
                }
                out.push(']');
            }
            Self::Object(fields) => {
                out.push('{');
                for (index, (name, value)) in fields.iter().enumerate() {
                    if index > 0 {
                        out.push(',');
                    }
                    write_text(name, out);
                    out.push(':');
                    value.write(out);
                }
                out.push('}');
            }
        }
    }

    /// Returns a field of an object; null if there is none.
    pub(crate) fn get(&self, name: &str) -> &Self {
        if let Self::Object(fields) = self {
            for (known, value) in fields.iter().rev() {
                if known == name {
                    return value;
                }
            }
        }
        &NULL
    }

    /// Returns an element of a list; null if there is none.
    pub(crate) fn at(&self, index: usize) -> &Self {
        self.as_list().and_then(|list| list.get(index)).unwrap_or(&NULL)
    }

    pub(crate) fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    pub(crate) fn as_number(&self) -> Option<u64> {
        match self {
            Self::Number(number) => Some(*number),
            _ => None,
        }
    }

    pub(crate) fn as_bool(&self) -> Option<bool> {
        match self {
            Self::Bool(value) => Some(*value),
            _ => None,
        }
    }

    pub(crate) fn as_list(&self) -> Option<&[Self]> {
        match self {
            Self::List(list) => Some(list),
            _ => None,
        }
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<u64> for Value {
    fn from(number: u64) -> Self {
        Self::Number(number)
    }
}

impl From<u32> for Value {
    fn from(number: u32) -> Self {
        Self::Number(number.into())
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

fn write_text(text: &str, out: &mut String) {
    out.push('"');
    let mut written = 0;
    for (at, byte) in text.bytes().enumerate() {
        let escape = match byte {
            b'"' | b'\\' | 0..0x20 => byte,
            _ => continue,
        };
        // These bytes are ASCII, so both ends of the slice are between characters.
        out.push_str(&text[written..at]);
        written = at + 1;
        match escape {
            b'\n' => out.push_str("\\n"),
            b'\r' => out.push_str("\\r"),
            b'\t' => out.push_str("\\t"),
            b'"' | b'\\' => {
                out.push('\\');
                out.push(char::from(escape));
            }
            other => {
                out.push_str("\\u00");
                for digit in [other >> 4, other & 0xf] {
                    out.push(char::from(b"0123456789abcdef"[usize::from(digit)]));
                }
            }
        }
    }
    out.push_str(&text[written..]);
    out.push('"');
}

/// Reads values from a text.
struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl Reader<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn skip_space(&mut self) {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.peek() {
            self.at += 1;
        }
    }

    /// Skips the byte if it is the next one.
    fn skip(&mut self, byte: u8) -> bool {
        let is_next = self.peek() == Some(byte);
        self.at += usize::from(is_next);
        is_next
    }

    fn value(&mut self, depth: u32) -> Option<Value> {
        if depth > DEEPEST {
            return None;
        }
        self.skip_space();
        match self.peek()? {
            b'n' => self.word("null", Value::Null),
            b't' => self.word("true", Value::Bool(true)),
            b'f' => self.word("false", Value::Bool(false)),
            b'"' => self.string().map(Value::Text),
            b'[' => self.list(depth),
            b'{' => self.fields(depth),
            _ => self.number(),
        }
    }

    fn word(&mut self, word: &str, value: Value) -> Option<Value> {
        let is_next = self.text[self.at..].starts_with(word);
        self.at += word.len();
        is_next.then_some(value)
    }

    fn list(&mut self, depth: u32) -> Option<Value> {
        self.at += 1;
        let mut list = Vec::new();
        self.skip_space();
        if self.skip(b']') {
            return Some(Value::List(list));
        }
        loop {
            list.push(self.value(depth + 1)?);
            self.skip_space();
            if self.skip(b']') {
                return Some(Value::List(list));
            }
            if !self.skip(b',') {
                return None;
            }
        }
    }

    fn fields(&mut self, depth: u32) -> Option<Value> {
        self.at += 1;
        let mut fields = Vec::new();
        self.skip_space();
        if self.skip(b'}') {
            return Some(Value::Object(fields));
        }
        loop {
            self.skip_space();
            let name = self.string()?;
            self.skip_space();
            if !self.skip(b':') {
                return None;
            }
            fields.push((name, self.value(depth + 1)?));
            self.skip_space();
            if self.skip(b'}') {
                return Some(Value::Object(fields));
            }
            if !self.skip(b',') {
                return None;
            }
        }
    }

    /// Skips digits, and returns whether there were any.
    fn digits(&mut self) -> bool {
        let from = self.at;
        while self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
        self.at > from
    }

    fn number(&mut self) -> Option<Value> {
        let from = self.at;
        self.skip(b'-');
        // A number has no leading zeros.
        if !self.skip(b'0') && !self.digits() {
            return None;
        }
        if self.skip(b'.') && !self.digits() {
            return None;
        }
        if self.skip(b'e') || self.skip(b'E') {
            let _sign = self.skip(b'+') || self.skip(b'-');
            if !self.digits() {
                return None;
            }
        }
        let number = self.text[from..self.at].parse();
        Some(number.map_or(Value::OtherNumber, Value::Number))
    }

    fn string(&mut self) -> Option<String> {
        if !self.skip(b'"') {
            return None;
        }
        let mut out = String::new();
        loop {
            let from = self.at;
            while !matches!(self.peek()?, b'"' | b'\\' | 0..0x20) {
                self.at += 1;
            }
            out.push_str(&self.text[from..self.at]);
            if self.skip(b'"') {
                return Some(out);
            }
            if !self.skip(b'\\') {
                return None;
            }
            out.push(self.escaped()?);
        }
    }

    /// Reads the rest of an escape sequence.
    fn escaped(&mut self) -> Option<char> {
        let byte = self.peek()?;
        self.at += 1;
        Some(match byte {
            b'"' | b'\\' | b'/' => char::from(byte),
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => {
                let first = self.unit()?;
                // A character beyond 16 bits is a pair of surrogates.
                if !(0xd800..0xdc00).contains(&first) {
                    return char::from_u32(first);
                }
                let is_pair = self.skip(b'\\') && self.skip(b'u');
                let second = self.unit().filter(|_| is_pair)?;
                let low = second.checked_sub(0xdc00).filter(|low| *low < 0x400)?;
                return char::from_u32(0x1_0000 + ((first - 0xd800) << 10) + low);
            }
            _ => return None,
        })
    }

    /// Reads four hexadecimal digits.
    fn unit(&mut self) -> Option<u32> {
        let mut unit = 0;
        for _ in 0..4 {
            unit = unit * 16 + char::from(self.peek()?).to_digit(16)?;
            self.at += 1;
        }
        Some(unit)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::Value;
    use proptest::prelude::*;
    use serde_json::json;

    /// Returns the value that `serde_json` writes.
    pub(crate) fn value(of: serde_json::Value) -> Value {
        Value::read(&of.to_string()).unwrap()
    }

    /// Returns the value as `serde_json` has it, without numbers that are not ours.
    fn theirs(value: &Value) -> serde_json::Value {
        match value {
            Value::Null | Value::OtherNumber => json!(null),
            Value::Bool(value) => json!(value),
            Value::Number(number) => json!(number),
            Value::Text(text) => json!(text),
            Value::List(list) => list.iter().map(theirs).collect(),
            Value::Object(fields) => {
                let fields = fields.iter().map(|(name, value)| (name.clone(), theirs(value)));
                serde_json::Value::Object(fields.collect())
            }
        }
    }

    /// Returns `serde_json`'s value without numbers that are not ours.
    fn without_other_numbers(value: serde_json::Value) -> serde_json::Value {
        match value {
            serde_json::Value::Number(number) if !number.is_u64() => json!(null),
            serde_json::Value::Array(list) => list.into_iter().map(without_other_numbers).collect(),
            serde_json::Value::Object(fields) => {
                let fields = fields
                    .into_iter()
                    .map(|(name, value)| (name, without_other_numbers(value)));
                serde_json::Value::Object(fields.collect())
            }
            other => other,
        }
    }

    fn values() -> impl Strategy<Value = Value> {
        let text = prop_oneof![any::<String>(), "[\"\\\\/a\u{0}-\u{1f}\u{7f}é€😀]*"];
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::Bool),
            any::<u64>().prop_map(Value::Number),
            text.clone().prop_map(Value::Text),
        ];
        leaf.prop_recursive(4, 32, 6, move |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Value::List),
                prop::collection::vec((text.clone(), inner), 0..6).prop_map(Value::Object),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again_here_and_by_serde_json(value in values()) {
            let line = value.to_line();
            prop_assert!(!line.contains('\n'), "{line}");
            prop_assert_eq!(serde_json::from_str::<serde_json::Value>(&line).unwrap(), theirs(&value));
            prop_assert_eq!(Value::read(&line), Some(value));
        }

        #[test]
        fn a_changed_text_is_read_as_serde_json_reads_it(
            value in values(), at in any::<prop::sample::Index>(), new in "[\\[\\]{}:,\"\\\\u0-9eE.+\\- \n\u{1}tfn]{0,2}",
        ) {
            let mut text: Vec<char> = value.to_line().chars().collect();
            let at = at.index(text.len());
            text.splice(at..=at, new.chars());
            let text: String = text.into_iter().collect();
            let wanted = serde_json::from_str(&text).ok().map(without_other_numbers);
            // A number beyond the range of `f64` is an error there.
            if wanted.is_some() || !text.contains(['e', 'E']) {
                prop_assert_eq!(Value::read(&text).as_ref().map(theirs), wanted, "{}", text);
            }
        }

        #[test]
        fn no_text_makes_the_reader_panic(text in any::<String>()) {
            let _ = Value::read(&text);
        }
    }

    #[test]
    fn escapes_and_numbers_are_read_as_serde_json_reads_them() {
        for text in [
            r#""\ud83d\ude00 \u00e9 \b\f\/""#,
            r#""\ud83d""#,
            r#""\ud83d\n""#,
            r#""\ude00""#,
            r#""\ud83dA""#,
            r#""\u12"#,
            "\"\u{1}\"",
            "-1",
            "1.5e3",
            "01",
            "1.",
            "-",
            "18446744073709551616",
            " [1 , {\"a\" : null}]\n",
            "[1,]",
            "{\"a\":1,}",
            "{\"a\":1,\"a\":2}",
            "nul",
            "true false",
            "",
        ] {
            let wanted = serde_json::from_str(text).ok().map(without_other_numbers);
            assert_eq!(Value::read(text).as_ref().map(theirs), wanted, "{text}");
        }
    }

    #[test]
    fn a_text_that_is_nested_too_deeply_is_refused() {
        let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
        assert!(Value::read(&nested(64)).is_some());
        for depth in [66, 1_000_000] {
            assert_eq!(Value::read(&nested(depth)), None);
        }
    }

    #[test]
    fn the_last_of_equal_fields_counts_and_a_missing_one_is_null() {
        let value = Value::read(r#"{"a":1,"a":2,"b":[3]}"#).unwrap();
        assert_eq!(value.get("a").as_number(), Some(2));
        assert_eq!(value.get("b").at(0).as_number(), Some(3));
        assert_eq!(value.get("b").at(1).get("c"), &Value::Null);
    }
}
