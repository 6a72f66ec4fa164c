//! What a model sees in a picture, looked at behind queries: the feature cache is asked first, and gets what it lacked.
//! Backfills and teaching look at pictures by this alone.

use super::Core;
use crate::catalogue::Computing;
use crate::engine::Priority;
use crate::error::Error;
use crate::life::Skip;
use crate::store::ContentId;
use lapel_heads::Embedding;

/// What a model and some heads see in a picture.
pub(super) struct Looked {
    pub(super) embedding: Embedding,
    /// Whether the feature cache had the picture's features.
    pub(super) from_cache: bool,
}

impl Core {
    /// Looks at a stored picture of an item. The inner error says why it cannot be looked at.
    ///
    /// # Errors
    /// When the store or the model fails.
    pub(super) async fn look_at_stored(
        &self,
        id: &str,
        (number, content): (u32, ContentId),
        on: Computing,
    ) -> Result<Result<Looked, Skip>, Error> {
        if let Some(looked) = self.look_at_cached(content, &on).await? {
            return Ok(Ok(looked));
        }
        let image = match self.image(id, number).await {
            Ok(Some(image)) => image,
            Ok(None) => return Ok(Err(Skip::NoImage)),
            Err(Error::Store(error)) if error.is_damage() => return Ok(Err(Skip::DamagedImage)),
            Err(error) => return Err(error),
        };
        // The item may have been written anew meanwhile: features are kept under the image that they are of.
        let content = ContentId::of(&image);
        self.look_at_photo(image, content, on).await
    }

    /// Looks at a picture that is not stored.
    ///
    /// # Errors
    /// As [`Core::look_at_stored`].
    pub(super) async fn look_at_sent(
        &self,
        image: Vec<u8>,
        on: Computing,
    ) -> Result<Result<Looked, Skip>, Error> {
        let content = ContentId::of(&image);
        match self.look_at_cached(content, &on).await? {
            Some(looked) => Ok(Ok(looked)),
            None => self.look_at_photo(image, content, on).await,
        }
    }

    async fn look_at_cached(&self, content: ContentId, on: &Computing) -> Result<Option<Looked>, Error> {
        let Some(features) = self.cached_features(&on.model, content).await else { return Ok(None) };
        let embedding = if on.heads.is_empty() {
            // There is nothing to compute, and no place in the model's queue to wait for.
            Embedding { features, signatures: Vec::new() }
        } else {
            self.engine.embed_features(features, on.clone()).await?
        };
        Ok(Some(Looked { embedding, from_cache: true }))
    }

    async fn look_at_photo(
        &self,
        image: Vec<u8>,
        content: ContentId,
        on: Computing,
    ) -> Result<Result<Looked, Skip>, Error> {
        let model = on.model.clone();
        match self.engine.embed(image, on, Priority::Bulk).await {
            Ok(embedding) => {
                self.cache_features(&model, content, &embedding.features).await;
                Ok(Ok(Looked { embedding, from_cache: false }))
            }
            Err(Error::Photo(_)) => Ok(Err(Skip::BadImage)),
            Err(error) => Err(error),
        }
    }
}
