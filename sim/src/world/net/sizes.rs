//! The limit on the size of a message, which tonic leaves to its transport.

use tonic::Status;

/// Watches the sizes of gRPC's length-prefixed messages as their bytes pass.
pub(super) struct MessageSizes {
    limit: usize,
    prefix: Vec<u8>,
    /// Bytes of the message at hand that are still to come.
    left: usize,
}

impl MessageSizes {
    pub(super) fn new(limit: usize) -> Self {
        Self { limit, prefix: Vec::with_capacity(5), left: 0 }
    }

    pub(super) fn pass(&mut self, mut data: &[u8]) -> Result<(), Status> {
        while !data.is_empty() {
            if self.left > 0 {
                let step = self.left.min(data.len());
                self.left -= step;
                data = &data[step..];
                continue;
            }
            let step = (5 - self.prefix.len()).min(data.len());
            self.prefix.extend_from_slice(&data[..step]);
            data = &data[step..];
            if let [_, a, b, c, d] = self.prefix[..] {
                self.prefix.clear();
                self.left = u32::from_be_bytes([a, b, c, d]) as usize;
                if self.left > self.limit {
                    // grpc-go's words.
                    let (size, limit) = (self.left, self.limit);
                    return Err(Status::resource_exhausted(format!(
                        "grpc: received message larger than max ({size} vs. {limit})"
                    )));
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_over_the_limit_is_found_however_it_is_cut() {
        let mut stream = vec![0, 0, 0, 0, 3, 1, 2, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4];
        for at in 1..stream.len() {
            let mut sizes = MessageSizes::new(3);
            let (first, second) = stream.split_at(at);
            let result = sizes.pass(first).and_then(|()| sizes.pass(second));
            assert_eq!(result.unwrap_err().code(), tonic::Code::ResourceExhausted, "cut at {at}");
        }
        stream.truncate(13);
        assert!(MessageSizes::new(3).pass(&stream).is_ok());
    }
}
