//! `GenerationService`.

use super::incoming::{Incoming, Whole};
use super::outgoing::{Answers, Outgoing};
use super::{Services, convert};
use crate::admission::{Admitted, Held};
use crate::core::{Core, GenerationFiles, RequestId};
use crate::error::Error;
use crate::life::{HeadState, ModelStatus};
use lapel_heads::BundleKey;
use lapel_proto::v1;
use lapel_proto::v1::build_generation_request::Part;
use lapel_proto::v1::generation_service_server::GenerationService;
use std::sync::Arc;
use tonic::{Request, Response, Status, Streaming};

#[tonic::async_trait]
impl GenerationService for Services {
    async fn build_generation(
        &self,
        request: Request<Streaming<v1::BuildGenerationRequest>>,
    ) -> Result<Response<v1::BuildGenerationResponse>, Status> {
        let room = Admitted::of(&request)?;
        // The files keep their room until they are taken over.
        let (files, hold, request, _held) = self.receive_generation(request.into_inner(), &room).await?;
        let status = self.core.build_generation((files, "header.file"), hold, request).await?;
        Ok(Response::new(v1::BuildGenerationResponse { generation: Some(generation(&self.core, &status)) }))
    }

    async fn build_generation_from_files(
        &self,
        request: Request<v1::BuildGenerationFromFilesRequest>,
    ) -> Result<Response<v1::BuildGenerationFromFilesResponse>, Status> {
        let v1::BuildGenerationFromFilesRequest { files, hold, request_id } = request.into_inner();
        let limits = &self.core.config.limits;
        let (mut taken, mut hashes) = (GenerationFiles::default(), Vec::new());
        for (at, file) in files.into_iter().enumerate() {
            let v1::GenerationFileContent { file: kind, content, sha256, signature } = file;
            let kind = kind_of(kind, &taken, limits.heads_max, &format!("files[{at}].file"))?;
            let whole = Whole {
                bytes: &content,
                sha256: &sha256,
                signature: &signature,
                bytes_field: format!("files[{at}].content"),
                hash_field: format!("files[{at}].sha256"),
            };
            hashes.push(whole.check(limits.bundle_bytes_max.0, self.core.bundle_key.as_ref())?);
            put(&mut taken, kind, content);
        }
        check_complete(&taken, "files")?;
        // The same request as one whose files come in pieces.
        let request =
            convert::request_id_of("BuildGeneration", b"", &request_id, hashes.join(",").as_bytes())?;
        let status = self.core.build_generation((taken, "files"), hold, request).await?;
        let generation = Some(generation(&self.core, &status));
        Ok(Response::new(v1::BuildGenerationFromFilesResponse { generation }))
    }

    type WatchGenerationStream = Answers<v1::WatchGenerationResponse>;

    async fn watch_generation(
        &self,
        request: Request<v1::WatchGenerationRequest>,
    ) -> Result<Response<Self::WatchGenerationStream>, Status> {
        let core = self.core.clone();
        let fingerprint = core.model_status(&request.get_ref().backbone)?.fingerprint;
        let (outgoing, answers) = Outgoing::new(&request);
        tokio::spawn(async move {
            let watched = watch_until_settled(&core, &fingerprint, &outgoing).await;
            outgoing.end(watched);
        });
        Ok(Response::new(answers))
    }

    async fn list_generations(
        &self,
        _: Request<v1::ListGenerationsRequest>,
    ) -> Result<Response<v1::ListGenerationsResponse>, Status> {
        let mut models: Vec<ModelStatus> = self.core.models().into_values().collect();
        models.sort_by_key(|m| (m.state != HeadState::Active, std::cmp::Reverse(m.registered_ms)));
        Ok(Response::new(v1::ListGenerationsResponse {
            generations: models.iter().map(|m| generation(&self.core, m)).collect(),
            generation: self.core.snapshot().generation,
        }))
    }

    async fn switch_generation(
        &self,
        request: Request<v1::SwitchGenerationRequest>,
    ) -> Result<Response<v1::SwitchGenerationResponse>, Status> {
        let request = request.into_inner();
        let id = convert::request_id("SwitchGeneration", &request.request_id, &request)?;
        let status = self.core.switch_generation(request.backbone, id).await?;
        Ok(Response::new(v1::SwitchGenerationResponse {
            generation: Some(generation(&self.core, &status)),
            number: self.core.snapshot().generation,
        }))
    }

    async fn drop_generation(
        &self,
        request: Request<v1::DropGenerationRequest>,
    ) -> Result<Response<v1::DropGenerationResponse>, Status> {
        let request = request.into_inner();
        let id = convert::request_id("DropGeneration", &request.request_id, &request)?;
        if request.backbone.is_empty() {
            return Err(Error::invalid("backbone", "name the backbone to drop").into());
        }
        let status = self.core.drop_generation(request.backbone, id).await?;
        Ok(Response::new(v1::DropGenerationResponse { generation: Some(generation(&self.core, &status)) }))
    }
}

/// The files that have come whole, and the one on its way.
struct Receiving<'a> {
    key: Option<&'a BundleKey>,
    files: GenerationFiles,
    room: &'a Admitted,
    /// What the files take.
    held: Vec<Held>,
    /// Announcements, for the request's identity.
    announced: Vec<String>,
    current: Option<(v1::GenerationFile, Incoming)>,
}

