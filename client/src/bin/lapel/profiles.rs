//! `lapel profiles`.

use crate::{input, output};
use clap::Subcommand;
use lapel_client::{Client, v1};

#[derive(Subcommand)]
pub(crate) enum Verb {
    /// List the profiles.
    List,
    /// Show one profile.
    Get {
        /// The profile's name.
        name: String,
    },
    /// Save weights: `lapel profiles save ann color=3 pattern=0.5`.
    Save {
        /// The profile's name.
        name: String,
        /// Weights, by head or attribute; heads left out have their own weight.
        #[arg(required = true, value_name = "HEAD=NUMBER")]
        weights: Vec<String>,
    },
    /// Go back to the version before.
    Undo {
        /// The profile's name.
        name: String,
    },
    /// Delete a profile.
    Delete {
        /// The profile's name.
        name: String,
    },
}

pub(crate) async fn run(client: &mut Client, verb: Verb, json: bool) -> anyhow::Result<()> {
    let feedback = &mut client.feedback;
    let profiles = match verb {
        Verb::List => {
            let request = v1::ListProfilesRequest { page_size: 1000, ..Default::default() };
            let answer = feedback.list_profiles(request).await?.into_inner();
            if json {
                return output::json("ListProfilesResponse", &answer);
            }
            answer.profiles
        }
        Verb::Get { name } => {
            one(feedback.get_profile(v1::GetProfileRequest { name }).await?.into_inner().profile)
        }
        Verb::Save { name, weights } => {
            let weights = weights.iter().map(|w| input::weight(w)).collect::<anyhow::Result<_>>()?;
            let request = v1::SaveProfileRequest { name, weights, ..Default::default() };
            one(feedback.save_profile(request).await?.into_inner().profile)
        }
        Verb::Undo { name } => {
            // Naming the version makes a repeated call harmless.
            let current =
                feedback.get_profile(v1::GetProfileRequest { name: name.clone() }).await?.into_inner();
            let version = current.profile.map_or(0, |p| p.version);
            one(feedback
                .undo_profile(v1::UndoProfileRequest { name, version, ..Default::default() })
                .await?
                .into_inner()
                .profile)
        }
        Verb::Delete { name } => {
            feedback
                .delete_profile(v1::DeleteProfileRequest { name: name.clone(), ..Default::default() })
                .await?;
            return output::say(format!("deleted profile {name}"));
        }
    };
    if json {
        return profiles.iter().try_for_each(|profile| output::json("Profile", profile));
    }
    let mut table = output::table(&["profile", "version", "weights", "picks", "undo steps"]);
    for p in profiles {
        let picks = p.picked_ids.join(", ");
        table.add_row([
            p.name,
            p.version.to_string(),
            output::weights(&p.weights),
            picks,
            p.undo_steps.to_string(),
        ]);
    }
    output::say(table)
}

fn one(profile: Option<v1::Profile>) -> Vec<v1::Profile> {
    profile.into_iter().collect()
}
