//! Who may call what.

use serde::Deserialize;

/// What a token may be used for. No role implies another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Describe, search, and read items, profiles, heads and generations.
    Search,
    /// Change items and profiles.
    Write,
    /// Change heads and generations, and see what becomes of them.
    Heads,
    /// Take the whole catalogue away: backups and exports. See what others call.
    Admin,
}

impl Role {
    /// The role's name in a token file.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Search => "search",
            Self::Write => "write",
            Self::Heads => "heads",
            Self::Admin => "admin",
        }
    }
}

/// What calling a method takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Needs {
    /// Roles of which a token needs one. None: health is for whoever asks.
    pub(super) roles: &'static [Role],
    /// It is a stream, in one direction or both, and takes as long as there is something to send.
    pub(super) lasts: bool,
}

/// What a method takes, by service and name; `None` for one that this server does not have.
pub(super) fn needs(service: &str, method: &str) -> Option<Needs> {
    use Role::{Admin, Heads, Search, Write};
    let roles: &'static [Role] = match (service, method) {
        ("grpc.health.v1.Health", "Check" | "Watch") => &[],
        (
            "grpc.reflection.v1.ServerReflection" | "grpc.reflection.v1alpha.ServerReflection",
            "ServerReflectionInfo",
        ) => &[Search, Write, Heads, Admin],
        ("lapel.v1.SearchService", "Describe" | "Search" | "SearchBatch" | "Suggest")
        | ("lapel.v1.FeedbackService", "Personalise" | "GetProfile")
        | (
            "lapel.v1.CatalogService",
            "GetItem" | "GetItemImage" | "StreamItemImage" | "ListItems" | "CountItems",
        ) => &[Search],
        // Everybody's profiles are an operator's to list, which the service sees to.
        ("lapel.v1.FeedbackService", "ListProfiles") => &[Search, Admin],
        // Whoever fills the catalogue or takes it away sees how much there is.
        ("lapel.v1.CatalogService", "CatalogStats") => &[Search, Write, Admin],
        // Whoever changes heads sees what becomes of them, and what they are worth.
        (
            "lapel.v1.HeadService",
            "WatchHead" | "ListHeads" | "GetHead" | "ListLabels" | "SuggestExamples" | "CompareHeads",
        )
        | ("lapel.v1.GenerationService", "WatchGeneration" | "ListGenerations") => &[Search, Heads],
        (
            "lapel.v1.CatalogService",
            "UpsertItem" | "UpsertItems" | "UpsertItemsStream" | "DeleteItems" | "DeleteItemsByFilter",
        )
        | ("lapel.v1.FeedbackService", "SaveProfile" | "UndoProfile" | "DeleteProfile") => &[Write],
        (
            "lapel.v1.HeadService",
            "RegisterHead"
            | "RegisterHeadFromBundle"
            | "PromoteHead"
            | "RollbackHead"
            | "CancelHead"
            | "RetireHead"
            | "Teach"
            | "ChangeLabels"
            | "DownloadHead",
        )
        | (
            "lapel.v1.GenerationService",
            "BuildGeneration" | "BuildGenerationFromFiles" | "SwitchGeneration" | "DropGeneration",
        ) => &[Heads],
        ("lapel.v1.CatalogService", "ExportItems") | ("lapel.v1.AdminService", "Backup" | "ServerStats") => {
            &[Admin]
        }
        _ => return None,
    };
    Some(Needs { roles, lasts: lasts(method) })
}

/// The names of the methods that are streams; no two services share one.
fn lasts(method: &str) -> bool {
    matches!(
        method,
        "UpsertItems"
            | "UpsertItemsStream"
            | "StreamItemImage"
            | "ExportItems"
            | "RegisterHead"
            | "WatchHead"
            | "Teach"
            | "DownloadHead"
            | "BuildGeneration"
            | "WatchGeneration"
            | "Backup"
            | "ServerReflectionInfo"
            | "Watch"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use prost::Message;
    use prost_types::FileDescriptorSet;

    #[test]
    fn every_method_of_the_protocol_needs_a_role() {
        let set = FileDescriptorSet::decode(lapel_proto::FILE_DESCRIPTOR_SET).expect("a descriptor set");
        let mut methods = 0;
        for file in set.file.iter().filter(|f| f.package() == "lapel.v1") {
            for service in &file.service {
                for method in &service.method {
                    let name = format!("{} {}", service.name(), method.name());
                    let found = needs(&format!("lapel.v1.{}", service.name()), method.name()).expect(&name);
                    assert!(!found.roles.is_empty(), "{name}");
                    assert_eq!(found.lasts, method.client_streaming() || method.server_streaming(), "{name}");
                    methods += 1;
                }
            }
        }
        assert!(methods >= 30, "{methods}");
        assert_eq!(needs("lapel.v1.SearchService", "Nothing"), None);
    }
}