impl Receiving<'_> {
    fn announce(
        &mut self,
        header: v1::GenerationFileHeader,
        most: usize,
        heads_max: usize,
    ) -> Result<(), Error> {
        self.finish()?;
        let file = kind_of(header.file, &self.files, heads_max, "header.file")?;
        self.announced.push(header.sha256.to_lowercase());
        self.current = Some((
            file,
            Incoming::announced(header.size_bytes, header.sha256, header.signature, most, self.room)?,
        ));
        Ok(())
    }

    fn finish(&mut self) -> Result<(), Error> {
        let Some((file, incoming)) = self.current.take() else { return Ok(()) };
        let (bytes, held) = incoming.finish(self.key)?;
        self.held.push(held);
        put(&mut self.files, file, bytes);
        Ok(())
    }
}

/// What the next file is, told at `field`; one that is there already, or one too many, is refused.
fn kind_of(
    number: i32,
    there: &GenerationFiles,
    heads_max: usize,
    field: &str,
) -> Result<v1::GenerationFile, Error> {
    let kind = v1::GenerationFile::try_from(number).unwrap_or_default();
    let is_too_many = match kind {
        v1::GenerationFile::Backbone => !there.backbone.is_empty(),
        v1::GenerationFile::ExtractParts => !there.extract_parts.is_empty(),
        v1::GenerationFile::Head => there.heads.len() >= heads_max,
        v1::GenerationFile::Unspecified => {
            let wanted = format!("{number} is no kind of file; see GenerationFile");
            return Err(Error::invalid(field, wanted));
        }
    };
    if is_too_many {
        let wanted =
            format!("one backbone, one \"Extract Parts?\" head and up to {heads_max} heads are accepted");
        return Err(Error::invalid(field, wanted));
    }
    Ok(kind)
}

fn put(files: &mut GenerationFiles, kind: v1::GenerationFile, bytes: Vec<u8>) {
    match kind {
        v1::GenerationFile::Backbone => files.backbone = bytes,
        v1::GenerationFile::ExtractParts => files.extract_parts = bytes,
        v1::GenerationFile::Head | v1::GenerationFile::Unspecified => files.heads.push(bytes),
    }
}

/// A generation has a model; whether it has heads is seen when it is built.
fn check_complete(files: &GenerationFiles, field: &str) -> Result<(), Error> {
    for (name, file) in [("backbone", &files.backbone), ("\"Extract Parts?\" head", &files.extract_parts)] {
        if file.is_empty() {
            return Err(Error::invalid(field, format!("the {name} is missing")));
        }
    }
    Ok(())
}

impl Services {
    async fn receive_generation(
        &self,
        mut stream: Streaming<v1::BuildGenerationRequest>,
        room: &Admitted,
    ) -> Result<(GenerationFiles, bool, RequestId, Vec<Held>), Status> {
        let limits = &self.core.config.limits;
        let (mut hold, mut id) = (false, String::new());
        let mut receiving = Receiving {
            key: self.core.bundle_key.as_ref(),
            files: GenerationFiles::default(),
            room,
            held: Vec::new(),
            announced: Vec::new(),
            current: None,
        };
        while let Some(message) = stream.message().await? {
            match message.part {
                Some(Part::Header(header)) => {
                    if receiving.announced.is_empty() {
                        (hold, id) = (header.hold, header.request_id.clone());
                    }
                    receiving.announce(header, limits.bundle_bytes_max.0, limits.heads_max)?;
                }
                Some(Part::Chunk(chunk)) => match &mut receiving.current {
                    Some((_, incoming)) => incoming.take(&chunk)?,
                    None => {
                        return Err(Error::invalid("header", "a file is announced before its bytes").into());
                    }
                },
                None => return Err(Error::invalid("part", "each message is a header or a chunk").into()),
            }
        }
        receiving.finish()?;
        let Receiving { files, held, announced, .. } = receiving;
        check_complete(&files, "header.file")?;
        let request = convert::request_id_of("BuildGeneration", b"", &id, announced.join(",").as_bytes())?;
        Ok((files, hold, request, held))
    }
}

/// Tells a generation's state and every change of it, until nothing more happens to it, it is gone, the caller
/// leaves or the server stops.
async fn watch_until_settled(
    core: &Arc<Core>,
    fingerprint: &str,
    outgoing: &Outgoing<v1::WatchGenerationResponse>,
) -> Result<(), Error> {
    let mut states = core.registry.watch_models();
    let first = core.heads_of_model(fingerprint).into_iter().next();
    let mut progress = first.map(|s| core.registry.watch(&s.name, s.version)).transpose()?;
    loop {
        let Ok(status) = core.model_status(fingerprint) else { return Ok(()) };
        let told = Some(generation(core, &status));
        outgoing.send(v1::WatchGenerationResponse { generation: told }).await?;
        if status.state.is_settled() {
            return Ok(());
        }
        let progressed = async {
            match &mut progress {
                Some(progress) => progress.changed().await.is_ok(),
                None => std::future::pending().await,
            }
        };
        let goes_on = tokio::select! {
            changed = states.changed() => changed.is_ok(),
            progressed = progressed => progressed,
            () = outgoing.closed() => false,
            () = core.stopping.cancelled() => false,
        };
        if !goes_on {
            return Ok(());
        }
    }
}

fn generation(core: &Arc<Core>, status: &ModelStatus) -> v1::Generation {
    let heads = core.heads_of_model(&status.fingerprint);
    let (state, failure) = convert::head_state(&status.state);
    let building = heads.iter().find(|s| status.heads.contains(&s.key));
    v1::Generation {
        backbone: status.fingerprint.clone(),
        state: state.into(),
        failure: failure.to_owned(),
        backfill: building.map(|s| convert::progress(&s.progress)),
        heads: heads.iter().map(convert::head).collect(),
        build_time: convert::timestamp(status.registered_ms),
    }
}
