//! Why no head comes of a lesson.

/// Why no head comes of a lesson.
#[derive(Debug, thiserror::Error)]
pub enum TeachError {
    /// The caller does not wait for it any more.
    #[error("teaching was abandoned")]
    Abandoned,
    /// The backbone gives a map.
    #[error("heads are taught on the vectors of a backbone, and this one gives a map")]
    Map,
    /// Fewer than two labels with two examples each.
    #[error("fewer than two labels have two examples each")]
    TooFew,
    /// NaN, infinite or too large numbers.
    #[error("an example's numbers are not finite, or too large to be learnt from")]
    NotFinite,
    /// The tensor library fails, or shapes do not fit together.
    #[error("the tensor library failed")]
    Tensor(#[from] candle_core::Error),
}
