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
    /// Change heads and generations.
    Heads,
    /// Take the whole catalogue away: backups and exports.
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
pub(super) enum Needs {
    /// Nothing: health is for whoever asks.
    Nothing,
    /// A token with this role.
    Role(Role),
}

/// What a method takes, by service and name; `None` for one that this server does not have.
pub(super) fn needs(service: &str, method: &str) -> Option<Needs> {
    let role = match (service, method) {
        ("grpc.health.v1.Health", "Check" | "Watch") => return Some(Needs::Nothing),
        ("grpc.reflection.v1.ServerReflection", "ServerReflectionInfo")
        | ("lapel.v1.SearchService", "Describe" | "Search" | "SearchBatch")
        | ("lapel.v1.FeedbackService", "Personalise" | "GetProfile" | "ListProfiles")
        | ("lapel.v1.CatalogService", "GetItem" | "GetItemImage" | "ListItems" | "CatalogStats")
        | ("lapel.v1.HeadService", "WatchHead" | "ListHeads" | "GetHead" | "ListLabels")
        | ("lapel.v1.GenerationService", "WatchGeneration" | "ListGenerations") => Role::Search,
        ("lapel.v1.CatalogService", "UpsertItems" | "DeleteItems")
        | ("lapel.v1.FeedbackService", "SaveProfile" | "UndoProfile" | "DeleteProfile") => Role::Write,
        (
            "lapel.v1.HeadService",
            "RegisterHead" | "PromoteHead" | "RollbackHead" | "CancelHead" | "RetireHead",
        )
        | ("lapel.v1.GenerationService", "BuildGeneration" | "SwitchGeneration" | "DropGeneration") => {
            Role::Heads
        }
        ("lapel.v1.CatalogService", "ExportItems") | ("lapel.v1.AdminService", "Backup") => Role::Admin,
        _ => return None,
    };
    Some(Needs::Role(role))
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
                    let found = needs(&format!("lapel.v1.{}", service.name()), method.name());
                    assert!(matches!(found, Some(Needs::Role(_))), "{} {}", service.name(), method.name());
                    methods += 1;
                }
            }
        }
        assert!(methods >= 30, "{methods}");
        assert_eq!(needs("lapel.v1.SearchService", "Nothing"), None);
    }
}
