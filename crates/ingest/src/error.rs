//! Why nothing of a request was taken, and the status that tells the sender what to do about it.

/// A request refused as a whole. Faults of single series are in [`crate::Decoded::refused`] instead.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IngestError {
    /// The compressed body is too large.
    #[error("body has {bytes} bytes, more than the limit of {limit}; send smaller batches")]
    BodyTooLarge {
        /// Bytes received.
        bytes: u64,
        /// Bytes allowed.
        limit: u64,
    },
    /// The body declares to unpack to too much.
    #[error("body unpacks to {bytes} bytes, more than the limit of {limit}; send smaller batches")]
    DecodedTooLarge {
        /// Bytes declared by the snappy header.
        bytes: u64,
        /// Bytes allowed.
        limit: u64,
    },
    /// There is no body.
    #[error("body is empty; send a snappy block that holds a WriteRequest (an empty one is one zero byte)")]
    EmptyBody,
    /// The body is not one snappy block.
    #[error("body of {bytes} bytes is not a snappy block: {why}; use the block format, not the framed one")]
    Snappy {
        /// Bytes received.
        bytes: u64,
        /// What the decompressor met.
        why: String,
    },
    /// The unpacked bytes are not the protobuf message.
    #[error("message is malformed at byte {offset}: {what}")]
    Malformed {
        /// Offset in the unpacked message.
        offset: usize,
        /// What is wrong there.
        what: &'static str,
    },
    /// A 2.0 message was sent under the 1.0 content type; taking it as 1.0 would silently drop all of it.
    #[error(
        "message looks like remote write 2.0 under the content type of 1.0; \
         say application/x-protobuf;proto=io.prometheus.write.v2.Request"
    )]
    LooksLikeV2,
    /// A 1.0 message was sent under the 2.0 content type.
    #[error(
        "message looks like remote write 1.0 under the content type of 2.0; \
         say application/x-protobuf;proto=prometheus.WriteRequest"
    )]
    LooksLikeV1,
    /// Too many of something.
    #[error("request holds {found} {what}, more than the limit of {limit}; send smaller batches")]
    TooMany {
        /// `series`, `samples`, `native histograms`, `exemplars`, `symbols` or `metadata entries`.
        what: &'static str,
        /// How many there are.
        found: u64,
        /// How many are allowed.
        limit: u64,
    },
    /// The histograms of a request are too large together.
    #[error("native histograms of the request hold more spans and buckets than the limit; send smaller batches")]
    TooManyBuckets,
    /// Not a content type we read.
    #[error(
        "content type {found} is not accepted; send application/x-protobuf;proto=io.prometheus.write.v2.Request or \
         application/x-protobuf;proto=prometheus.WriteRequest"
    )]
    ContentType {
        /// What was sent, quoted.
        found: String,
    },
    /// Not an encoding we read.
    #[error("content encoding {found} is not accepted; send snappy (block format)")]
    ContentEncoding {
        /// What was sent, quoted.
        found: String,
    },
    /// Not a content encoding of the text and OTLP protocols.
    #[error("content encoding `{found}` is not accepted; send gzip, deflate, zstd or none")]
    UnknownEncoding {
        /// What was sent.
        found: String,
    },
    /// The body is not packed as its header says.
    #[error("body is not valid {encoding}: {why}")]
    Packed {
        /// What the header says.
        encoding: &'static str,
        /// What the decompressor met.
        why: String,
    },
    /// The body unpacks to too much; how much is not known, because unpacking stopped at the limit.
    #[error("body unpacks to more than the limit of {limit} bytes; send smaller batches")]
    Bomb {
        /// Bytes allowed.
        limit: u64,
    },
    /// An OpenMetrics text without its last line.
    #[error("text does not end with `# EOF`; it was cut off on its way")]
    NoEof,
    /// A text that is not UTF-8.
    #[error("text is not UTF-8 at byte {offset}")]
    NotUtf8 {
        /// Offset of the first bad byte.
        offset: usize,
    },
    /// A JSON body that is not the message.
    #[error("JSON is malformed: {why}")]
    Json {
        /// What the parser met, with line and column.
        why: String,
    },
    /// Labels of more than 4 GiB in one batch.
    #[error(transparent)]
    Batch(#[from] series::BatchTooLarge),
}

impl IngestError {
    /// The HTTP status: 400 never send again, 413 send less at once, 415 send another format.
    pub fn status(&self) -> u16 {
        match self {
            Self::BodyTooLarge { .. } | Self::DecodedTooLarge { .. } | Self::Bomb { .. } | Self::Batch(_) => 413,
            Self::ContentType { .. } | Self::ContentEncoding { .. } | Self::UnknownEncoding { .. } => 415,
            Self::EmptyBody
            | Self::Snappy { .. }
            | Self::Malformed { .. }
            | Self::LooksLikeV2
            | Self::LooksLikeV1
            | Self::TooManyBuckets
            | Self::Packed { .. }
            | Self::NoEof
            | Self::NotUtf8 { .. }
            | Self::Json { .. }
            | Self::TooMany { .. } => 400,
        }
    }

    /// A short word for metrics.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::BodyTooLarge { .. } => "body_too_large",
            Self::DecodedTooLarge { .. } => "decoded_too_large",
            Self::EmptyBody => "empty_body",
            Self::Snappy { .. } => "snappy",
            Self::Malformed { .. } => "malformed",
            Self::LooksLikeV2 => "remote_write_2",
            Self::LooksLikeV1 => "remote_write_1",
            Self::TooManyBuckets => "too_many_buckets",
            Self::TooMany { .. } => "too_many",
            Self::ContentType { .. } => "content_type",
            Self::ContentEncoding { .. } | Self::UnknownEncoding { .. } => "content_encoding",
            Self::Packed { .. } => "packed",
            Self::Bomb { .. } => "bomb",
            Self::NoEof => "no_eof",
            Self::NotUtf8 { .. } => "not_utf8",
            Self::Json { .. } => "json",
            Self::Batch(_) => "batch_too_large",
        }
    }
}
