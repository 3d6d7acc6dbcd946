//! Follows gRPC's framing as the bytes pass: one byte of flags, four bytes of length, the message. Both sides of the
//! Net seam use it to refuse a message that is too large by its announced length, before they collect it. The
//! metrics use it to count messages.

use tonic::Status;

/// Where in the framing a stream is.
#[derive(Debug, Default)]
pub struct Framing {
    head: [u8; 5],
    /// Bytes of `head` seen so far.
    seen: usize,
    /// Bytes of the present message still to come.
    left: usize,
}

impl Framing {
    /// Follows the stream's next piece, which may be cut anywhere. `begins` is called with the announced length of
    /// each message that begins in it. Returns how many of the piece's bytes belong to messages.
    ///
    /// # Errors
    /// The first error of `begins`. The stream must then not be followed any further.
    pub fn follow<E>(
        &mut self,
        mut data: &[u8],
        mut begins: impl FnMut(usize) -> Result<(), E>,
    ) -> Result<u64, E> {
        let mut bytes = 0;
        while !data.is_empty() {
            if self.left > 0 {
                let taken = self.left.min(data.len());
                self.left -= taken;
                bytes += taken as u64;
                data = &data[taken..];
                continue;
            }
            self.head[self.seen] = data[0];
            self.seen += 1;
            data = &data[1..];
            if self.seen == self.head.len() {
                self.seen = 0;
                let [_, a, b, c, d] = self.head;
                self.left = u32::from_be_bytes([a, b, c, d]) as usize;
                begins(self.left)?;
            }
        }
        Ok(bytes)
    }
}

/// The limit on the size of a message, which tonic leaves to its transport.
#[derive(Debug)]
pub struct MessageLimit {
    max: usize,
    framing: Framing,
}

impl MessageLimit {
    /// A limit of `max` bytes for each message.
    pub fn new(max: usize) -> Self {
        Self { max, framing: Framing::default() }
    }

    /// Takes the stream's next piece.
    ///
    /// # Errors
    /// `ResourceExhausted` in grpc-go's words, if a message over the limit begins in the piece.
    pub fn check(&mut self, data: &[u8]) -> Result<(), Status> {
        let max = self.max;
        let begins = |size| match size > max {
            true => Err(Status::resource_exhausted(format!(
                "grpc: received message larger than max ({size} vs. {max})"
            ))),
            false => Ok(()),
        };
        self.framing.follow(data, begins).map(|_| ())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_sees_messages_however_they_are_cut() {
        let mut wire = Vec::new();
        for len in [0u32, 3, 10, 7] {
            wire.push(0);
            wire.extend(len.to_be_bytes());
            wire.extend(std::iter::repeat_n(9, len as usize));
        }
        for cut in 1..wire.len() {
            let mut fits = MessageLimit::new(10);
            assert!(wire.chunks(cut).all(|chunk| fits.check(chunk).is_ok()), "cut into {cut}");
            let mut tight = MessageLimit::new(9);
            let failed = wire.chunks(cut).find_map(|chunk| tight.check(chunk).err()).expect("a refusal");
            assert_eq!(failed.message(), "grpc: received message larger than max (10 vs. 9)");
        }
    }

    #[test]
    fn a_message_over_the_limit_is_found_however_it_is_cut() {
        let mut stream = vec![0, 0, 0, 0, 3, 1, 2, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4];
        for at in 1..stream.len() {
            let mut sizes = MessageLimit::new(3);
            let (first, second) = stream.split_at(at);
            let result = sizes.check(first).and_then(|()| sizes.check(second));
            assert_eq!(result.unwrap_err().code(), tonic::Code::ResourceExhausted, "cut at {at}");
        }
        stream.truncate(13);
        assert!(MessageLimit::new(3).check(&stream).is_ok());
    }
}
