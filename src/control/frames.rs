//! How a log travels over the control socket: frames of a kind, a length and so many bytes. Log and
//! notices share one stream and stay apart.

/// What a frame holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    /// Bytes for standard output.
    Log(Vec<u8>),
    /// A sentence for the person who waits.
    Notice(String),
    /// Why it ends before its end; the last frame.
    Error(String),
}

const HEADER: usize = 5;
/// Larger ones are none of ours.
const FRAME_MAX: usize = 1 << 20;

impl Frame {
    /// As it travels.
    pub fn encode(&self) -> Vec<u8> {
        let (kind, bytes) = match self {
            Frame::Log(bytes) => (b'l', bytes.as_slice()),
            Frame::Notice(text) => (b'n', text.as_bytes()),
            Frame::Error(text) => (b'e', text.as_bytes()),
        };
        let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        [&[kind], length.to_be_bytes().as_slice(), bytes].concat()
    }
}

/// Reads frames, however they are cut when they come.
#[derive(Default)]
pub struct Decoder(Vec<u8>);

impl Decoder {
    /// Takes what has come.
    pub fn take(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    /// The next whole frame; an error when the other side speaks another language.
    pub fn frame(&mut self) -> Result<Option<Frame>, String> {
        let Some((&[kind, a, b, c, d], rest)) = self.0.split_first_chunk::<HEADER>() else {
            return Ok(None);
        };
        let length = u32::from_be_bytes([a, b, c, d]) as usize;
        if length > FRAME_MAX || !b"lne".contains(&kind) {
            return Err("the operator's answer cannot be read; is it of another version?".to_owned());
        }
        let Some(bytes) = rest.get(..length).map(<[u8]>::to_vec) else { return Ok(None) };
        self.0.drain(..HEADER + length);
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Ok(Some(match kind {
            b'l' => Frame::Log(bytes),
            b'n' => Frame::Notice(text(bytes)),
            _ => Frame::Error(text(bytes)),
        }))
    }

    /// Whether nothing of a frame is left over.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn frame() -> impl Strategy<Value = Frame> {
        prop_oneof![
            prop::collection::vec(any::<u8>(), 0..300).prop_map(Frame::Log),
            "\\PC{0,40}".prop_map(Frame::Notice),
            "\\PC{0,40}".prop_map(Frame::Error),
        ]
    }

    proptest! {
        #[test]
        fn frames_arrive_as_they_were_sent_however_they_are_cut(
            frames in prop::collection::vec(frame(), 0..10),
            size in 1..50_usize,
        ) {
            let sent: Vec<u8> = frames.iter().flat_map(Frame::encode).collect();
            let (mut decoder, mut got) = (Decoder::default(), Vec::new());
            for piece in sent.chunks(size) {
                decoder.take(piece);
                while let Some(frame) = decoder.frame().unwrap() {
                    got.push(frame);
                }
            }
            prop_assert!(decoder.is_empty());
            prop_assert_eq!(got, frames);
        }
    }

    #[test]
    fn another_language_is_refused_and_not_waited_for() {
        for strange in [&b"hello world"[..], b"l\xff\xff\xff\xff", b"x\0\0\0\0"] {
            let mut decoder = Decoder::default();
            decoder.take(strange);
            assert!(decoder.frame().is_err(), "{strange:?}");
        }
    }
}
